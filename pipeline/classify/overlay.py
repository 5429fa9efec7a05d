"""A repository's own rules for what is a fix and what is source, laid over the label recipe.

An overlay is no part of the recipe's id: its hash stands beside it (`config_hash`), and a density that was measured
with one is compared with those of its own installation only. Without an overlay nothing here changes a number.

- A subject in which one of `fix_patterns` is found is evidence like a conventional `fix:`. It is judged like any other:
  merges, reverts, bots, documentation and so on stay no fixes.
- A subject in which one of `ignore_patterns` is found is no fix whatever else says so, labels and issues included. A
  revert stays a revert, because what it undoes was undone.
- `include` brings back files that are out by default because of their path; a file that says itself that it was
  generated stays out, and one in a language without a grammar cannot be read. `exclude` takes files out and wins.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pipeline.classify.paths import excluded_path
from pipeline.classify.patterns import Pattern, compile_expression, compile_glob

IGNORED: Final = "ignored by this repository's configuration"
CONFIGURED: Final = "configuration"  # why a path is out, beside `exclusions.PRECEDENCE`

SEARCHED_CHARACTERS: Final = 200  # of a subject, as many as are shown
_REMEMBERED_PATHS = 1 << 16


@dataclass(frozen=True, slots=True)
class Overlay:
    """What a repository's configuration says that changes labels. Order and repetition mean nothing."""

    bug_labels: tuple[str, ...] | None = None  # instead of the default list; none: the default list
    fix_patterns: tuple[str, ...] = ()  # RE2, searched for in the subject
    ignore_patterns: tuple[str, ...] = ()
    include: tuple[str, ...] = ()  # globs as in .gitignore
    exclude: tuple[str, ...] = ()

    @property
    def config_hash(self) -> str:
        """12 hexadecimal digits of the SHA-256 of the canonical JSON; empty where nothing is said."""
        said = {
            name: sorted(set(values)) for name, values in dataclasses.asdict(self).items() if values not in (None, ())
        }
        if self.bug_labels is not None:  # no label at all is something to say
            said["bug_labels"] = sorted(set(self.bug_labels))
        if not said:
            return ""
        canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


NO_OVERLAY: Final = Overlay()


class OverlayRules:
    """An overlay compiled. Raises ValueError for a pattern that is none: whoever read the overlay has refused those."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        self._fixes = _compiled(compile_expression, overlay.fix_patterns)
        self._ignored = _compiled(compile_expression, overlay.ignore_patterns)
        self._included = _compiled(compile_glob, overlay.include)
        self._excluded = _compiled(compile_glob, overlay.exclude)
        self.excluded: Callable[[bytes], str | None] = excluded_path
        if self.changes_paths:
            self.excluded = lru_cache(maxsize=_REMEMBERED_PATHS)(self._excluded_path)

    @property
    def reads_every_message(self) -> bool:
        """Whether the cheap filter of messages would miss evidence."""
        return bool(self._fixes)

    @property
    def changes_paths(self) -> bool:
        return bool(self._included or self._excluded)

    def claims_fix(self, subject: str) -> bool:
        return _any_in(self._fixes, subject[:SEARCHED_CHARACTERS])

    def ignores(self, subject: str) -> bool:
        return _any_in(self._ignored, subject[:SEARCHED_CHARACTERS])

    def _excluded_path(self, path: bytes) -> str | None:
        """Why a file is out, as `exclusions.excluded_path` tells, or CONFIGURED."""
        text = path.decode("utf-8", "backslashreplace")
        usual = excluded_path(path)
        if usual and not _any_in(self._included, text):
            return usual
        return CONFIGURED if _any_in(self._excluded, text) else None


def _compiled(compile_one: Callable[[str], Pattern], texts: Iterable[str]) -> tuple[Pattern, ...]:
    return tuple(map(compile_one, dict.fromkeys(texts)))


def _any_in(patterns: tuple[Pattern, ...], text: str) -> bool:
    if not patterns:
        return False
    raw = text.encode("utf-8", "backslashreplace")
    return any(pattern.is_in(raw) for pattern in patterns)


NO_RULES: Final = OverlayRules(NO_OVERLAY)
