r"""Blank macros that decorate C and C++ code, which their grammars take for types or names.

    FMT_BEGIN_NAMESPACE                              a line of its own between declarations
    FMT_API const std::category& get();              before the type of a declaration, or between it and the name
    explicit FMT_CONSTEXPR list(int n) : n_(n) {}    before a constructor
    if FMT_CONSTEXPR20 (sizeof(T) > 1) {             after `if`
    FMT_TRY { ... }, void f() FMT_NOEXCEPT { ... }   before a block
    template <typename T, ENABLE_IF(!is_int<T>)>     among template parameters

A word of capitals is such a macro only where it cannot be the type itself: `DWORD count(int a) {` keeps its type. Every
error that is avoided makes later versions of the file cheap: only trees without errors are parsed from one another.
"""

from __future__ import annotations

import re
from functools import partial
from typing import NamedTuple

from pipeline.syntax.shadow.blanks import replaced

_CAPITALS = re.compile(rb"[A-Z][A-Z0-9_]{2,60}+(?!\w)")
_ARGUMENTS = rb"\((?:[^()]|\((?:[^()]|\((?:[^()]|\([^()]{0,200}+\)){0,200}+\)){0,200}+\)){0,400}+\)"
_CALL = re.compile(rb"[ \t]{0,9}" + _ARGUMENTS)
_NEXT = re.compile(rb"\s*+([A-Za-z_]\w*+)?")
_WORD_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_LOOK_BACK = 62
_SEEN_SPACE = re.compile(rb"\s*+")
# `template int f(int);` names a template and defines nothing.
_INSTANTIATION = re.compile(rb"template\s{1,9}[A-Za-z_][^;{}]{0,600}+;")
_EXTERN = b"extern"

# Expressions that the grammars cannot read, each with something of equal length and place that they can.
_READINGS = (  # (what the pattern needs, pattern, what its group becomes)
    *(
        (
            name,
            re.compile(name + rb"[ \t]*+\([ \t]*+(<[^<>\n]{1,200}>|\w{1,60}::\w{1,60}|\"[^\"\n]{1,200}\")"),
            b"0",
        )
        for name in (b"has_include", b"HAS_INCLUDE", b"_attribute", b"_ATTRIBUTE")
    ),
    (b"= {", re.compile(rb"= (\{[^{}();\n]{0,40}\})(?=[ \t]*[,)])"), b"0"),
    (b"operator", re.compile(rb"operator(?<=[.>]operator)(\[\]|\(\)|[-+*/=!<>&|]{1,2})(?=\()"), b"__"),
    (b"operator()<", re.compile(rb"operator(\(\))(?=<\w{1,60}>\(\w{0,60}\);)"), b"__"),
    (
        b"typename ",
        re.compile(rb"(typename)(?= \w{1,60}(?:<\w{1,60}>)?(?:::(?:template )?\w{1,60}(?:<\w{1,60}>)?){1,9}\()"),
        b"",
    ),
    (b"typename ", re.compile(rb"(typename)(?= \w{1,60}::\w{1,60}> \w{1,60};)"), b""),
    (b"= const ", re.compile(rb"= (const)(?= \w{1,60}[ \t]{0,9}\*[ \t]{0,9}[,>])"), b""),
    (b"*>", re.compile(rb"=[ \t]{1,9}\w{1,60}(\*)(?=>)"), b""),
    (b".*(", re.compile(rb"(\.\*)(?=\()"), b"*"),
    (b"unsigned(", re.compile(rb"(unsigned)(?=\()"), b"Unsigned"),
    (b"enum :", re.compile(rb"enum (:[^{}();\n]{1,80}+)(?=\{)"), b""),
    (b"= sizeof(", re.compile(rb"sizeof\(\w{1,60}\) ([<>]=)(?= sizeof\()"), b"+"),
    (b"__stdcall ", re.compile(rb"(__stdcall)(?= )"), b""),
)
_DECLTYPE = re.compile(rb"decltype(?=\()")
_LAST_OPERAND = re.compile(rb",(\s{0,99}(?:0|true|(?:\w{1,60}::){0,9}\w{1,60}\(\))\s{0,99}\))\Z")


