"""Name the functions of C and C++, those included that a macro defines."""

from __future__ import annotations

import re

from tree_sitter import Node

from pipeline.syntax.names import c_declarator
from pipeline.syntax.shadow.c_macros import ARGUMENTS, NAME, PARAMETERS, UPPER

# Storage classes that may stand before a macro which defines a function.
_DEFINITION = re.compile(
    rb"(?:(?:static|inline|extern)\s{1,9}){0,3}" + NAME + rb"\s{0,9}(" + ARGUMENTS + rb")" + PARAMETERS + rb"\s{0,99}\{"
)
_NAMED_CALL = re.compile(rb"\s{0,9}(" + ARGUMENTS + rb")\s{0,9}([({])")
_ARGUMENT = re.compile(rb'\s{0,9}(?:"([^"\\\n]{1,100})"|([A-Za-z_]\w{0,99}(?:::\w{1,99}){0,9}|\d{1,20}))\s{0,9}[,)]')
_TYPES = frozenset(b"void bool char short int long unsigned signed float double const struct union enum".split())
_MAX_ARGUMENTS = 3


def definition_name(node: Node, data: bytes) -> bytes:
    """Name a function, one that a macro defines by the macro and its first arguments: `DEFINE(a, b) {` is `DEFINE.a.b`.

    Arguments count up to the first that is no name, number or string, or, after the first, that is a type.
    """
    match = _DEFINITION.match(data, node.start_byte)
    if match is not None and (UPPER.fullmatch(match[1]) or node.start_point.column == 0):
        return match[1] + (_arguments(match[2]) if match[1] != b"main" else b"")
    name = c_declarator(node, data)
    if UPPER.fullmatch(name) and (call := _NAMED_CALL.match(data, data.find(name, node.start_byte) + len(name))):
        arguments = _arguments(call[1])
        if call[2] == b"(" or arguments == arguments.lower():
            return name + arguments
    return name


def _arguments(text: bytes) -> bytes:
    """Return the leading arguments of a call that are names, numbers or strings, each after a dot."""
    arguments = b""
    at = 1
    for number in range(_MAX_ARGUMENTS):
        match = _ARGUMENT.match(text, at)
        if match is None:
            break
        argument = match[1] or match[2]
        if argument == b"void" or (number and (argument in _TYPES or argument.endswith(b"_t"))):
            break
        arguments += b"." + argument
        at = match.end()
    return arguments
