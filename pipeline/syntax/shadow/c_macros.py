r"""Rewrite macros of C and C++ that their grammars cannot parse, keeping every byte offset and line.

    class VIEW_API Scene : public Node {      ->    class          Scene : public Node {
    ENGINE_METHOD(Archive, mount) {           ->    T fffffffffff(              ) {

The name of a class is the last word before its `{` or `:`; other words and calls between `class` and the name are
macros. A call at the start of a line that is followed by a block, where no type can be on the line above, defines a
function: its parsed form has the type `T` and no parameters, and it is named after the original text.
"""

from __future__ import annotations

import re

from pipeline.syntax.shadow.blanks import replaced, spaces
from pipeline.syntax.shadow.c_decorations import without_decorations

_WORD = rb"[A-Za-z_]\w{0,99}+"
_TEXT = rb"""[^()"'{};/#]|/(?![/*])|"(?:[^"\\\n]|\\.){0,400}+"|/\*[^*]{0,400}+\*/"""
ARGUMENTS = rb"\((?!\s{0,9}[*^&])(?:" + _TEXT + rb"|\([^(){};]{0,400}+\)){0,1000}+\)"

_CLASS = re.compile(
    rb"(class|struct|union)\b(\s{1,9}(?:WORD(?:\([^(){};\n]{0,200}+\))?\s{1,9}){1,4})(?!final\b)(?=WORD(?:::WORD){0,9}"
    rb"(?:\s{0,9}<[^<>;{}]{0,200}>)?(?:\s{1,9}final)?\s{0,99}(?:\{|:(?!:)))".replace(b"WORD", _WORD)
)
_WORDS = re.compile(_WORD)
# The body of a macro of several lines: to the grammars it is one token at best.
_ESCAPED_LINE = rb"[^\n\\]*+(?:\\[^\r\n][^\n\\]*+)*+\\\r?\n"
_MACRO_BODY = re.compile(rb"(#[ \t]*+define[ \t]++\w++(?:\([^()\n]*+\))?+)((?:" + _ESCAPED_LINE + rb")++[^\n]*+)")
UPPER = re.compile(rb"[A-Z0-9_]*[A-Z][A-Z0-9_]*[A-Z][A-Z0-9_]*")
# Words that the grammars know between `class` and a name.
_KNOWN = frozenset({b"alignas", b"__attribute__", b"__declspec", b"const", b"volatile", b"class", b"struct"})

_KEYWORDS = (
    rb"(?!(?:if|for|while|switch|catch|do|else|return|sizeof|defined|asm|__asm__|__attribute__|alignas|decltype"
    rb"|requires|extern|operator|void|bool|char|short|int|long|float|double|signed|unsigned|struct|union|enum|auto)\b)"
)
NAME = rb"(" + _KEYWORDS + _WORD + rb")"
PARAMETERS = rb"(?:\s{0,9}\([^(){};]{0,400}+\))?"  # of a function that a macro names: `DEFINE(name) (int a)`
# A call at the start of a line with a block after it.
_CALL = re.compile(rb"\n" + NAME + rb"([ \t]{0,9}+" + ARGUMENTS + PARAMETERS + rb")(?=\s{0,99}\{)")
# The line above is the type of a function whose name begins the next line.
_TYPE_LINE = re.compile(rb"[\w \t*&:<>,]*[\w*&>][ \t\r]*")
_NO_PARAMETER = re.compile(rb"[(,]\s{0,9}[\"\d]")
_SHORTEST = len(b"T f()")


def without_macros(data: bytes, code: bytes, cpp: bool) -> bytes:
    """Return the source with macros that hide a class or a function rewritten, and decorating ones blank.

    `code` is the source without comments, strings and directives.
    """
    data = _MACRO_BODY.sub(_with_short_body, data)
    spans = _class_macros(code)
    if spans:
        data, code = replaced(data, spans), replaced(code, spans)
    return _without_function_macros(*without_decorations(data, code), cpp)


def _with_short_body(match: re.Match[bytes]) -> bytes:
    # The grammars read a macro without a body only if its line ends right after its name.
    return match[1] + b" 0" + spaces(match[2][2:]) if match[2][:1] != b"\\" else match[0]


def _class_macros(code: bytes) -> list[tuple[int, int]]:
    spans = []
    for match in _CLASS.finditer(code):
        start = match.start()
        if start and (code[start - 1 : start].isalnum() or code[start - 1 : start] == b"_"):
            continue
        words = _WORDS.findall(match[2])
        if _KNOWN.isdisjoint(words) and (match[1] == b"class" or UPPER.fullmatch(words[0])):
            spans.append(match.span(2))
    return spans


def _without_function_macros(data: bytes, code: bytes, cpp: bool) -> bytes:
    text = b"\n" + data
    calls = [match for match in _CALL.finditer(text) if _may_define(text, match, cpp)]
    if not calls:
        return data
    code = b"\n" + code
    parts: list[bytes] = []
    at = 1
    for match in calls:
        start, end = match.start(1), match.end()
        if not _begins_definition(code, start, is_upper=UPPER.fullmatch(match[1]) is not None):
            continue
        head = b"T " + b"f" * max(1, len(match[1]) - 2) + b"("
        parts += (text[at:start], head, spaces(text[start + len(head) : end - 1]), b")")
        at = end
    return b"".join((*parts, text[at:]))


def _may_define(text: bytes, match: re.Match[bytes], cpp: bool) -> bool:
    """Return whether a call may define a function that the grammar cannot parse, judging by its line and the last."""
    if len(match[0]) <= _SHORTEST or b"\n" in match[0][1:_SHORTEST]:
        return False
    if cpp and not _NO_PARAMETER.search(match[2]):
        return False
    above = text[text.rfind(b"\n", 0, match.start()) + 1 : match.start()]
    return _TYPE_LINE.fullmatch(above) is None


def _begins_definition(code: bytes, start: int, is_upper: bool) -> bool:
    """Return whether a call stands where a definition can begin, and not after a type or within a comment."""
    if code[start : start + 1].isspace():
        return False
    at = start - 1
    while at > 0 and code[at : at + 1].isspace():
        at -= 1
    before = code[at : at + 1]
    return before.isspace() or before in b";{}:" or (is_upper and before in b")>")
