"""Markdown that keeps foreign text inert: it ends up as code or as plain words.

GitHub resolves no mention, reference, SHA or address inside code, and renders no HTML, image or emoji there. A foreign
name therefore becomes a code span and foreign lines a code block; in a foreign sentence every word that is more than
letters and digits becomes a code span.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import groupby

from pipeline.reports.escape import ELLIPSIS, inert

MAX_NAME = 200
MAX_SENTENCE = 600
MAX_BYTES = 65_535  # of UTF-8, in the summary and in the text of a check run
MAX_MARKS = 2  # combining marks on one letter; more of them cover the lines above

_EMPTY = "(nothing)"
_BACKTICKS = re.compile(r"`+")
# Printable according to Python, but invisible: fillers, selectors and joiners.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u200c\u200d\u2800\u3164\uffa0") | {
    chr(c) for c in (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
}
_FENCE = re.compile(r"`{3,}")

# A word that no renderer interprets: letters and digits, with hyphens and the like only between them.
_PLAIN = re.compile(r"[±(]?[^\W_]+(?:[-.,’'][^\W_]+)*%?[).,;:]*")
_MARKS = frozenset("%+–−×±")
_QUOTED = re.compile(r"`([\w.+-]+)`([.,;:]?)", re.ASCII)  # a name that our own sentences quote
# Plain, but GitHub links or numbers them: addresses without a scheme, SHAs, tracker keys, ordered lists.
_LINKED = re.compile(r"www\.|(?:https?|ftp|mailto|javascript):|\b[0-9a-f]{7,}\b|[a-z]-\d", re.IGNORECASE)
_NUMBERED = re.compile(r"\d+[.)]+")


def paragraphs(*parts: str) -> str:
    """Join paragraphs with blank lines, skipping empty ones."""
    return "\n\n".join(part for part in parts if part)


def section(heading: str, *parts: str) -> str:
    """Return a heading and its paragraphs; empty if all of them are."""
    return paragraphs(f"### {heading}", *parts) if any(parts) else ""


def bullets(lines: Iterable[str]) -> str:
    """Return a list, skipping empty lines."""
    return "\n".join(f"- {line}" for line in lines if line)


def numbered(lines: Iterable[str]) -> str:
    """Return an ordered list."""
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


def short_sha(sha: str) -> str:
    """Return the first seven characters of a commit's SHA as a code span."""
    return code(sha[:7])


def capitalized(sentence: str) -> str:
    """Return a sentence with a capital first letter and everything else unchanged."""
    return sentence[:1].upper() + sentence[1:]


def uncapitalized(sentence: str) -> str:
    """Return a sentence with a small first letter, to continue another one."""
    return sentence[:1].lower() + sentence[1:]


def visible(text: str, max_length: int = MAX_NAME) -> str:
    """Return at most `max_length` characters of `text`, with invisible ones spelled out as `\\u200b`."""
    shown, marks = [], 0
    for character in inert(text, max_length):
        marks = marks + 1 if unicodedata.category(character)[0] == "M" else 0
        hidden = character in _INVISIBLE or marks > MAX_MARKS
        shown.append(character.encode("unicode_escape").decode() if hidden else character)
    return "".join(shown)


def code(text: str, max_length: int = MAX_NAME) -> str:
    """Return a foreign name as a code span that it cannot close."""
    shown = visible(text, max_length)
    if not shown.strip():
        return _EMPTY
    ticks = "`" * (max((len(run) for run in _BACKTICKS.findall(shown)), default=0) + 1)
    pad = " " if len(ticks) > 1 or shown[0] == " " or shown[-1] == " " else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def block(lines: Iterable[str], max_length: int = MAX_NAME) -> str:
    """Return lines, foreign or not, as a code block that they cannot close."""
    shown = [visible(line, max_length) for line in lines]
    longest_run = max((len(run) for line in shown for run in _BACKTICKS.findall(line)), default=0)
    fence = "`" * max(3, longest_run + 1)
    return "\n".join([f"{fence}text", *shown, fence])


def prose(text: str, max_length: int = MAX_SENTENCE) -> str:
    """Return a foreign sentence with its plain words as they are and everything else in code spans."""
    words = visible(text, max_length).split()
    parts: list[str] = []
    for plain, group in groupby(enumerate(words), key=lambda item: _is_plain(item[1], first=item[0] == 0)):
        run = [word for _, word in group]
        parts.extend(run if plain else _coded(run))
    return " ".join(parts) or _EMPTY


def fit(text: str, note: str, max_bytes: int = MAX_BYTES) -> str:
    """Return `text` if it has at most `max_bytes` bytes of UTF-8, else its first lines and `note`.

    A code block that is cut is closed. `note` is our own Markdown.
    """
    if _size(text) <= max_bytes:
        return text
    kept: list[str] = []
    fence, size = "", _size(note) + 2
    for line in text.split("\n"):
        opened = _fence_after(fence, line)
        size += _size(line) + 1
        if size + len(fence or opened) + 1 > max_bytes:
            break
        kept.append(line)
        fence = opened
    return "\n".join([*kept, *([fence] if fence else []), "", note])


def _is_plain(word: str, *, first: bool) -> bool:
    if word in _MARKS or word == ELLIPSIS:
        return not first
    if _LINKED.search(word) or (first and _NUMBERED.fullmatch(word)):
        return False
    return bool(_PLAIN.fullmatch(word.removesuffix(ELLIPSIS)))


def _coded(words: Sequence[str]) -> list[str]:
    """Put adjacent words into one code span, except names that our own sentences already quote."""
    parts = []
    for quoted, group in groupby(words, key=lambda word: bool(_QUOTED.fullmatch(word))):
        run = list(group)
        parts.extend(run if quoted else [_code_before_stop(" ".join(run))])
    return parts


def _code_before_stop(text: str) -> str:
    """Return a code span, followed by the full stop, comma or colon that ends the text."""
    bare = text.rstrip(".,:;")
    return code(bare, MAX_SENTENCE * 12) + text[len(bare) :] if bare else code(text)


def _fence_after(fence: str, line: str) -> str:
    """Return the fence of the code block that is open after `line`; empty if none is."""
    if fence:
        return "" if line == fence else fence
    opened = _FENCE.match(line)
    return opened[0] if opened else ""


def _size(text: str) -> int:
    return len(text.encode("utf-8", "backslashreplace"))
