"""The one line of a comment that may be written down: a command of ours, with nothing but options that we know.

A command stands at the very start of the comment, so a quote, a code block or an HTML comment cannot hold one. The
line is put together again from the words that were recognised: nothing else that a person wrote passes.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST_LINE: Final = 200

_LINE: Final = re.compile(rf"[^\r\n]{{0,{LONGEST_LINE + 1}}}")
_BASE_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,63})?", re.ASCII)
_WORDS: Final = ("/finetune", "/screen", "/assay")
_WHOLE: Final = (["/screen"], ["/assay", "help"], ["/finetune"], ["/finetune", "status"], ["/finetune", "cancel"])


def command_of(body: str) -> tuple[str, bool] | None:
    """The command that a comment begins with, and whether it is clear; None where it begins with none.

    Of a command with words that we do not know only the first word is kept, and it is not clear: `/finetune cancle`
    must not start what it was meant to end.
    """
    if not body.startswith(_WORDS):
        return None
    line = _LINE.match(body)
    assert line is not None  # it matches the empty line too
    words = line[0].split()
    if words[0] not in _WORDS:
        return None
    if len(line[0]) <= LONGEST_LINE and (words in _WHOLE or _are_options(words)):
        return " ".join(words), True
    return words[0], False


def _are_options(words: list[str]) -> bool:
    """Is it `/finetune` with `--force` and `--base-model X`, each at most once?"""
    if words[0] != "/finetune":
        return False
    left = words[1:]
    seen: list[str] = []
    while left:
        option = left.pop(0)
        if option in seen or option not in ("--force", "--base-model"):
            return False
        if option == "--base-model" and not (left and _BASE_MODEL.fullmatch(left.pop(0))):
            return False
        seen.append(option)
    return True
