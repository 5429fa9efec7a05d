"""Compile the patterns of a repository's configuration with RE2, whose matching time is linear in the text.

There are two kinds: regular expressions in RE2's syntax (no look-around, no back-references), searched in subjects; and
the globs of `.gitignore`, translated by pathspec as git reads them. Globs are matched by RE2 too, because `*a*a*a*b` is
as slow as any regular expression in a backtracking engine.
"""

from __future__ import annotations

from typing import Final

import re2
from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

MAX_PATTERN_BYTES: Final = 500
MAX_PATTERNS: Final = 50  # of one kind
_MEMORY_BYTES: Final = 1 << 20  # per compiled pattern; patterns that need more are rejected
_MAX_INSTRUCTIONS: Final = 5_000  # RE2 may take a step per instruction and letter: linear, but slow


class Pattern:
    """A compiled pattern. Time and memory grow with the text: the caller limits its length."""

    __slots__ = ("_compiled",)

    def __init__(self, expression: str) -> None:
        options = re2.Options()
        options.max_mem = _MEMORY_BYTES
        options.log_errors = False
        options.never_capture = True
        options.dot_nl = True  # a path may contain a line break, a subject never does
        try:
            self._compiled = re2.compile(expression, options)
        except re2.error as error:
            raise ValueError(_reason(error)) from None
        if self._compiled.programsize > _MAX_INSTRUCTIONS:
            raise ValueError("it repeats too much and would be slow to match")

    def matches(self, text: bytes) -> bool:
        """Return whether the pattern matches anywhere in `text` (UTF-8; invalid bytes match no letter)."""
        return self._compiled.search(text) is not None


def compile_expression(text: str) -> Pattern:
    """Compile a regular expression for subjects. Raises ValueError, with the reason, if RE2 rejects it."""
    _require_size(text)
    pattern = Pattern(text)
    if pattern.matches(b""):
        raise ValueError("it matches the empty string, so it matches every subject")
    return pattern


def compile_glob(text: str) -> Pattern:
    """Compile a glob for paths, as in `.gitignore` but without `!`. Raises ValueError, with the reason."""
    _require_size(text)
    if text.startswith("!"):
        raise ValueError("patterns that begin with ! are not supported: put the path into the other list")
    try:
        expression, _ = GitIgnoreSpecPattern.pattern_to_regex(text)
    except GitIgnorePatternError:
        expression = None
    if expression is None:
        raise ValueError("it is not a valid .gitignore pattern")
    return Pattern(str(expression))


def _require_size(text: str) -> None:
    if not text:
        raise ValueError("it is empty")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("it is not valid text") from None
    if size > MAX_PATTERN_BYTES:
        raise ValueError(f"it has {size:,} bytes, over the limit of {MAX_PATTERN_BYTES}")


def _reason(error: Exception) -> str:
    """Return RE2's complaint, without the pattern that it quotes after a colon."""
    message = error.args[0] if error.args else b""
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
    return f"RE2 rejects it ({text.partition(':')[0]})"
