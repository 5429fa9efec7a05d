r"""Blank comments and strings of C, C# and Rust source, keeping every byte offset and line end.

What is left can be searched for words and brackets. The patterns take linear time on any bytes: what is opened and
never closed ends with its line or with the file, and the first byte of each alternative is fixed.
"""

from __future__ import annotations

import re

_BLOCK_COMMENT = rb"/\*.*?(?:\*/|\Z)"
_STRING = rb'"(?:[^"\\\n]|\\.)*+"?'
_CHARACTER = rb"'(?:[^'\\\n]|\\.){1,12}+'"

C_TEXT = re.compile(
    rb"//(?:[^\n\\]|\\.|\\\Z)*+|"
    + _BLOCK_COMMENT
    + rb'|R"([^()\\\s]{0,16})\(.*?(?:\)\1"|\Z)|'
    + _STRING
    + rb"|"
    + _CHARACTER,
    re.DOTALL,
)
C_DIRECTIVE = re.compile(rb"#(?:[^\n\\]|\\.|\\\Z)*+", re.DOTALL)  # to the end of its line, past escaped line ends
CSHARP_TEXT = re.compile(
    rb"//[^\n]*+|" + _BLOCK_COMMENT + rb'|("{3,8}+).*?(?:\1|\Z)|@\$?"(?:[^"]|"")*+"?|' + _STRING + rb"|" + _CHARACTER,
    re.DOTALL,
)
_RUST_CHARACTER = rb"'(?:[^'\\\n\x80-\xff]|[\x80-\xff]{1,4}+|\\(?:x[0-9A-Fa-f]{2}|u\{[0-9A-Fa-f_]{1,8}\}|[^xu\n]))'"
_RUST_TEXT = re.compile(
    rb"//[^\n]*+(?:\s*+//[^\n]*+)*+|/\*|b?r(?<![0-9A-Za-z_]r)(?<![0-9A-Za-z_]br)(#{0,8}+)\".*?(?:\"\1|\Z)"
    rb"|\"(?:[^\"\\]|\\.)*+\"?|" + _RUST_CHARACTER,
    re.DOTALL,
)
_RUST_COMMENT_EDGE = re.compile(rb"/\*|\*/")

_NOT_LINE_END = re.compile(rb"[^\r\n]+")


def spaces(text: bytes) -> bytes:
    """Return white space with the length and the line ends of a text."""
    if b"\n" not in text and b"\r" not in text:
        return b" " * len(text)
    return _NOT_LINE_END.sub(lambda run: b" " * len(run[0]), text)


def blank(pattern: re.Pattern[bytes], data: bytes) -> bytes:
    """Replace every match of a pattern by white space."""
    return pattern.sub(lambda match: spaces(match[0]), data)


def blank_rust(data: bytes) -> bytes:
    """Blank comments, which nest, strings and characters of Rust. A lifetime is no character."""
    if b"/*" not in data:
        return blank(_RUST_TEXT, data)
    parts: list[bytes] = []
    at = kept = 0
    while (match := _RUST_TEXT.search(data, at)) is not None:
        at = match.end()
        if match[0] == b"/*":
            at = _comment_end(data, at)
        parts += (data[kept : match.start()], spaces(data[match.start() : at]))
        kept = at
    parts.append(data[kept:])
    return b"".join(parts)


def _comment_end(data: bytes, at: int) -> int:
    depth = 1
    for edge in _RUST_COMMENT_EDGE.finditer(data, at):
        depth += 1 if edge[0] == b"/*" else -1
        if not depth:
            return edge.end()
    return len(data)


def replaced(data: bytes, spans: list[tuple[int, int]]) -> bytes:
    """Return the data with spans, ascending and disjoint, replaced by white space."""
    parts: list[bytes] = []
    at = 0
    for start, end in spans:
        parts += (data[at:start], spaces(data[start:end]))
        at = end
    parts.append(data[at:])
    return b"".join(parts)
