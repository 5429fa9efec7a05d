"""Derive the names of functions and scopes from syntax nodes."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from tree_sitter import Node

from pipeline.records import printable

# A computed key can be a whole program.
MAX_NAME_BYTES = 200
_MAX_DECLARATOR_DEPTH = 64

Namer = Callable[[Node, bytes], bytes]

_GENERIC_ARGUMENTS = re.compile(rb"<[^<>]*>")
_QUOTES = (b'"', b"'", b"`")


def text(node: Node | None, data: bytes) -> bytes:
    """Return the source of a node, empty for None."""
    return data[node.start_byte : node.end_byte] if node is not None else b""


def field(name: str) -> Namer:
    """Name a node by one of its fields."""
    return lambda node, data: text(node.child_by_field_name(name), data)


def constant(name: bytes) -> Namer:
    """Name every node alike, as the language implies: `default`, `constructor`."""
    return lambda _node, _data: name


def prefixed(prefix: bytes, name: str) -> Namer:
    """Name a node by a field after a fixed prefix, as in `~A` or `operator +`."""
    return lambda node, data: prefix + text(node.child_by_field_name(name), data)


def first_of(node_type: str, otherwise: bytes = b"") -> Namer:
    """Name a node by its first child of a type."""

    def name(node: Node, data: bytes) -> bytes:
        return next((text(child, data) for child in node.named_children if child.type == node_type), otherwise)

    return name


def kotlin_property(node: Node, data: bytes) -> bytes:
    """Name `val NAME: Type = ...` by its identifier, without the type."""
    variable = next((child for child in node.named_children if child.type == "variable_declaration"), None)
    return text(variable.named_child(0), data) if variable is not None and variable.named_child_count else b""


def kotlin_companion(node: Node, data: bytes) -> bytes:
    """Name a companion object, `Companion` by default."""
    return text(node.child_by_field_name("name"), data) or b"Companion"


def go_method(node: Node, data: bytes) -> bytes:
    """Name `func (t *T[K]) M()` as `T.M`."""
    receiver = node.child_by_field_name("receiver")
    parameter = receiver.named_child(0) if receiver is not None and receiver.named_child_count else None
    owner = parameter.child_by_field_name("type") if parameter is not None else None
    for _ in range(_MAX_DECLARATOR_DEPTH):
        if owner is None or owner.type not in ("pointer_type", "parenthesized_type", "generic_type"):
            break
        owner = owner.child_by_field_name("type") or (owner.named_child(0) if owner.named_child_count else None)
    name = text(node.child_by_field_name("name"), data)
    return text(owner, data) + b"." + name if owner is not None else name


def without_arguments(name: Namer) -> Namer:
    """Drop generic arguments from a name: `Vec<T>` is `Vec`."""
    return lambda node, data: strip_arguments(name(node, data))


def strip_arguments(name: bytes) -> bytes:
    """Drop angle brackets and their content, as in `a<b<c>>::d`, but not from operators."""
    head, operator, tail = name.partition(b"operator")
    for _ in range(_MAX_DECLARATOR_DEPTH):
        stripped = _GENERIC_ARGUMENTS.sub(b"", head)
        if stripped == head:
            break
        head = stripped
    return head + operator + tail


def rust_impl(node: Node, data: bytes) -> bytes:
    """Name an `impl` block by its type, without references and generic arguments."""
    name = strip_arguments(text(node.child_by_field_name("type"), data)).lstrip(b"&( ")
    for word in (b"mut ", b"dyn "):
        name = name.removeprefix(word)
    return name.rstrip(b") ")


# A function definition named `if` is really a statement after a macro.
_C_STATEMENTS = frozenset({b"if", b"for", b"while", b"switch", b"do", b"else", b"return", b"sizeof", b"catch"})


def c_declarator(node: Node, data: bytes) -> bytes:
    """Name a C or C++ declarator by its innermost name: `char *(*f(int))(void)` is `f`."""
    at = node.child_by_field_name("declarator")
    for _ in range(_MAX_DECLARATOR_DEPTH):
        if at is None:
            return b""
        if at.type == "operator_cast":
            return _conversion(at, data)
        if at.type == "qualified_identifier":
            return _qualified(at, data)
        inner = at.child_by_field_name("declarator")
        if inner is None and at.type in ("reference_declarator", "parenthesized_declarator", "attributed_declarator"):
            inner = at.named_child(0) if at.named_child_count else None
        if inner is None:
            name = strip_arguments(text(at, data))
            return b"" if name in _C_STATEMENTS else name
        at = inner
    return b""


def _qualified(node: Node, data: bytes) -> bytes:
    """Name `ns::X<T>::operator bool() const` by its path, without the parameters of a conversion."""
    last: Node | None = node
    for _ in range(_MAX_DECLARATOR_DEPTH):
        if last is None or last.type != "qualified_identifier":
            break
        last = last.child_by_field_name("name")
    if last is not None and last.type == "operator_cast":
        return strip_arguments(data[node.start_byte : last.start_byte]) + _conversion(last, data)
    return strip_arguments(text(node, data))


def _conversion(node: Node, data: bytes) -> bytes:
    declarator = node.child_by_field_name("declarator")
    end = declarator.start_byte if declarator is not None else node.end_byte
    return data[node.start_byte : end].strip()


def ruby_singleton(node: Node, data: bytes) -> bytes:
    """Name `def self.x` as `x`, and `def other.x` as `other.x`."""
    owner = text(node.child_by_field_name("object"), data)
    name = text(node.child_by_field_name("name"), data)
    return name if owner == b"self" else owner + b"." + name


def ruby_closure(node: Node, data: bytes) -> bytes:
    """Name the closures `x = ->() { }`, `x = lambda do` and `x = proc do`, but not `x = list.map do`."""
    value = node.child_by_field_name("right")
    method = value.child_by_field_name("method") if value is not None and value.type == "call" else None
    if method is not None and text(method, data) not in (b"lambda", b"proc"):
        return b""
    return text(node.child_by_field_name("left"), data)


def ruby_singleton_2(node: Node, data: bytes) -> bytes:
    """Name `def self.x` as `self.x`, as in `class << self`, so that it is no instance method."""
    return text(node.child_by_field_name("object"), data) + b"." + text(node.child_by_field_name("name"), data)


def ruby_defined_method(node: Node, data: bytes) -> bytes:
    """Name `define_method(:x) do` as `x`, and no other call."""
    method = text(node.child_by_field_name("method"), data)
    if method not in (b"define_method", b"define_singleton_method"):
        return b""
    name = _first_argument(node, data)
    return b"self." + name if method == b"define_singleton_method" else name


def _first_argument(node: Node, data: bytes) -> bytes:
    """Return the first argument of a call without colon or quotes."""
    arguments = node.child_by_field_name("arguments")
    first = arguments.named_child(0) if arguments is not None and arguments.named_child_count else None
    return text(first, data).removeprefix(b":").strip(b"\"'")


_RUBY_FACTORIES = frozenset({b"Struct.new", b"Class.new", b"Module.new", b"Data.define"})


def ruby_class_of_call(node: Node, data: bytes) -> bytes:
    """Name `X = Struct.new(...) do` as `X`, likewise `Class.new`, `Module.new` and `Data.define`."""
    call = node.child_by_field_name("right")
    if call is None:
        return b""
    receiver, method = (text(call.child_by_field_name(name), data) for name in ("receiver", "method"))
    is_factory = receiver.removeprefix(b"::") + b"." + method in _RUBY_FACTORIES
    return text(node.child_by_field_name("left"), data) if is_factory else b""


def ruby_block_scope(node: Node, data: bytes) -> bytes:
    """Name `class_methods do` as `self`, `refine X do` as `X` and `concerning :X do` as `X`, and no other call."""
    method = text(node.child_by_field_name("method"), data)
    if method == b"class_methods":
        return b"self"
    return _first_argument(node, data) if method in (b"refine", b"concerning") else b""


def php_property(node: Node, data: bytes) -> bytes:
    """Name a property with hooks by its variable, without the dollar sign."""
    if node.type == "property_declaration":
        element = next((child for child in node.named_children if child.type == "property_element"), None)
        node = element if element is not None else node
    return text(node.child_by_field_name("name"), data).lstrip(b"&$")


@lru_cache(maxsize=1 << 16)
def readable(raw: bytes) -> str:
    """Return a raw name for display: no quotes, single spaces, `.` for `::`, printable, cut at 200 bytes."""
    name = b" ".join(raw[:MAX_NAME_BYTES].split())
    if len(name) > 2 and name[:1] in _QUOTES and name[-1:] == name[:1]:
        name = name[1:-1]
    return printable(name.replace(b"::", b"."))
