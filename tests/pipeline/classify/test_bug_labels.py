"""Labels of bugs, labels of other kinds, and labels without a kind."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pipeline.classify.bug_labels import BUG_NAMES, KIND_SCOPES, OTHER_NAMES, label_nature, nature_of
from tests.rows import each_row

ROOT = Path(__file__).parents[3]

BUGS = [
    "bug", "Bug", "BUG", " bug ", "bugs", "type: bug", "type:bug", "Type: Bug", "type/bug", "type / bug", "type::bug",
    "kind/bug", "kind/regression", "kind/bug/confirmed", "kind/bug/fix", "C-bug", "c-bug", "T-bug", "T-Defect",
    "class:bug", "category: bug", "Issue Type: Bug Report", "issue: bug", "bug report", "bug-report", "Bug_Report",
    "defect", "regression", "type: regression", "regression-from-stable-to-stable", "regression-fix", "🐛", "🐞",
    ":bug:", ":bug: bug", "🐛 bug", "bug 🐛", "🐞 bug", ":lady_beetle: bug", ":beetle:", "bugfix", "bug-fix", "Bug Fix",
    "type: bug/fix", "bug: crash", "bug/p1", "confirmed bug", "[bug]", "(bug)", "crash", "fix", "type: fix",
]  # fmt: skip
OTHERS = [
    "feature", "Feature Request", "type: feature", "kind/enhancement", "C-enhancement", "enhancement",
    ":sparkles: feature", "✨ feature", "documentation", "docs", "type: docs", "kind/docs", "question",
    "type: question", "Issue Type: Question", "new feature", "not a bug", "not-a-bug", "T-Enhancement", "refactor",
    "dependencies", "type: feature 🐛",
]  # fmt: skip
SILENT = [
    "", " ", ":", "/", "type", "type:", "kind/", "area/bug-tracker", "area: bug", "component/bug", "bug-tracker",
    "bug tracker", "bug: unconfirmed", "kind/bug/possible", "bug bounty", "debug", "type: debug", "bugsnag",
    "has bug report attached", "good first issue", "P1", "priority: high", "needs triage", "stale", "wontfix",
    "duplicate", "area/docs", "module: documentation", "regression test", "linear regression", "prefix", "docs-build",
    "lang/fix", ":rocket:", "🚀", "scope: bug", "bug?!bounty", "confirmed",
]  # fmt: skip


@each_row("label", BUGS)
def test_labels_of_bugs(label: str) -> None:
    assert label_nature(label) == "bug"


@each_row("label", OTHERS)
def test_labels_of_other_kinds(label: str) -> None:
    assert label_nature(label) == "other"


@each_row("label", SILENT)
def test_labels_without_a_kind(label: str) -> None:
    assert label_nature(label) is None


def test_a_bug_label_wins_over_every_other() -> None:
    assert nature_of(["docs", "kind/bug", "P1"]) == "bug"
    assert nature_of(["docs", "P1"]) == "other"
    assert nature_of(["P1"]) is None
    assert nature_of([]) is None


def test_the_issue_type_counts_like_a_label() -> None:
    assert nature_of([], "Bug") == "bug"
    assert nature_of(["feature"], "Bug") == "bug"
    assert nature_of([], "Feature") == "other"
    assert nature_of([], "Task") is None


def test_a_custom_list_replaces_the_default() -> None:
    own = ["Reported  Problem"]
    assert nature_of(["reported problem"], bug_labels=own) == "bug"
    assert nature_of(["bug"], bug_labels=own) is None
    assert nature_of(["feature"], bug_labels=own) == "other"
    assert nature_of(["bug"], "Bug", bug_labels=own) == "bug"
    assert nature_of(["feature"], bug_labels=["feature"]) == "bug"
    assert nature_of(["bug"], bug_labels=[]) is None


@given(st.lists(st.sampled_from([*BUGS, *OTHERS, *SILENT]), max_size=6))
def test_the_order_of_labels_does_not_matter(labels: list[str]) -> None:
    assert nature_of(labels) == nature_of(sorted(labels)) == nature_of(labels[::-1] * 2)


@given(st.text(max_size=60))
def test_any_label_has_the_same_nature_in_any_case(label: str) -> None:
    assert label_nature(label) in ("bug", "other", None)


@given(
    st.sampled_from(sorted(BUG_NAMES)), st.sampled_from(sorted(KIND_SCOPES)), st.sampled_from([":", ": ", "/", " / "])
)
def test_a_scope_for_kinds_does_not_change_the_nature(name: str, scope: str, between: str) -> None:
    assert label_nature(f"{scope}{between}{name}") == label_nature(name) == "bug"


def test_no_name_is_in_both_lists() -> None:
    assert not BUG_NAMES & OTHER_NAMES


def test_the_documentation_lists_every_name() -> None:
    documented = set(
        re.findall(r"`([^`\n]+)`", (ROOT / "docs" / "concepts" / "evidence.md").read_text(encoding="utf-8"))
    )
    assert documented >= BUG_NAMES | OTHER_NAMES | KIND_SCOPES
