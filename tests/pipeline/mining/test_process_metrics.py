"""Process metrics: what counts for which function, and that nothing later than the snapshot leaks in."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES
from pipeline.mining.miner import Miner
from pipeline.mining.process_metrics import ProcessMetrics
from tests.builders.code import module
from tests.builders.history import DAY_S, START, History
from tests.rows import each_row

LONG = "def {name}(value):\n" + "".join(f"    step{i} = value + {i}\n" for i in range(9)) + "    return step{last}\n"
OTHER = "def other(items):\n" + "".join(f"    items.append({i})\n" for i in range(9)) + "    return items\n"
BOB, EVE = "Bob <bob@example.org>", "Eve <eve@example.org>"
QUIET = ProcessMetrics(0, 0, 0.0, None, None, 0, 0.0, 0, 0, 0.0, 0)


def metrics_of(history: History, landings: int | None = None, day: float | None = None) -> dict[str, ProcessMetrics]:
    """Return the metrics by "path::name", at the head or at a landing (from 1), as of its time or of `day`."""
    with tempfile.TemporaryDirectory() as folder:
        repository = open_repository(history.write(Path(folder) / "history.git"))
        with Miner(repository, MESSAGES) as miner:
            position = len(miner.history.chain) - 1 if landings is None else landings - 1
            names = [f"{f.path}::{f.qualified_name}" for f in miner.functions(position)]
            now = miner.history.effective_at[position] if day is None else START + round(day * DAY_S)
            return dict(zip(names, miner.process_metrics(position, now), strict=True))


def started(**files: str) -> History:
    history = History()
    history.commit("start", {name.replace("_", "."): text for name, text in files.items()}, day=0)
    return history


def test_touches_authors_and_fixes_of_a_function_and_its_file() -> None:
    history = started(a_py=module("1", "1"), b_py=module("1"))
    history.commit("work", {"a.py": module("2", "1")}, day=100)
    history.commit("fix: it", {"a.py": module("3", "1")}, day=640, author=BOB)
    history.commit("work", {"a.py": module("3", "2")}, day=820, author=EVE)
    history.commit("head", {"README": "x"}, day=1000)
    metrics = metrics_of(history)
    assert metrics["b.py::f0"] == QUIET
    file = {
        "file_touches": 2,
        "file_authors": 2,
        "file_decayed_touches": 0.5**1 + 0.5**2,
        "file_fixes": 1,
    }
    assert dataclasses.asdict(metrics["a.py::f0"]) == {
        "touches": 1,
        "authors": 1,
        "decayed_touches": 0.5**2,
        "days_since_touch": 360.0,
        "age_days": None,
        "fixes": 1,
        "credit": 0.7,
        **file,
    }
    assert dataclasses.asdict(metrics["a.py::f1"]) == {
        "touches": 1,
        "authors": 1,
        "decayed_touches": 0.5,
        "days_since_touch": 180.0,
        "age_days": None,
        "fixes": 0,
        "credit": 0.0,
        **file,
    }


def test_a_year_ends_after_365_days_and_the_look_back_after_730() -> None:
    history = started(a_py=module("1", "1", "1"))
    history.commit("fix: old", {"a.py": module("2", "1", "1")}, day=1000 - 731)
    history.commit("fix: in reach", {"a.py": module("2", "2", "1")}, day=1000 - 729)
    history.commit("work", {"a.py": module("2", "2", "2")}, day=1000 - 366)
    history.commit("work", {"a.py": module("2", "2", "3")}, day=1000 - 365)
    history.commit("head", {"README": "x"}, day=1000)
    metrics = metrics_of(history)
    f0, f1, f2 = (metrics[f"a.py::f{i}"] for i in range(3))
    assert (f0.touches, f0.fixes, f0.days_since_touch) == (0, 0, None)
    assert (f1.touches, f1.fixes, f1.days_since_touch) == (0, 1, 729.0)
    assert (f2.touches, f2.days_since_touch) == (1, 365.0)
    assert (f2.file_touches, f2.file_fixes) == (1, 1)


def test_a_function_keeps_its_metrics_if_its_file_is_renamed() -> None:
    history = started(a_py=module("1", "1"))
    history.commit("fix: it", {"a.py": module("2", "1")}, day=700)
    history.commit("rename", {"a.py": None, "z.py": module("2", "1")}, day=800)
    history.commit("head", {"README": "x"}, day=1000)
    metrics = metrics_of(history)
    assert (metrics["z.py::f0"].touches, metrics["z.py::f0"].fixes, metrics["z.py::f0"].age_days) == (1, 1, None)
    assert (metrics["z.py::f1"].touches, metrics["z.py::f1"].file_touches, metrics["z.py::f1"].file_fixes) == (0, 1, 1)


def test_a_rename_that_changes_text_touches_the_changed_functions() -> None:
    history = started(a_py=module("1", "1", "1", "1"))
    history.commit("rename", {"a.py": None, "z.py": module("2", "1", "1", "1")}, day=800)
    history.commit("head", {"README": "x"}, day=1000)
    metrics = metrics_of(history)
    assert (metrics["z.py::f0"].touches, metrics["z.py::f1"].touches, metrics["z.py::f1"].file_touches) == (1, 0, 1)


def test_a_function_keeps_its_metrics_if_it_is_renamed_and_moved() -> None:
    early, late = (LONG.format(name=name, last=1) for name in ("early", "late"))
    history = started(a_py=early + "\n" + OTHER, b_py=module("1"))
    history.commit("fix: it", {"a.py": early.replace("+ 8", "+ 9") + "\n" + OTHER}, day=700)
    history.commit("call it late", {"a.py": late.replace("+ 8", "+ 9") + "\n" + OTHER}, day=800)
    history.commit("move it", {"a.py": OTHER, "n.py": late.replace("+ 8", "+ 9")}, day=900)
    history.commit("head", {"README": "x"}, day=1000)
    metrics = metrics_of(history)
    assert (metrics["n.py::late"].touches, metrics["n.py::late"].fixes, metrics["n.py::late"].age_days) == (3, 1, None)
    assert (metrics["a.py::other"].touches, metrics["a.py::other"].file_touches) == (0, 3)


def test_a_newborn_function_has_an_age_and_no_touch() -> None:
    history = started(a_py=module("1"))
    history.commit("grow", {"a.py": module("1", "1"), "n.py": OTHER}, day=900)
    history.commit("head", {"README": "x"}, day=1000)
    metrics = metrics_of(history)
    assert metrics["a.py::f1"].age_days == 100.0
    assert (metrics["a.py::f1"].touches, metrics["a.py::f1"].file_touches) == (0, 1)
    assert metrics["n.py::other"] == dataclasses.replace(QUIET, age_days=100.0)


def test_the_same_work_merged_squashed_and_rebased_is_one_touch_by_the_same_authors() -> None:
    bodies = [module("1", "1"), module("2", "1"), module("3", "1")]
    metrics = []
    for how in ("squashed", "merged", "rebased"):
        history = started(a_py=bodies[0])
        base = history.commit("more", {"b.py": module("1")}, day=600)
        if how == "squashed":
            history.commit("work", {"a.py": bodies[2]}, day=703)
        elif how == "merged":
            one = history.commit("one", {"a.py": bodies[1]}, day=700, parents=[base], branch="side")
            two = history.commit("two", {"a.py": bodies[2]}, day=701, parents=[one], branch="side")
            history.merge("Merge", base, two, {"a.py": bodies[2]}, day=703, author=EVE)
        else:
            one = history.commit("one", {"a.py": bodies[1]}, day=703)
            history.commit("two", {"a.py": bodies[2]}, at=history.commits[-1].committed_at + 1)
        history.commit("head", {"README": "x"}, day=1000)
        process = metrics_of(history)["a.py::f0"]
        assert process.decayed_touches == pytest.approx(0.5 ** (297 / 180), rel=1e-6)
        metrics.append(
            (
                process.touches,
                process.authors,
                process.file_touches,
                process.file_authors,
            )
        )
    assert metrics == [(1, 1, 1, 1)] * 3


def test_the_authors_of_a_merge_are_those_who_changed_the_file() -> None:
    history = started(a_py=module("1", "1"), b_py=module("1"))
    base = history.commit("more", {"c.py": module("1")}, day=600)
    one = history.commit("one", {"a.py": module("2", "1")}, day=700, parents=[base], branch="side", author=BOB)
    two = history.commit("two", {"a.py": module("3", "1")}, day=701, parents=[one], branch="side", author=EVE)
    three = history.commit("b", {"b.py": module("2")}, day=702, parents=[two], branch="side")
    history.merge("Merge", base, three, {"a.py": module("3", "1"), "b.py": module("2")}, day=703)
    history.commit("head", {"README": "x"}, day=1000)
    metrics = metrics_of(history)
    assert (metrics["a.py::f0"].authors, metrics["b.py::f0"].authors, metrics["c.py::f0"].authors) == (2, 1, 0)


def test_a_fix_counts_unless_it_is_reverted_before_the_snapshot() -> None:
    history = started(a_py=module("1"))
    history.commit("fix: it", {"a.py": module("2")}, day=700)
    history.commit("other", {"README": "x"}, day=710)
    history.commit('Revert "fix: it"', {"a.py": module("1")}, day=720)
    history.commit("head", {"README": "y"}, day=730)
    fixes = [metrics_of(history, landings)["a.py::f0"].fixes for landings in (1, 2, 3, 4, 5)]
    assert fixes == [0, 1, 1, 0, 0]


def test_ages_are_relative_to_the_given_day_and_never_negative() -> None:
    history = started(a_py=module("1", "1"))
    history.commit("work", {"a.py": module("2", "1")}, day=500)
    assert metrics_of(history, day=680)["a.py::f0"].days_since_touch == 180.0
    assert metrics_of(history, day=680)["a.py::f0"].decayed_touches == 0.5
    assert metrics_of(history, day=499)["a.py::f0"].days_since_touch == 0.0
    assert metrics_of(history, day=500 + 731)["a.py::f0"] == QUIET


# -- what may be known


PEOPLE = ("Ada <ada@example.org>", BOB, EVE)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["touch", "fix", "fix", "rename", "grow", "drop", "merge", "revert", "oddly dated"]),
        st.integers(0, 2),  # which file
        st.integers(0, 2),  # which function
        st.integers(1, 90),  # days
        st.sampled_from(PEOPLE),
    ),
    min_size=4,
    max_size=14,
)


def built(steps: list[tuple[str, int, int, int, str]]) -> History:
    """Draw a history of three files that are edited, renamed, merged and reverted."""
    history = History()
    files = {f"m{i}.py": [1, 1, 1] for i in range(3)}
    day, count = 0, 0

    def texts() -> dict[str, str]:
        return {path: module(*map(str, bodies)) for path, bodies in files.items()}

    last = history.commit("start", texts(), day=0)
    for what, file, function, days, author in steps:
        day, count = day + days, count + 1
        before = texts()
        path = sorted(files)[file % len(files)]
        bodies = files[path]
        if what == "rename":
            files[f"r{count}.py"] = files.pop(path)
        elif what == "grow":
            bodies.append(1)
        elif what == "drop" and len(bodies) > 1:
            bodies.pop()
        else:
            bodies[function % len(bodies)] += count
        after = texts()
        changed = {p: after.get(p) for p in {*before, *after} if before.get(p) != after.get(p)}
        subject = {"fix": f"fix: number {count}", "revert": f'Revert "fix: number {count - 1}"'}.get(what, "work")
        when = day - 400 if what == "oddly dated" else day
        if what == "merge":
            side = history.commit("fix: aside", changed, day=day, parents=[last], branch="side", author=author)
            last = history.merge("Merge side", last, side, changed, day=day + 1)
        else:
            last = history.commit(subject, changed, day=when, author=author)
    return history


def cut_after(history: History, landings: int) -> History:
    """Return the history up to a landing of the main branch."""
    on_main = [c.mark for c in history.commits if c.branch == "main"]
    return History(commits=[c for c in history.commits if c.mark <= on_main[landings - 1]])


@settings(max_examples=12, deadline=None)
@given(STEPS, st.data())
def test_later_landings_do_not_change_the_metrics(
    steps: list[tuple[str, int, int, int, str]], data: st.DataObject
) -> None:
    history = built(steps)
    landings = data.draw(st.integers(1, sum(c.branch == "main" for c in history.commits)))
    assert metrics_of(history, landings, 900) == metrics_of(cut_after(history, landings), None, 900)


@each_row("subject", ["fix: it", "work"])
@each_row("day", [300, 900, 990, 1010])
def test_an_earlier_commit_changes_only_the_metrics_of_the_touched_function_and_its_file(
    subject: str, day: int
) -> None:
    def history(is_there: bool) -> History:
        made = started(a_py=module("1", "1"), b_py=module("1", "1"))
        made.commit("fix: both", {"a.py": module("2", "1"), "b.py": module("2", "1")}, day=200)
        text = module("2", "1")
        for when in sorted((day, 950)):
            if when == 950:
                text = text.replace("+= 2", "+= 7")
                made.commit("work", {"a.py": text}, day=950)
            if when == day and is_there:
                text = text.replace("+= 1", "+= 5")
                made.commit(subject, {"a.py": text}, day=day, author=EVE)
        made.commit("end", {"README": "x"}, day=1000)
        made.commits.sort(key=lambda c: c.committed_at)
        for older, commit in zip(made.commits, made.commits[1:], strict=False):
            commit.parents = [older.mark]
        return made

    def at_the_end(made: History) -> dict[str, ProcessMetrics]:
        return metrics_of(made, 1 + [c.message for c in made.commits].index(b"end"))

    without, with_it = at_the_end(history(False)), at_the_end(history(True))
    changed = {
        name: {field for field, value in dataclasses.asdict(process).items() if value != getattr(without[name], field)}
        for name, process in with_it.items()
    }
    expected_own = {"decayed_touches", "days_since_touch"}
    if day >= 1000 - 365:
        expected_own |= {"touches", "authors"}
    if subject == "fix: it":
        expected_own |= {"fixes", "credit"}
    expected_file = {"file_decayed_touches"} | ({"file_touches", "file_authors"} if day >= 1000 - 365 else set())
    expected_file |= {"file_fixes"} if subject == "fix: it" else set()
    nothing: set[str] = set()
    assert changed == {
        "a.py::f0": nothing if day > 1000 else expected_file,
        "a.py::f1": nothing if day > 1000 else expected_own | expected_file,
        "b.py::f0": nothing,
        "b.py::f1": nothing,
    }


def test_a_function_that_got_another_ordinal_keeps_its_age_and_touches() -> None:
    one = "    int weigh(String a) {\n        return use(a, 1);\n    }\n"
    two = "    int weigh(int[] parts) {\n        int sum = total(parts);\n        return sum;\n    }\n"
    history = started(Box_java="class Box {\n" + two + "}\n")
    history.commit("work", {"Box.java": "class Box {\n" + two.replace("total", "sum") + "}\n"}, day=800)
    history.commit("grow", {"Box.java": "class Box {\n" + one + two.replace("total", "sum") + "}\n"}, day=820)
    history.commit("head", {"README": "x"}, day=1000)
    with tempfile.TemporaryDirectory() as folder:
        repository = open_repository(history.write(Path(folder) / "history.git"))
        with Miner(repository, MESSAGES) as miner:
            grown, old = miner.process_metrics(3, miner.history.effective_at[3])
            joined = miner.join(0, 3)
    assert (grown.age_days, grown.touches) == (180, 0)
    assert (old.age_days, old.touches, old.days_since_touch) == (None, 1, 200)
    assert joined == (None, 0)


def test_a_restored_file_keeps_the_past_of_its_functions_and_its_own() -> None:
    history = started(a_py=module("1", "1"))
    history.commit("fix: it", {"a.py": module("2", "1")}, day=700)
    history.commit("drop", {"a.py": None}, day=800)
    history.commit("back", {"a.py": module("2", "1")}, day=810)
    history.commit("head", {"README": "x"}, day=1000)
    metrics = metrics_of(history)["a.py::f0"]
    assert (metrics.age_days, metrics.fixes, metrics.file_fixes, metrics.file_touches) == (None, 1, 1, 2)
