"""Patterns that a repository wrote, compiled so that none of them can hang: RE2 takes time in the length of the text.

Two kinds: regular expressions as RE2 knows them (no look-around, no back-references), searched for in a subject; and
the globs of `.gitignore`, translated by pathspec as git reads them and matched by RE2 too, because `*a*a*a*b` is as
slow as any regular expression in an engine that tries again.
"""

from __future__ import annotations

from typing import Final

import re2
from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

LONGEST_PATTERN_BYTES: Final = 500
MOST_PATTERNS: Final = 50  # of one kind
_MEMORY_BYTES: Final = 1 << 20  # of one compiled pattern; one that needs more is refused
_MOST_INSTRUCTIONS: Final = 5_000  # RE2 may take a step an instruction and letter: linear, and yet slow


class Pattern:
    """A compiled pattern. Text that is searched is cut by the caller: time and memory go with its length."""

    __slots__ = ("_compiled",)

    def __init__(self, expression: str) -> None:
        options = re2.Options()
        options.max_mem = _MEMORY_BYTES
        options.log_errors = False
        options.never_capture = True
        options.dot_nl = True  # a path may hold a line break; a subject never does
        try:
            self._compiled = re2.compile(expression, options)
        except re2.error as error:
            raise ValueError(_reason(error)) from None
        if self._compiled.programsize > _MOST_INSTRUCTIONS:
            raise ValueError("it repeats too much: RE2 would take long over it")

    def is_in(self, text: bytes) -> bool:
        """Whether the pattern is found anywhere in `text` (UTF-8; what is not matches no letter)."""
        return self._compiled.search(text) is not None


def compile_expression(text: str) -> Pattern:
    """A regular expression for subjects. Raises ValueError, with the reason, for one that RE2 does not take."""
    _require_size(text)
    pattern = Pattern(text)
    if pattern.is_in(b""):
        raise ValueError("it matches where nothing is, so it matches every subject")
    return pattern


def compile_glob(text: str) -> Pattern:
    """A glob for paths, as in `.gitignore` but for `!`. Raises ValueError, with the reason, for anything else."""
    _require_size(text)
    if text.startswith("!"):
        raise ValueError("a pattern that begins with ! is not known here: name the path in the other list")
    try:
        expression, _ = GitIgnoreSpecPattern.pattern_to_regex(text)
    except GitIgnorePatternError:
        expression = None
    if expression is None:
        raise ValueError("it is no pattern as git reads them in .gitignore")
    return Pattern(str(expression))


def _require_size(text: str) -> None:
    if not text:
        raise ValueError("it is empty")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("it is no text") from None
    if size > LONGEST_PATTERN_BYTES:
        raise ValueError(f"it has {size:,} bytes, and at most {LONGEST_PATTERN_BYTES} are read")


def _reason(error: Exception) -> str:
    """What RE2 complains of, without the pattern that it quotes behind a colon."""
    told = error.args[0] if error.args else b""
    text = told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
    return f"RE2 does not take it ({text.partition(':')[0]})"
