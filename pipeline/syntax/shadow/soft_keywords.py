r"""Spell Kotlin's soft keywords in capitals where they are names, keeping every byte offset.

`get`, `set`, `open`, `suspend` and the modifiers are names in most places of a program, but the grammar takes some of
them for keywords and loses the rest of the class. A word is a name after `.`, `val`, `var` or `fun`, and before what
never follows a modifier: an operator, a closing bracket, a comma, `is`, `to` and the like. An accessor is told from a
call by its parameters and by what follows them. What the grammar cannot read becomes spaces: annotations before an
accessor or a primary constructor, context parameters, the dollars of multi-dollar strings.

Within strings and comments it does not matter what is replaced: only the tree is read from this text.
"""

from __future__ import annotations

import re

_MODIFIERS = (
    rb"abstract|actual|annotation|companion|const|crossinline|data|dynamic|enum|expect|external|final|infix|inline"
    rb"|inner|internal|lateinit|noinline|open|operator|override|private|protected|public|reified|sealed|tailrec|value"
    rb"|vararg"
)
_INFIX = rb"(?:and|or|xor|shl|shr|ushr|to|until|downTo|step|in|is|as|else|matches|contains)\b(?![ \t]{0,99}[:=(,)])"
_OPERATOR = rb"(?:[=.,)\]\[:+\-*%<>&|?]|!(?!\w)|/(?![/*])|!?" + _INFIX + rb")"
_DECLARED = rb"(?:(?<=[.:])|(?<=\bval )|(?<=\bvar )|(?<=\bfun ))"
_VALUE_BEFORE = rb"(?:(?<=[=&|!+] )|(?<=\?: )|(?<=!)|(?<=return ))"
_LINE_END = rb"[ \t]{0,99}(?:\r?\n|//|;|\})"

# A getter has no parameter and a setter one, and a body follows: anything else is a call.
_NOT_GETTER = rb"[ \t]{0,9}\((?!\s{0,99}\)\s{0,99}[={:])"
_NOT_SETTER = (
    rb"[ \t]{0,9}\((?!\s{0,99}(?:@?\w{1,99}\s{1,99}){0,3}\w{1,99}\s{0,99}(?::[^()\n]{1,200})?,?\s{0,99}\)\s{0,99}[={:])"
)

_NAME = re.compile(
    rb"(?<![\w@$`])(?:"
    # After `.` or a declaring keyword, or as the value of something.
    + rb"(?:" + _DECLARED + rb"(?:get|set|suspend|" + _MODIFIERS + rb"))(?!\w)"
    + rb"|(?:" + _VALUE_BEFORE + rb"(?:get|set|suspend|" + _MODIFIERS + rb"))(?=" + _LINE_END + rb")"
    # Before what follows a name only.
    + rb"|(?:" + _MODIFIERS + rb")(?=[ \t]{0,99}(?:[(};]|" + _OPERATOR + rb"))"
    + rb"|suspend(?=[ \t]{0,99}(?:[};]|" + _OPERATOR + rb"))"
    + rb"|(?:[gs]et|where|by)(?=[ \t]{0,99}" + _OPERATOR + rb")"
    + rb"|get(?=" + _NOT_GETTER + rb")"
    + rb"|set(?=" + _NOT_SETTER + rb")"
    # The scanner takes these for `in` and `is` at the start of a line.
    + rb"|i[ns][0-9]\w{0,99}"
    + rb")"
)  # fmt: skip
_ANNOTATION = re.compile(
    rb"@(?![gs]et:|file:)[\w.]{1,99}(?:\([^()\n]{0,200}\))?\s{1,99}"
    rb"(?=(?:[gs]et[ \t]{0,9}\(|(?:(?:internal|private|protected|public)\s{1,9})?constructor\b))"
)
# Context parameters and the dollars of multi-dollar strings are newer than the grammar.
_UNKNOWN = re.compile(rb"^[ \t]{0,99}context\([^()\n]{1,200}\)|\$\$+(?=\")", re.MULTILINE)
_NOT_LINE_END = re.compile(rb"[^\r\n]")


def with_names_in_capitals(data: bytes) -> bytes:
    """Return Kotlin source whose soft keywords are keywords only; the data itself if nothing changes."""
    text = data
    for pattern in (_ANNOTATION, _UNKNOWN):
        text = pattern.sub(lambda match: _NOT_LINE_END.sub(b" ", match[0]), text)
    text = _NAME.sub(lambda match: match[0].upper(), text)
    return data if text == data else text
