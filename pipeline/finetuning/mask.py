"""Mask every name in a function, to measure how much of a score relies on names alone. Pure.

Each name becomes id0, id1, ... by first occurrence, the same name always the same id; keywords, literals, operators and
the shape of the code stay. Comments are removed, and so are strings that are statements of their own (Python's
docstrings): both name things in plain words. Names inside other strings stay, because literals do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Literal, NamedTuple, Protocol

from pipeline.syntax.grammars import grammar
from pipeline.syntax.languages import LANGUAGES, Language
from pipeline.syntax.parser import ParsedFile, parse_file

_BY_NAME = {language.name: language for language in LANGUAGES}

# A method is not a file of its own: what to wrap around it so that its grammar can parse it. The first that fits wins.
_CLASS = ("class _ {\n", "\n}")
_OBJECT = ("({\n", "\n})")
_AROUND = {
    "Python": (("", ""), ("class _:\n", "")),
    "JavaScript": (("", ""), _CLASS, _OBJECT, ("// @flow\n", ""), ("// @flow\nclass _ {\n", "\n}")),
    "TypeScript": (("", ""), _CLASS, _OBJECT),
    "TSX": (("", ""), _CLASS, _OBJECT),
    "Go": (("", ""), ("var _ = T{\n", "\n}")),
    "Java": (_CLASS, ("", "")),
    "C#": (_CLASS, ("", ""), ("class _ {\nint _ {\n", "\n}\n}")),
    "C++": (("", ""), ("class _ {\n", "\n};")),
    "Rust": (("", ""), ("impl _T {\n", "\n}")),
    "PHP": (("<?php\n", ""), ("<?php\nclass _ {\n", "\n}")),
    "Kotlin": (("", ""), _CLASS),
}

_NAMES = frozenset(
    {
        "name",
        "constant",
        "shorthand_property_identifier_pattern",
        "label",
        "label_name",
        "simple_symbol",
        "hash_key_symbol",
        "instance_variable",
        "class_variable",
        "global_variable",
        "metavariable",
    }
)
_TEXT_NODES = frozenset({"ERROR", "preproc_arg"})  # not parsed any further by the grammar
_LITERAL = re.compile("string|char_literal|character_literal|regex|heredoc|nowdoc")

_WORD = re.compile(r"(?<!\w)[^\W\d]\w*")
_SIGIL = re.compile(r"(@@?|[$:#']|)(.*)", re.DOTALL)
_PART = re.compile(r"[^.:\s~<>(),&*\[\]]+")
_SEGMENT = re.compile(r"[^/]+")

Kind = Literal["name", "text", "comment", "docstring"]


class Masked(NamedTuple):
    path: str
    qualified_name: str
    code: str


class _Piece(NamedTuple):
    start: int
    end: int
    kind: Kind


class Node(Protocol):
    """The interface needed of a syntax tree node."""

    @property
    def type(self) -> str: ...
    @property
    def is_named(self) -> bool: ...
    @property
    def child_count(self) -> int: ...
    @property
    def children(self) -> Sequence[Node]: ...


def mask_names(language: str, path: str, qualified_name: str, code: str) -> Masked:
    """Return the function with all names masked; the path keeps its depth and extension.

    In code that its grammar cannot parse, every word that is not a keyword is masked. Raises KeyError for an unknown
    language.
    """
    names = _Names()
    stem, dot, extension = path.rpartition(".")
    known = dot and extension.encode("utf-8", "replace") in _BY_NAME[language].extensions
    masked_path = _SEGMENT.sub(names.of_match, stem) + dot + extension if known else _SEGMENT.sub(names.of_match, path)
    masked_name = _PART.sub(names.of_match, qualified_name)
    return Masked(masked_path, masked_name, _masked_code(_BY_NAME[language], code, names))


class _Names:
    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def of(self, name: str) -> str:
        return self._ids.setdefault(name, f"id{len(self._ids)}")

    def of_match(self, match: re.Match[str]) -> str:
        return self.of(match[0])

    def of_leaf(self, leaf: str) -> str:
        """Mask a leaf of the tree, keeping its sigil: `$total`, `@total`, `:total`."""
        match = _SIGIL.fullmatch(leaf)
        return match[1] + self.of(match[2]) if match and match[2] else self.of(leaf)


def _masked_code(language: Language, code: str, names: _Names) -> str:
    data = code.encode("utf-8", "replace")
    parsed, shift = _parsed(language, data)
    keywords = _keywords(parsed.language)
    out: list[str] = []
    position = shift
    for start, end, kind in _pieces(parsed, shift + len(data)):
        start, end = max(start, position), min(end, shift + len(data))
        if start >= end:
            continue
        out.append(parsed.data[position:start].decode("utf-8", "replace"))
        text = parsed.data[start:end].decode("utf-8", "replace")
        if kind == "name":
            out.append(names.of_leaf(text))
        elif kind == "text":
            out.append(_WORD.sub(lambda match: match[0] if match[0] in keywords else names.of(match[0]), text))
        elif kind == "docstring":
            out.append('""')
        position = end
    out.append(parsed.data[position : shift + len(data)].decode("utf-8", "replace"))
    return "".join(out)


def _parsed(language: Language, data: bytes) -> tuple[ParsedFile, int]:
    """Parse the code as a file, wrapped as its grammar needs, and return the byte at which it begins."""
    attempts = []
    for before, after in _AROUND.get(language.name, (("", ""),)):
        parsed = parse_file(language, before.encode() + data + after.encode())
        if not parsed.problem and not parsed.tree.root_node.has_error:
            return parsed, len(before)
        attempts.append((parsed, len(before)))
    return attempts[0]


@cache
def _keywords(language: Language) -> frozenset[str]:
    kinds = grammar(language)
    anonymous = (i for i in range(kinds.node_kind_count) if not kinds.node_kind_is_named(i))
    return frozenset(kinds.node_kind_for_id(i) or "" for i in anonymous)


def _pieces(parsed: ParsedFile, end: int) -> Iterator[_Piece]:
    """Yield what to replace, in order. Iterative, because trees may be deeper than Python's stack."""
    cursor = parsed.tree.walk()
    around = [""]
    at = 0
    while (node := cursor.node) is not None:
        yield from _uncovered(at, node.start_byte, around[-1])
        at = max(at, node.start_byte)
        kind = _kind(parsed.language, node)
        if kind is None and node.child_count:
            around.append(node.type)
            cursor.goto_first_child()
            continue
        if kind is not None:
            yield _Piece(node.start_byte, node.end_byte, kind)
        at = max(at, node.end_byte)
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                yield from _uncovered(at, end, "")
                return
            closed = cursor.node.end_byte if cursor.node else at
            yield from _uncovered(at, closed, around.pop())
            at = max(at, closed)


def _kind(language: Language, node: Node) -> Kind | None:
    """Return how to replace a node; None leaves it to its children, and keeps a leaf."""
    if node.type in language.comments:
        return "comment"
    if node.type == "expression_statement" and node.child_count == 1 and node.children[0].type == "string":
        return "docstring"
    if node.child_count:
        return None
    if node.type in _TEXT_NODES:
        return "text"
    return "name" if node.is_named and (node.type.endswith("identifier") or node.type in _NAMES) else None


def _uncovered(start: int, end: int, inside: str) -> Iterator[_Piece]:
    """Yield text that no leaf covers, such as what the grammar skipped, unless it is part of a literal."""
    if start < end and not _LITERAL.search(inside):
        yield _Piece(start, end, "text")