_BOUNDARY = b";{}"
_TAGS = frozenset({b"struct", b"union", b"enum", b"class", b"goto", b"namespace", b"using", b"typename", b"typedef"})
_SPECIFIERS = frozenset(
    b"static inline extern const volatile virtual explicit constexpr consteval friend mutable register typedef template"
    b" unsigned signed long short else return public private protected case default new throw".split()
)
_DECLARING = frozenset(
    b"static inline extern const constexpr virtual explicit auto void bool char int struct class".split()
)
_TYPE_AND_NAME = re.compile(rb"(?<![\w])(\w{1,60}|[>*&])\s{1,9}\w{1,60}\s{1,9}\Z")
_ALIAS = re.compile(rb"\busing\s{1,9}\w{1,60}\s{1,9}\Z")
_TEMPLATE_BYTES = 600
_NOT_TEMPLATE = re.compile(rb"[;{}]")


class _Place(NamedTuple):
    """What stands before a word: the last byte of code and, if that ends a word, the word."""

    byte: bytes
    word: bytes

    @property
    def is_boundary(self) -> bool:
        return self.byte in _BOUNDARY


def without_decorations(data: bytes, code: bytes) -> tuple[bytes, bytes]:
    """Return the source without decorating macros, and its code: without comments, strings and directives."""
    spans: list[tuple[int, int]] = []
    last = _Place(b"", b"")  # before the last span
    for match in _CAPITALS.finditer(code):
        start = match.start()
        if start and (code[start - 1 : start].isalnum() or code[start - 1 : start] == b"_"):
            continue
        floor = spans[-1][1] if spans else 0
        if start < floor:
            continue
        at = _code_end(code, floor, start)
        place = last if spans and at == floor else _place(code, at)
        span = _decoration(code, match, place)
        if span is not None:
            spans.append(span)
            last = place
    if spans:
        data, code = replaced(data, spans), replaced(code, spans)
    spans = _instantiations(code)
    if spans:
        data, code = replaced(data, spans), replaced(code, spans)
    return _readable(data), code


def _code_end(code: bytes, floor: int, at: int) -> int:
    """Return the end of the code before `at`, at least `floor`."""
    while at > floor:
        start = max(floor, at - _LOOK_BACK)
        length = len(code[start:at].rstrip())
        at = start + length
        if length:
            break
    return at


def _instantiations(code: bytes) -> list[tuple[int, int]]:
    spans = []
    for match in _INSTANTIATION.finditer(code):
        start, end = match.span()
        at = _code_end(code, 0, start)
        if code.endswith(_EXTERN, 0, at):
            start = at - len(_EXTERN)
            at = _code_end(code, 0, start)
        if code[at - 1 : at] in _BOUNDARY or not at:
            spans.append((start, end))
    return spans


def _with(value: bytes, match: re.Match[bytes]) -> bytes:
    """Return the match with its group replaced by a value, padded or cut to its length."""
    start, end = match.start(1) - match.start(), match.end(1) - match.start()
    return match[0][:start] + (value + b" " * (end - start))[: end - start] + match[0][end:]


def _readable(text: bytes) -> bytes:
    for hint, pattern, value in _READINGS:
        if hint in text:
            text = pattern.sub(partial(_with, value), text)
    commas = []
    for match in _DECLTYPE.finditer(text):
        call = _CALL.match(text, match.end())
        operand = _LAST_OPERAND.search(text, max(match.end(), call.end() - _LOOK_BACK), call.end()) if call else None
        if operand is not None:
            commas.append(operand.start())
    if not commas:
        return text
    changed = bytearray(text)
    for comma in commas:
        changed[comma] = ord("+")
    return bytes(changed)


def _place(code: bytes, at: int) -> _Place:
    """Return what ends at `at`."""
    start = at
    while start and at - start < _LOOK_BACK and code[start - 1] in _WORD_BYTES:
        start -= 1
    return _Place(code[at - 1 : at] if at else b"", code[start:at])


