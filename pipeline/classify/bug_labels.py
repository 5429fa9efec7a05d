"""What the labels and the type of an issue or pull request say: a bug, something else, or nothing.

A label is read as a scope and a name: `type: bug`, `kind/bug`, `C-bug`, `Issue Type: Bug` and `bug` name the same.
Only scopes that tell kinds apart count: `area/bug-tracker` is about a place. docs/concepts/evidence.md has both lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal

Nature = Literal["bug", "other"]

LONGEST_LABEL: Final = 200  # GitHub's limit is 50 characters

# What stands before the name and says that a kind of issue follows.
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
_SCOPE = re.compile(r"\s*(?:::|[:/\\|>]|(?<=^[a-z])-)\s*")  # `C-bug`: a dash parts one letter only
_NO_WORD = re.compile(r"[^\w]+|_+")
# After `bug` these say that it is none, or not known to be one; anything else only tells which.
_DENIES: Final = frozenset(
    {"tracker", "bounty", "template", "triage", "possible", "potential", "unconfirmed", "suspected", "invalid",
     "wontfix", "not reproducible", "cannot reproduce", "needs info", "duplicate", "upstream", "hunt", "bash"}
)  # fmt: skip


def nature_of(labels: Iterable[str], issue_type: str | None = None, own: Sequence[str] | None = None) -> Nature | None:
    """What labels and issue type say together; "bug" wins over "other", None where they say neither.

    `own` replaces the default list of bug labels: those names, in any case and spacing, and no others. The issue type
    counts either way.
    """
    said = {label_nature(label) if own is None else _by_own_list(label, own) for label in labels}
    said.add(label_nature(issue_type) if issue_type else None)
    return "bug" if "bug" in said else "other" if "other" in said else None


def label_nature(label: str) -> Nature | None:
    """What one label says by the default lists."""
    text = _BUG_SHORTCODE.sub("\U0001f41b", label[:LONGEST_LABEL].casefold().strip())
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
        return None if details & _DENIES else "bug"
    return None


def _by_own_list(label: str, own: Sequence[str]) -> Nature | None:
    if _folded(label) in {_folded(name) for name in own}:
        return "bug"
    return "other" if label_nature(label) == "other" else None


def _folded(label: str) -> str:
    return " ".join(label[:LONGEST_LABEL].casefold().split())


def _words(text: str) -> str:
    """Words parted by single spaces; emoji, brackets and other signs dropped."""
    return " ".join(_NO_WORD.sub(" ", text).split())
