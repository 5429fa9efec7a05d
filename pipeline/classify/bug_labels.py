"""Classify the labels and the type of an issue or pull request: a bug, something else, or unknown.

A label is parsed as a scope and a name: `type: bug`, `kind/bug`, `C-bug`, `Issue Type: Bug` and `bug` are the same.
Only scopes for the kind of an issue count: `area/bug-tracker` is about a component. docs/concepts/evidence.md has both
lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal

Nature = Literal["bug", "other"]

MAX_LABEL_CHARACTERS: Final = 200  # GitHub's limit is 50 characters

# Scopes after which the kind of an issue follows.
KIND_SCOPES: Final = frozenset(
    {"type", "types", "kind", "issue type", "issue kind", "issue", "category", "class", "nature", "t", "c", "k"}
)

BUG_NAMES: Final = frozenset(
    {
        "bug", "bugs", "bug report", "bug reports", "bug fix", "bug fixes", "bugfix", "bugfixes", "hotfix", "fix",
        "defect", "defects", "regression", "regressions", "regression fix", "crash", "confirmed bug", "known bug",
        "verified bug", "critical bug", "major bug", "minor bug", "security bug", "bug confirmed",
    }
)  # fmt: skip

OTHER_NAMES: Final = frozenset(
    {
        "feature", "features", "feature request", "feature requests", "new feature", "enhancement", "enhancements",
        "improvement", "improvements", "suggestion", "idea", "proposal", "rfc", "wishlist", "documentation",
        "docs", "doc", "question", "questions", "support", "discussion", "usage", "refactor", "refactoring", "cleanup",
        "chore", "maintenance", "dependencies", "dependency", "not a bug", "non bug", "no bug", "typo", "ci", "epic",
    }
)  # fmt: skip

_BUG_EMOJI: Final = frozenset("\U0001f41b\U0001f41e\U0001fab2")  # bug, lady beetle, beetle
_BUG_SHORTCODE = re.compile(r":(?:bug|lady_beetle|ladybug|beetle):")
_SHORTCODE = re.compile(r":[a-z0-9_+-]{1,40}:")
_SCOPE = re.compile(r"\s*(?:::|[:/\\|>]|(?<=^[a-z])-)\s*")  # `C-bug`: a dash ends only a scope of one letter
_NO_WORD = re.compile(r"[^\w]+|_+")
# After `bug` these deny or question it; anything else is a detail.
_NEGATIONS: Final = frozenset(
    {"tracker", "bounty", "template", "triage", "possible", "potential", "unconfirmed", "suspected", "invalid",
     "wontfix", "not reproducible", "cannot reproduce", "needs info", "duplicate", "upstream", "hunt", "bash"}
)  # fmt: skip


def nature_of(
    labels: Iterable[str], issue_type: str | None = None, bug_labels: Sequence[str] | None = None
) -> Nature | None:
    """Return the nature of an issue by its labels and type; "bug" wins over "other", None if there is neither.

    `bug_labels` replaces the default list: only these names, in any case and spacing, mean a bug. The issue type counts
    in any case.
    """
    natures = {label_nature(label) if bug_labels is None else _by_custom_list(label, bug_labels) for label in labels}
    natures.add(label_nature(issue_type) if issue_type else None)
    return "bug" if "bug" in natures else "other" if "other" in natures else None


def label_nature(label: str) -> Nature | None:
    """Return the nature of one label by the default lists."""
    text = _BUG_SHORTCODE.sub("\U0001f41b", label[:MAX_LABEL_CHARACTERS].casefold().strip())
    is_marked = any(sign in text for sign in _BUG_EMOJI)
    parts = [name for part in _SCOPE.split(_SHORTCODE.sub(" ", text)) if (name := _words(part))]
    if parts and parts[0] in KIND_SCOPES:
        parts = parts[1:] or parts
    if not parts:
        return "bug" if is_marked else None
    name, details = parts[0], set(parts[1:])
    if name in OTHER_NAMES:
        return "other"
    if name in BUG_NAMES or name.startswith("regression from "):
        return None if details & _NEGATIONS else "bug"
    return None


def _by_custom_list(label: str, bug_labels: Sequence[str]) -> Nature | None:
    if _folded(label) in {_folded(name) for name in bug_labels}:
        return "bug"
    return "other" if label_nature(label) == "other" else None


def _folded(label: str) -> str:
    return " ".join(label[:MAX_LABEL_CHARACTERS].casefold().split())


def _words(text: str) -> str:
    """Return the words separated by single spaces, without emoji, brackets and other signs."""
    return " ".join(_NO_WORD.sub(" ", text).split())
