r"""Decide by its content whether a file of C is really C++: a `.h` file can be either.

C++ is what has a sign of C++ outside of comments, strings and directives: a construct that no C compiler accepts, such
as `namespace x {`, `a::b`, `template <` or `) const;`. Names alone are no sign: `class` and `new` are names in C. What
stands between `#ifdef __cplusplus` and its `#endif` is C++ in a file of C too; it decides only if nothing else does and
no keyword of C++ is used as a name.
"""

from __future__ import annotations

import re

from pipeline.syntax.shadow.blanks import C_TEXT, blank

# None of these in a file: no sign of C++. Much cheaper than the patterns.
_HINTS = (
    *(b"::", b"class", b"namespace", b"template", b"using", b"public", b"private", b"protected", b"virtual", b"_cast"),
    *(b"operator", b"const", b"noexcept", b"override", b"default;", b"delete", b"typename", b"friend", b"explicit"),
    *(b"decltype", b"auto", b"new ", b"struct", b'extern "', b"#include <", b"# include <"),
)

_WORD = rb"[A-Za-z_]\w{0,99}"
_SIGNS = re.compile(
    rb"""
      \b\w::[~\w] | \w::~?+[A-Za-z_]
    | (?:^|[;{}])[ \t]*+ (?:
          (?:inline[ ])?namespace\b[^;(){}=\n]{0,200}+\s{0,9}+\{
        | (?:extern\s{1,9})?template\s{0,9}<
        | (?:friend\s{1,9})?class\s{1,9}WORD
        | using\s{1,9}(?:namespace\b|WORD\s{0,9}=|typename\b)
        | (?:public|private|protected)(?:\s{1,9}WORD)?\s{0,9}:
        | virtual\s{1,9}[~A-Za-z_]
        | typename\s{1,9}WORD | friend\s{1,9}WORD | explicit\s{1,9}WORD\s{0,9}\(
        | (?:virtual\s{1,9})?~WORD\s{0,9}\(\s{0,9}\)
      )
    | \benum\s{1,9}(?:class|struct)\s{1,9}WORD
    | \b(?:static|dynamic|const|reinterpret)_cast\s{0,9}<
    | \)\s{0,9}(?:const|noexcept|override|final)\s{0,9}(?:[;{=]|->|noexcept\b|override\b|final\b)
    | \)[\s\w]{0,40}=\s{0,9}(?:default|delete)\s{0,9};
    | (?<![.>])\boperator\s{0,9}(?:\(\)|\[\]|[-+*/%^&|~!=<>]{1,3})\s{0,9}\(
    | <\s{0,9}(?:typename|class)\s{1,9}WORD
    | \bdecltype\s{0,9}\(
    | \bconst\s{1,9}WORD(?:\s{0,9}<[^<>;{}]{0,200}>)?\s{0,9}&{1,2}\s{0,9}\w{0,99}\s{0,9}[,)]
    | \bauto\s{0,9}&
    | (?:=|\breturn)\s{0,9}new\s{1,9}WORD\s{0,9}[({\[;<]
    | \bdelete\s{0,9}\[\s{0,9}\]
    | \bstruct\s{1,9}(?:WORD\s{1,9}){0,2}WORD\s{0,9}:\s{0,9}[A-Za-z_][^;{}()\n]{0,200}\{
    """.replace(b"WORD", _WORD),
    re.MULTILINE | re.VERBOSE,
)
_LINKAGE = re.compile(rb"\bextern\s{1,9}\{")  # its string is blank
# A header without an ending is one of the standard library of C++.
_STANDARD_HEADER = re.compile(rb"^[ \t]*+#[ \t]*+include[ \t]*+<[a-z_]{1,40}>", re.MULTILINE)
_ATTRIBUTE = re.compile(rb"\[\[[^\[\]\n]{0,200}\]\]")

