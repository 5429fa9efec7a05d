"""Markdown of ours around words that are not ours. Everything foreign ends up as code or as plain words.

GitHub links no mention, reference, SHA or address inside code, and shows no HTML, image or emoji there. So a foreign
name becomes a code span, foreign lines become a code block, and of a foreign sentence every word that is more than
letters and digits becomes a code span.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import groupby

from pipeline.reports.escape import ELLIPSIS, inert

LONGEST_NAME = 200
LONGEST_SENTENCE = 600
MOST_BYTES = 65_535  # of UTF-8, in a check run's summary and in its text
MOST_MARKS = 2  # accents and the like on one letter; more is a tower that covers the lines above

_NOTHING = "(nothing)"
_RUN = re.compile(r"`+")
# Printable to Python, yet nothing to see: fillers, selectors and joiners.
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u200c\u200d\u2800\u3164\uffa0") | {
    chr(c) for c in (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
}
_FENCE = re.compile(r"`{3,}")

# A word that no renderer makes anything of: letters and digits, with hyphens and the like only between them.
_PLAIN = re.compile(r"[±(]?[^\W_]+(?:[-.,’'][^\W_]+)*%?[).,;:]*")
_MARKS = frozenset("%+–−×±")
_QUOTED = re.compile(r"`([\w.+-]+)`([.,;:]?)", re.ASCII)  # a name that our own sentences quote
# Plain, and yet linked by GitHub: addresses without a scheme, commits, keys of a tracker, our own ordered lists.
_LINKED = re.compile(r"www\.|(?:https?|ftp|mailto|javascript):|\b[0-9a-f]{7,}\b|[a-z]-\d", re.IGNORECASE)
_NUMBERED = re.compile(r"\d+[.)]+")


def seen(text: str, longest: int = LONGEST_NAME) -> str:
    """At most `longest` characters of `text`, all visible: what cannot be seen is shown as `\\u200b` and so on."""
    shown, marks = [], 0
    for character in inert(text, longest):
        marks = marks + 1 if unicodedata.category(character)[0] == "M" else 0
        hidden = character in _UNSEEN or marks > MOST_MARKS
        shown.append(character.encode("unicode_escape").decode() if hidden else character)
    return "".join(shown)


def code(text: str, longest: int = LONGEST_NAME) -> str:
    """A foreign name as a code span that it cannot end."""
    shown = seen(text, longest)
    if not shown.strip():
        return _NOTHING
    ticks = "`" * (max((len(run) for run in _RUN.findall(shown)), default=0) + 1)
    pad = " " if len(ticks) > 1 or shown[0] == " " or shown[-1] == " " else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def block(lines: Iterable[str], longest: int = LONGEST_NAME) -> str:
    """Lines, foreign or not, as a code block that they cannot end."""
    shown = [seen(line, longest) for line in lines]
    longest_run = max((len(run) for line in shown for run in _RUN.findall(line)), default=0)
    fence = "`" * max(3, longest_run + 1)
    return "\n".join([f"{fence}text", *shown, fence])


def prose(text: str, longest: int = LONGEST_SENTENCE) -> str:
    """A foreign sentence: plain words stay, everything else stands in code spans."""
    words = seen(text, longest).split()
    parts: list[str] = []
    for plain, group in groupby(enumerate(words), key=lambda item: _is_plain(item[1], first=item[0] == 0)):
        run = [word for _, word in group]
        parts.extend(run if plain else _coded(run))
    return " ".join(parts) or _NOTHING


def _is_plain(word: str, *, first: bool) -> bool:
    if word in _MARKS or word == ELLIPSIS:
        return not first
    if _LINKED.search(word) or (first and _NUMBERED.fullmatch(word)):
        return False
    return bool(_PLAIN.fullmatch(word.removesuffix(ELLIPSIS)))


def _coded(words: Sequence[str]) -> list[str]:
    """Code spans for words side by side: one for all, but for what our own sentences put in code already."""
    parts = []
    for quoted, group in groupby(words, key=lambda word: bool(_QUOTED.fullmatch(word))):
        run = list(group)
        parts.extend(run if quoted else [_code_but_its_stop(" ".join(run))])
    return parts


def _code_but_its_stop(text: str) -> str:
    """A code span, and behind it the full stop, comma or colon that ends the text."""
    bare = text.rstrip(".,:;")
    return code(bare, LONGEST_SENTENCE * 12) + text[len(bare) :] if bare else code(text)


def fit(text: str, note: str, most_bytes: int = MOST_BYTES) -> str:
    """`text` where it has at most `most_bytes` bytes of UTF-8, else its first lines, then `note`.

    A code block that is cut is closed. `note` is Markdown of ours.
    """
    if _size(text) <= most_bytes:
        return text
    kept: list[str] = []
    fence, size = "", _size(note) + 2
    for line in text.split("\n"):
        opened = _fence_after(fence, line)
        size += _size(line) + 1
        if size + len(fence or opened) + 1 > most_bytes:
            break
        kept.append(line)
        fence = opened
    return "\n".join([*kept, *([fence] if fence else []), "", note])


def _fence_after(fence: str, line: str) -> str:
    """The fence of the code block that is open after `line`; empty where none is."""
    if fence:
        return "" if line == fence else fence
    found = _FENCE.match(line)
    return found[0] if found else ""


def _size(text: str) -> int:
    return len(text.encode("utf-8", "backslashreplace"))
