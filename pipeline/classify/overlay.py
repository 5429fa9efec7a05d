"""Apply a repository's own rules for fixes and source files on top of the label recipe.

An overlay is not part of the recipe's id: its hash is stored beside it (`config_hash`), and a density measured with an
overlay is compared only within its own installation. Without an overlay nothing here changes a number.

- A subject that matches one of `fix_patterns` is evidence like a conventional `fix:`, subject to the same exclusions:
  merges, reverts, bots, documentation and so on.
- A subject that matches one of `ignore_patterns` is no fix, even if labels or issues say so. A revert stays a revert,
  because its target was undone.
- `include` restores files that are excluded by path. Files that are marked as generated stay excluded, and files in
  languages without a grammar cannot be parsed. `exclude` excludes files and takes precedence.
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
CONFIGURED: Final = "configuration"  # a reason to exclude a path, besides `paths.PRECEDENCE`

SEARCHED_CHARACTERS: Final = 200  # of a subject, as many as are displayed
_CACHED_PATHS = 1 << 16


@dataclass(frozen=True, slots=True)
class Overlay:
    """The settings of a repository that change labels. Order and repetition do not matter."""

    bug_labels: tuple[str, ...] | None = None  # instead of the default list; None: the default list
    fix_patterns: tuple[str, ...] = ()  # RE2, searched in the subject
    ignore_patterns: tuple[str, ...] = ()
    include: tuple[str, ...] = ()  # globs as in .gitignore
    exclude: tuple[str, ...] = ()

    @property
    def config_hash(self) -> str:
        """12 hexadecimal digits of the SHA-256 of the canonical JSON; empty if nothing is set."""
        settings = {
            name: sorted(set(values)) for name, values in dataclasses.asdict(self).items() if values not in (None, ())
        }
        if self.bug_labels is not None:  # an empty list is a setting
            settings["bug_labels"] = sorted(set(self.bug_labels))
        if not settings:
            return ""
        canonical = json.dumps(settings, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


NO_OVERLAY: Final = Overlay()


class OverlayRules:
    """A compiled overlay on top of the `default` rules of paths.

    Raises ValueError for an invalid pattern, which reading the configuration has ruled out.
    """

    def __init__(self, overlay: Overlay, default: Callable[[bytes], str | None] = excluded_path) -> None:
        self.overlay = overlay
        self._default = default
        self._fixes = _compiled(compile_expression, overlay.fix_patterns)
        self._ignored = _compiled(compile_expression, overlay.ignore_patterns)
        self._included = _compiled(compile_glob, overlay.include)
        self._excluded = _compiled(compile_glob, overlay.exclude)
        self.excluded = default
        if self.changes_paths:
            self.excluded = lru_cache(maxsize=_CACHED_PATHS)(self._excluded_path)

    @property
    def reads_every_message(self) -> bool:
        """Whether evidence could be missed by the cheap filter of messages."""
        return bool(self._fixes)

    @property
    def changes_paths(self) -> bool:
        return bool(self._included or self._excluded)

    def claims_fix(self, subject: str) -> bool:
        return _any_matches(self._fixes, subject[:SEARCHED_CHARACTERS])

    def ignores(self, subject: str) -> bool:
        return _any_matches(self._ignored, subject[:SEARCHED_CHARACTERS])

    def _excluded_path(self, path: bytes) -> str | None:
        """Return why a file is excluded, as `paths.excluded_path`, or CONFIGURED."""
        text = path.decode("utf-8", "backslashreplace")
        default = self._default(path)
        if default and not _any_matches(self._included, text):
            return default
        return CONFIGURED if _any_matches(self._excluded, text) else None


def _compiled(compile_one: Callable[[str], Pattern], texts: Iterable[str]) -> tuple[Pattern, ...]:
    return tuple(map(compile_one, dict.fromkeys(texts)))


def _any_matches(patterns: tuple[Pattern, ...], text: str) -> bool:
    if not patterns:
        return False
    raw = text.encode("utf-8", "backslashreplace")
    return any(pattern.matches(raw) for pattern in patterns)


NO_RULES: Final = OverlayRules(NO_OVERLAY)