# A struct whose first brace inside of it opens after the parameters of a function: a method.
_STRUCT_BODY = re.compile(rb"\bstruct\s{1,9}[A-Za-z_]\w{0,99}\s{0,9}\{([^{}]*+)\{")
_METHOD_HEAD = re.compile(rb"(?:^|[;\s])([A-Za-z_]\w*)[\s*&]{1,9}[A-Za-z_]\w*\s{0,9}\([^(){};]*\)\s*\Z")
_TAIL_BYTES = 300
_TAGS = frozenset({b"struct", b"union", b"enum"})

_HEAD_BYTES = 16_384

_KEYWORD = (
    rb"(?:class|new|delete|template|this|namespace|private|public|protected|operator|typename|virtual|friend|try)"
)
_KEYWORD_AS_NAME = re.compile(
    rb"(?:->|\.)\s{0,9}KEYWORD\b\s{0,9}[-;,)=.\[(+]"
    rb"|\b(?:char|short|int|long|unsigned|float|double|void|bool|struct\s{1,9}\w{1,99}|\w{1,99}_t)[\s*]{1,9}KEYWORD\s{0,9}[;,)=\[]"
    rb"|\bstruct\s{1,9}KEYWORD\s{0,9}[;{*]".replace(b"KEYWORD", _KEYWORD)
)

_DIRECTIVE = re.compile(rb"^[ \t]*+#(?:[^\n\\]|\\.|\\\Z)*+", re.MULTILINE | re.DOTALL)
_CONDITION = re.compile(rb"\s*#\s*(ifdef|ifndef|if|elifdef|elifndef|elif|else|endif)\b(.*)", re.DOTALL)


def holds_cpp(data: bytes) -> bool:
    """Return whether a file with an ending of C is C++."""
    if not any(hint in data for hint in _HINTS):
        return False
    if len(data) > _HEAD_BYTES and _shows_cpp(_parts(blank(C_TEXT, data[:_HEAD_BYTES]))[0]):
        return True  # most files show it early
    plain, guarded = _parts(blank(C_TEXT, data))
    if _shows_cpp(plain):
        return True
    plain, guarded = _bare(plain), _bare(guarded)
    return bool(guarded) and _SIGNS.search(guarded) is not None and _KEYWORD_AS_NAME.search(plain) is None


def _shows_cpp(code: bytes) -> bool:
    if _STANDARD_HEADER.search(code):
        return True
    code = _bare(code)
    return _SIGNS.search(code) is not None or _LINKAGE.search(code) is not None or _has_method(code)


def _bare(code: bytes) -> bytes:
    return _ATTRIBUTE.sub(b"", _DIRECTIVE.sub(b"", code))


def _parts(code: bytes) -> tuple[bytes, bytes]:
    """Return (what a C compiler may see, what only a C++ compiler sees)."""
    if b"__cplusplus" not in code:
        return code, b""
    plain: list[bytes] = []
    guarded: list[bytes] = []
    only_cpp = [False]  # for the file and each open #if
    asks = [False]  # whether the condition of each names C++
    at = 0
    for directive in _DIRECTIVE.finditer(code):
        condition = _CONDITION.match(directive[0])
        if condition is None:
            continue
        (guarded if only_cpp[-1] else plain).append(code[at : directive.start()])
        at = directive.end()
        kind, text = condition[1], condition[2]
        if kind in (b"if", b"ifdef", b"ifndef"):
            asks.append(b"__cplusplus" in text)
            only_cpp.append(only_cpp[-1] or (asks[-1] and kind != b"ifndef" and b"!" not in text))
        elif len(only_cpp) > 1:
            was = only_cpp.pop()
            if kind == b"endif":
                asks.pop()
            elif kind == b"else":
                only_cpp.append(only_cpp[-1] or (asks[-1] and not was))
            else:
                only_cpp.append(only_cpp[-1] or (b"__cplusplus" in text and b"!" not in text))
    (guarded if only_cpp[-1] else plain).append(code[at:])
    return b"\n".join(plain), b"\n".join(guarded)


def _has_method(code: bytes) -> bool:
    for body in _STRUCT_BODY.finditer(code):
        head = _METHOD_HEAD.search(body[1][-_TAIL_BYTES:])
        if head is not None and head[1] not in _TAGS:
            return True
    return False
