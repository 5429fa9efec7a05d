"""A change counts once, however it came to land again: cherry-picks, backports, merges back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from pipeline.label_recipe import MESSAGES, MESSAGES_1, LabelRecipe
from tests.builders.code import module
from tests.builders.history import DAY_S, START, History
from tests.pipeline.mining.mined import credits_of, measure_history, reasons_of
from tests.rows import each_row

REPEATED = "the same change landed before"
FIRST = "def f():\n    a = 1\n    b = 2\n    return a + b\n"
TUNED = FIRST.replace("b = 2", "b = 3")  # other surroundings
FIX = ("return a + b", "return a + b or 0")
AT = START + 700 * DAY_S


def credits(work: Callable[[History, int], None], recipe: LabelRecipe = MESSAGES) -> tuple[dict[str, float], int]:
    """Return the credits of a history in which `work` happens from day 690 on, and how many commits are repeats."""
    history = History()
    history.commit("start", {"a.py": FIRST, "b.py": module("1", "1")}, day=0)
    base = history.commit("more", {"c.py": module("1")}, day=100)
    work(history, base)
    history.commit("head", {"README": "x"}, day=1643)
    mined = measure_history(history, recipe=recipe).mined
    return credits_of(mined), reasons_of(mined).get(REPEATED, 0)


def backport(
    subject: str = "fix: sum of nothing",
    body: Callable[[str], str] = lambda sha: "",
    *,
    original: str = "fix: sum of nothing",
    authored_at: int = AT + 30 * DAY_S,
    fix: tuple[str, str] = FIX,
) -> Callable[[History, int], None]:
    """Fix something on main, where the surroundings changed, and on a release branch, then merge that back."""

    def work(history: History, base: int) -> None:
        history.commit("Tune b", {"a.py": TUNED}, day=690)
        mark = history.commit(original, {"a.py": TUNED.replace(*FIX)}, at=AT)
        message = subject
        if text := body(sha_of(history, mark)):
            message += f"\n\n{text}"
        files = {"a.py": FIRST.replace(*fix)}
        side = history.commit(
            message, files, day=730, authored_at=authored_at, parents=[base], branch="release", author="Bob <b@x.org>"
        )
        history.merge("Merge release", history.tips["main"], side, {"a.py": TUNED.replace(*FIX)}, day=750)

    return work


def sha_of(history: History, mark: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        history.write(Path(folder) / "for-the-ids.git")
    return history.ids[mark]


@each_row(
    "body",
    [
        lambda sha: f"(cherry picked from commit {sha})",
        lambda sha: f"(cherry picked from commit {sha[:12]})",
        lambda sha: f"(backported from commit {sha})",
        lambda sha: f"commit {sha} upstream.",
        lambda sha: f"[ Upstream commit {sha} ]",
        lambda sha: f"Backport of {sha}",
    ],
)
def test_a_backport_that_names_its_original_counts_once(body: Callable[[str], str]) -> None:
    other = ("return a + b", "return (a + b) or 0")
    assert credits(backport("fix: as on main", body, fix=other)) == ({"a.py::f": 0.7}, 1)


@each_row(
    "subject",
    [
        "fix: sum of nothing (backport #12) (#34)",
        "Backport PR #12: fix the sum (#34)",
        "[Backport 2.x] fix the sum (#12) (#34)",
        "fix: the sum\n\nBackport of #12",
        "fix: the sum\n\nCherry-picked from acme/app!12",
    ],
)
def test_a_backport_that_names_its_pull_request_counts_once(subject: str) -> None:
    other = ("return a + b", "return (a + b) or 0")
    work = backport(subject, original="fix: sum of nothing (#12)", fix=other)
    assert credits(work) == ({"a.py::f": 0.7}, 1)


def test_equal_lines_in_other_surroundings_under_the_same_subject_count_once() -> None:
    assert credits(backport()) == ({"a.py::f": 0.7}, 1)
    assert credits(backport("fix: sum of nothing (#34)")) == ({"a.py::f": 0.7}, 1)


def test_equal_lines_by_the_same_author_and_author_time_count_once() -> None:
    def work(history: History, base: int) -> None:
        history.commit("Tune b", {"a.py": TUNED}, day=690)
        history.commit("fix: sum", {"a.py": TUNED.replace(*FIX)}, at=AT)
        files = {"a.py": FIRST.replace(*FIX)}
        side = history.commit("fix: the sum", files, day=730, authored_at=AT, parents=[base], branch="release")
        history.merge("Merge release", history.tips["main"], side, {"a.py": TUNED.replace(*FIX)}, day=750)

    assert credits(work) == ({"a.py::f": 0.7}, 1)


def test_equal_lines_alone_are_no_reason() -> None:
    assert credits(backport("fix: as on main")) == ({"a.py::f": 1.4}, 0)


def test_a_short_subject_proves_nothing() -> None:
    assert credits(backport("fix: sum", original="fix: sum")) == ({"a.py::f": 1.4}, 0)


def test_two_backports_of_a_commit_that_never_landed_here_count_once() -> None:
    def work(history: History, base: int) -> None:
        origin = "(cherry picked from commit " + "12ab34cd" * 5 + ")"
        for number, day in (("1", 700), ("2", 710)):
            fixed = FIRST.replace("return a + b", f"return a + b or {number}")
            side = history.commit(
                f"fix: sum\n\n{origin}", {"a.py": fixed}, day=day, parents=[base], branch=f"r{number}"
            )
            history.merge(f"Merge r{number}", history.tips["main"], side, {"a.py": fixed}, day=day + 1)

    assert credits(work) == ({"a.py::f": 0.7}, 1)


def test_a_pick_of_a_commit_that_was_reverted_counts() -> None:
    def work(history: History, base: int) -> None:
        mark = history.commit("fix: sum", {"a.py": FIRST.replace(*FIX)}, at=AT)
        history.commit('Revert "fix: sum"', {"a.py": FIRST}, day=710)
        picked = f"fix: sum again\n\n(cherry picked from commit {sha_of(history, mark)})"
        history.commit(picked, {"a.py": FIRST.replace(*FIX)}, day=720)

    assert credits(work) == ({"a.py::f": 0.7}, 0)


def test_version_1_knows_equal_patches_only() -> None:
    work = backport(body=lambda sha: f"(cherry picked from commit {sha})")
    assert credits(work, MESSAGES_1) == ({"a.py::f": 1.4}, 0)