def _decoration(code: bytes, match: re.Match[bytes], place: _Place) -> tuple[int, int] | None:
    """Return the bytes of a decorating macro, None if the word is anything else."""
    start, end = match.span()
    if place.word in _TAGS or (place.byte and place.byte in b".#"):
        return None
    following = _NEXT.match(code, end)
    assert following is not None
    word, after = following[1], code[following.end() : following.end() + 1]
    if word is not None:
        return (start, end) if _decorates(code, end, following, place) else None
    if after == b"(":
        return _call(code, start, end, place)
    if after == b"{":
        return (start, end) if place.is_boundary or place.byte == b")" else None
    if after and after in b",)":
        # Of a parameter: `const T& value LIFETIME_BOUND`.
        return (start, end) if place.word and place.word not in _SPECIFIERS else None
    if after == b"=":
        return (start, end) if _ALIAS.search(code, max(0, start - _LOOK_BACK), start) else None
    if after == b"~":
        return (start, end) if place.is_boundary or place.word in _SPECIFIERS or place.byte in b":>" else None
    return (start, end) if place.is_boundary and after in b"}" else None


def _decorates(code: bytes, end: int, following: re.Match[bytes], place: _Place) -> bool:
    """Return whether a macro before another word is more than its type."""
    word, at = following[1], following.end()
    second = _NEXT.match(code, at)
    assert second is not None
    after = code[second.end(0) : second.end(0) + 1] if second[1] is None else b""
    if word in (b"const", b"volatile"):
        return second[1] is not None
    if second[1] is not None:
        return second[1] != b"__attribute__" and not (
            after == b""
            and _CAPITALS.fullmatch(second[1]) is not None
            and code[second.end() : second.end() + 1] in b";=[,"
        )
    if word == b"operator":
        return False
    if (after and after in b"<&*") or code[second.end() : second.end() + 2] == b"::":
        return True
    alone = (place.is_boundary or place.byte in b">:") and b"\n" in code[end : following.start(1)]
    if after == b"(":
        if place.word == b"explicit" or place.byte == b"(" or (alone and _CAPITALS.fullmatch(word)):
            return True
        is_after_type = place.byte in b"*&>" if not place.word else place.word not in _SPECIFIERS
        return (bool(place.byte) and is_after_type) or _is_constructor(code, second.end())
    return alone and (not after or after in b"}:" or _CAPITALS.fullmatch(word) is not None)


_AFTER_PARAMETERS = re.compile(rb"\s*+(?:noexcept\s*+)?(?::(?!:)|=\s*+(?:default|delete)\b)")


def _is_constructor(code: bytes, at: int) -> bool:
    call = _CALL.match(code, at)
    return call is not None and _AFTER_PARAMETERS.match(code, call.end()) is not None


def _follows_name(code: bytes, start: int, place: _Place) -> bool:
    """Return whether a type and a name stand before a macro, as in `auto get NO_MACRO(int n) {`."""
    if not place.word or place.word in _SPECIFIERS or place.word in _DECLARING:
        return False
    before = _TYPE_AND_NAME.search(code, max(0, start - 2 * _LOOK_BACK), start)
    if before is None:
        return False
    word = before[1]
    return word == b"auto" or not (word in _SPECIFIERS or word in _TAGS or _CAPITALS.fullmatch(word))


def _call(code: bytes, start: int, end: int, place: _Place) -> tuple[int, int] | None:
    if place.word == b"if" or _follows_name(code, start, place):
        return start, end
    call = _CALL.match(code, end)
    if call is None:
        return None
    space = _SEEN_SPACE.match(code, call.end())
    assert space is not None
    after = code[space.end() : space.end() + 1]
    if place.is_boundary or place.byte in b">:":
        if after == b";" and code[start - 1 : start] in b"\n":
            return start, call.end()  # at the top of a file, where the grammar of C++ takes it for a declaration
        word = _NEXT.match(code, call.end())
        if word is not None and word[1] in _DECLARING:
            return start, call.end()
        ends_line = b"\n" in space[0] or not after
        return (start, call.end()) if ends_line and (after.isalnum() or after in b"_}~:#") else None
    if place.byte in b",<" and after and after in b",>":
        head = code.rfind(b"template", max(0, start - _TEMPLATE_BYTES), start)
        if head >= 0 and not _NOT_TEMPLATE.search(code, head, start):
            comma = code.rfind(b",", head, start) if place.byte == b"," else start
            return comma, call.end()
    return None
