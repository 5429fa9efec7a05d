"""Lineage across branches: every fix reaches the function that was alive at the start of the window."""

from __future__ import annotations

import pytest

from pipeline.label_recipe import MESSAGES_1
from tests.builders.code import module
from tests.builders.history import History
from tests.pipeline.mining.mined import credits_of, measure_history

FIRST, SECOND, THIRD = module("1", "1"), module("2", "1"), module("2", "2")
LONG = "def {name}(value):\n" + "".join(f"    step{i} = value + {i}\n" for i in range(9)) + "    return step{last}\n"


def ended(history: History) -> dict[str, float]:
    history.commit("head", {"README": "x"}, day=1643)
    return credits_of(measure_history(history).mined)


def started(**files: str) -> tuple[History, int]:
    history = History()
    history.commit("start", {name.replace("_", "."): text for name, text in files.items()}, day=0)
    return history, history.commit("later", {"README": "y"}, day=600)


def test_a_branch_that_began_on_another_branch_is_traced_through_both() -> None:
    history, base = started(a_py=FIRST, b_py=FIRST)
    renamed = history.commit("rename", {"a.py": None, "z.py": FIRST}, day=700, parents=[base], branch="one")
    fix = history.commit("fix: it", {"z.py": SECOND}, day=701, parents=[renamed], branch="two")
    more = history.commit("more", {"c.txt": "x"}, day=702, parents=[renamed], branch="one")
    both = history.merge("Merge two", more, fix, {"z.py": SECOND}, day=703, branch="one")
    history.merge("Merge one", base, both, {"a.py": None, "z.py": SECOND}, day=704)
    assert ended(history) == {"a.py::f0": 0.7}


def test_a_main_branch_merged_into_a_clone_and_pushed_counts_the_same() -> None:
    """The chain then consists of the clone's commits, and the commits on the server are a side branch."""
    history, base = started(a_py=FIRST, b_py=FIRST)
    server = history.commit("fix: on the server", {"a.py": SECOND}, day=700, parents=[base], branch="server")
    server = history.commit("rename", {"b.py": None, "z.py": FIRST}, day=701, parents=[server], branch="server")
    server = history.commit("fix: renamed", {"z.py": SECOND}, day=702, parents=[server], branch="server")
    mine = history.commit("work", {"c.txt": "x"}, day=703, parents=[base])
    history.merge("Merge server", mine, server, {"a.py": SECOND, "b.py": None, "z.py": SECOND}, day=704)
    credits = ended(history)
    assert credits == {"a.py::f0": pytest.approx(0.7 / 2**0.5), "b.py::f0": pytest.approx(0.7 / 2**0.5)}


def test_a_function_born_and_fixed_on_one_branch_gets_no_credit() -> None:
    history, base = started(a_py=FIRST, b_py=FIRST)
    born = history.commit("grow", {"n.py": FIRST}, day=700, parents=[base], branch="side")
    fixed = history.commit("fix: it", {"n.py": SECOND}, day=701, parents=[born], branch="side")
    history.merge("Merge", base, fixed, {"n.py": SECOND}, day=702)
    assert ended(history) == {}


def test_a_function_that_was_renamed_moved_and_fixed_keeps_its_lineage() -> None:
    old = LONG.format(name="early", last=1)
    history, _ = started(a_py=old + FIRST, b_py=FIRST)
    history.commit("rename it", {"a.py": LONG.format(name="late", last=1) + FIRST}, day=700)
    history.commit("move it", {"a.py": FIRST, "n.py": LONG.format(name="late", last=1)}, day=710)
    history.commit("rename the file", {"n.py": None, "m.py": LONG.format(name="late", last=1)}, day=720)
    history.commit("fix: it", {"m.py": LONG.format(name="late", last=2)}, day=730)
    assert ended(history) == {"a.py::early": 0.7}


def test_a_file_that_was_deleted_and_restored_is_a_new_one_in_the_first_version() -> None:
    history, _ = started(a_py=FIRST, b_py=FIRST)
    history.commit("drop", {"a.py": None}, day=700)
    history.commit("bring back", {"a.py": FIRST}, day=710)
    history.commit("fix: it", {"a.py": SECOND}, day=720)
    history.commit("head", {"README": "x"}, day=1643)
    assert credits_of(measure_history(history, recipe=MESSAGES_1).mined) == {}


def test_a_fix_on_a_maintenance_branch_finds_the_file_that_the_chain_moved_before_the_window() -> None:
    history = History()
    old = history.commit("start", {"old/a.py": FIRST, "b.py": FIRST}, day=0)
    moved = history.commit("move", {"old/a.py": None, "new/a.py": FIRST}, day=300)
    first = history.commit("maintain", {"old/VERSION": "1"}, day=310, parents=[old], branch="1.x")
    landed = history.merge("Merge 1.x", moved, first, {}, day=320)
    fix = history.commit("fix: it", {"old/a.py": SECOND}, day=800, parents=[first], branch="1.x")
    history.merge("Merge 1.x", landed, fix, {"new/a.py": SECOND}, day=801)
    assert ended(history) == {"new/a.py::f0": 0.7}


def test_a_branch_that_began_before_the_window_is_resolved_by_name() -> None:
    history = History()
    base = history.commit("start", {"a.py": FIRST, "b.py": FIRST}, day=0)
    fix = history.commit("fix: it", {"a.py": SECOND}, day=100, parents=[base], branch="side")
    late = history.commit("later", {"README": "y"}, day=700, parents=[base])
    history.merge("Merge", late, fix, {"a.py": SECOND}, day=800)
    assert ended(history) == {"a.py::f0": 0.7}
