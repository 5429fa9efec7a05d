"""Mine small histories end to end: the result must not depend on how work landed or how it is measured."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES, MESSAGES_1, LabelRecipe
from pipeline.records import AssayError, Mined
from pipeline.screening.measure import Measured, measure
from tests.builders.code import function, module
from tests.builders.history import DAY_S, START, History
from tests.pipeline.mining.mined import credits_of, measure_history, reasons_of
from tests.pipeline.mining.test_miner_on_paper import paper

FIRST = module("1", "1", "1", "1")
SECOND = module("2", "1", "1", "1")
THIRD = module("2", "2", "1", "1")


def with_work(work: Callable[[History, int], None]) -> Measured:
    """Return a history of four years in which `work` happens from day 700 on."""
    history = History()
    history.commit("start", {"a.py": FIRST, "b.py": module("1", "1")}, day=0)
    base = history.commit("more", {"c.py": module("1")}, day=100)
    work(history, base)
    history.commit("head", {"README": "x"}, day=1643)
    return measure_history(history)


def squashed(history: History, base: int) -> None:
    history.commit("fix: both (#7)", {"a.py": THIRD}, day=703)


def merged(history: History, base: int) -> None:
    one = history.commit("fix: one", {"a.py": SECOND}, day=700, parents=[base], branch="side")
    two = history.commit("fix: two", {"a.py": THIRD}, day=701, parents=[one], branch="side")
    history.merge("Merge pull request #7", base, two, {"a.py": THIRD}, day=703)


def rebased(history: History, base: int) -> None:
    landed = START + 703 * DAY_S
    history.commit("fix: one", {"a.py": SECOND}, at=landed, authored_at=START + 700 * DAY_S)
    history.commit("fix: two", {"a.py": THIRD}, at=landed + 1, authored_at=START + 701 * DAY_S)


def test_the_same_work_squashed_merged_and_rebased_gives_the_same_density() -> None:
    measured = [with_work(work) for work in (squashed, merged, rebased)]
    credits = [credits_of(m.mined) for m in measured]
    assert credits[0] == {"a.py::f0": pytest.approx(0.7 / 2**0.5), "a.py::f1": pytest.approx(0.7 / 2**0.5)}
    assert credits[0] == credits[1] == credits[2]
    densities = {m.density.value for m in measured if m.density}
    assert len(densities) == 1


def test_the_same_change_is_credited_once_even_if_it_lands_twice() -> None:
    def work(history: History, base: int) -> None:
        fix = {"a.py": SECOND}
        side = history.commit("fix: one", fix, day=700, parents=[base], branch="side")
        history.commit("fix: one", fix, day=701, authored_at=START + 700 * DAY_S)
        history.merge("Merge side", history.tips["main"], side, {}, day=720)

    measured = with_work(work)
    assert credits_of(measured.mined) == {"a.py::f0": 0.7}
    assert reasons_of(measured.mined)["the same change landed before"] == 1


def test_a_fix_cherry_picked_from_before_the_window_gives_no_credit() -> None:
    history = History()
    history.commit("start", {"a.py": FIRST}, day=0)
    history.commit("fix: one", {"a.py": SECOND}, day=100)
    history.commit("back out by hand", {"a.py": FIRST}, day=200)
    history.commit("fix: one", {"a.py": SECOND}, day=800, authored_at=START + 100 * DAY_S)
    history.commit("head", {"README": "x"}, day=1643)
    measured = measure_history(history)
    assert credits_of(measured.mined) == {}
    assert reasons_of(measured.mined) == {"the same change landed before": 1}


def test_commits_that_blame_ignores_are_no_fixes_under_a_reason_of_their_own() -> None:
    def mined(recipe: LabelRecipe) -> Mined:
        history = History()
        history.commit("start", {"a.py": FIRST}, day=0)
        formatted = history.commit("Format everything, fixes #42", {"a.py": SECOND}, day=700)
        with tempfile.TemporaryDirectory() as folder:
            history.write(Path(folder) / "for-the-ids.git")
        history.commit("leave it out", {".git-blame-ignore-revs": f"# black\n{history.ids[formatted]}\n"}, day=701)
        history.commit("fix: one", {"a.py": THIRD}, day=702)
        history.commit("head", {"README": "x"}, day=1643)
        return measure_history(history, recipe=recipe).mined

    assert credits_of(mined(MESSAGES)) == {"a.py::f1": 0.7}
    assert reasons_of(mined(MESSAGES)) == {"listed in .git-blame-ignore-revs": 1}
    assert credits_of(mined(MESSAGES_1)) == {"a.py::f0": 0.7, "a.py::f1": 0.7}


def test_a_landing_of_more_than_fifty_commits_is_credited_commit_by_commit() -> None:
    def work(history: History, base: int) -> None:
        tip = base
        for number in range(51):
            names = {f"README{number}": "x"}
            tip = history.commit("write", names, at=START + 700 * DAY_S + number, parents=[tip], branch="side")
        one = history.commit("fix: one", {"a.py": SECOND}, day=701, parents=[tip], branch="side")
        two = history.commit("fix: two", {"a.py": THIRD}, day=702, parents=[one], branch="side")
        everything = {f"README{number}": "x" for number in range(51)} | {"a.py": THIRD}
        history.merge("Merge subsystem", base, two, everything, day=703)

    assert credits_of(with_work(work).mined) == {"a.py::f0": 0.7, "a.py::f1": 0.7}


def test_reverting_a_revert_restores_the_credit() -> None:
    def work(history: History, base: int) -> None:
        history.commit("fix: one", {"a.py": SECOND}, day=700)
        history.commit('Revert "fix: one"', {"a.py": FIRST}, day=710)
        history.commit('Revert "Revert "fix: one""', {"a.py": SECOND}, day=720)

    assert credits_of(with_work(work).mined) == {"a.py::f0": 0.7}


def test_a_revert_of_a_merge_reverts_all_that_landed_with_it(tmp_path: Path) -> None:
    history = History()
    history.commit("start", {"a.py": FIRST, "b.py": module("1", "1")}, day=0)
    base = history.commit("more", {"c.py": module("1")}, day=100)
    merged(history, base)
    merge = history.tips["main"]
    history.write(tmp_path / "only-for-the-ids.git")
    message = f'Revert "Merge pull request #7"\n\nThis reverts commit {history.ids[merge]}, reversing\nchanges made.\n'
    history.commit(message, {"a.py": FIRST}, day=720)
    history.commit("head", {"README": "x"}, day=1643)
    measured = measure_history(history)
    assert credits_of(measured.mined) == {}
    assert reasons_of(measured.mined)["reverted later"] == 2


def test_a_function_renamed_on_a_branch_keeps_its_lineage() -> None:
    old = "def early(value):\n" + "".join(f"    step{i} = value + {i}\n" for i in range(9)) + "    return step1\n"
    new, fixed = old.replace("early", "late"), old.replace("early", "late").replace("value + 8", "value + 9")
    results = []
    for squash in (True, False):
        history = History()
        base = history.commit("start", {"a.py": old, "b.py": module("1", "1")}, day=0)
        if squash:
            history.commit("fix: late", {"a.py": fixed}, day=703)
        else:
            one = history.commit("fix: name", {"a.py": new}, day=700, parents=[base], branch="side")
            two = history.commit("fix: late", {"a.py": fixed}, day=701, parents=[one], branch="side")
            history.merge("Merge", base, two, {"a.py": fixed}, day=703)
        history.commit("head", {"README": "x"}, day=1643)
        results.append(credits_of(measure_history(history).mined))
    assert results == [{"a.py::early": 0.7}] * 2


def test_a_fix_on_a_branch_reaches_the_file_that_the_chain_renamed_meanwhile() -> None:
    history = History()
    base = history.commit("start", {"a.py": FIRST, "b.py": module("1", "1")}, day=0)
    late = history.commit("later", {"c.py": module("1")}, day=600)
    side = history.commit("fix: one", {"a.py": SECOND}, day=700, parents=[late], branch="side")
    moved = history.commit("rename", {"a.py": None, "z.py": FIRST}, day=701, parents=[late])
    history.merge("Merge", moved, side, {"z.py": SECOND}, day=703)
    history.commit("head", {"README": "x"}, day=1643)
    assert base == 1
    assert credits_of(measure_history(history).mined) == {"a.py::f0": 0.7}


@pytest.mark.parametrize("files", [20, 21])
def test_a_unit_that_touches_more_than_twenty_source_files_gives_no_credit(files: int) -> None:
    history = History()
    history.commit("start", {f"m{i}.py": module("1") for i in range(25)}, day=0)
    history.commit("fix: everywhere", {f"m{i}.py": module("2") for i in range(files)}, day=703)
    history.commit("head", {"README": "x"}, day=1643)
    credits = credits_of(measure_history(history).mined)
    assert len(credits) == (20 if files == 20 else 0)


def test_adding_a_fix_can_lower_a_relative_density() -> None:
    """Ten more fixes of the worst function raise S and so lower the signal of all others."""

    def density(worst: int) -> float:
        history = History()
        bodies = ["1"] * 40
        history.commit("start", {"a.py": module(*bodies)}, day=0)
        for number in range(40):
            for _ in range(worst if number < 9 else 1):
                bodies[number] += "1"
                history.commit("fix: it", {"a.py": module(*bodies)}, day=600 + len(history.commits))
        history.commit("head", {"README": "x"}, day=1643)
        measured = measure_history(history)
        assert measured.density is not None
        return measured.density.value

    assert density(10) < density(2)


def test_the_density_does_not_depend_on_processes_or_cached_facts(tmp_path: Path) -> None:
    path = paper().write(tmp_path / "paper.git")
    repository = open_repository(path)
    alone = measure(repository, MESSAGES)
    assert measure(repository, MESSAGES, jobs=2).density == alone.density
    cold = measure(repository, MESSAGES, data_dir=tmp_path / "data")
    again = measure(repository, MESSAGES, data_dir=tmp_path / "data")
    assert cold == again == alone


def test_a_history_that_grew_measures_as_one_mined_in_one_go(tmp_path: Path) -> None:
    path = paper().write(tmp_path / "paper.git")
    head = subprocess.run(["git", "rev-parse", "main"], cwd=path, check=True, capture_output=True, text=True).stdout
    for back in (8, 3, 0):
        older = f"{head.strip()}~{back}"
        subprocess.run(["git", "update-ref", "refs/heads/main", older], cwd=path, check=True)
        kept = measure(open_repository(path), MESSAGES, data_dir=tmp_path / "data")
        assert kept == measure(open_repository(path), MESSAGES)
        subprocess.run(["git", "update-ref", "refs/heads/main", head.strip()], cwd=path, check=True)


@pytest.mark.parametrize("back", [0, 1, 2, 5])
def test_as_of_measures_as_a_clone_cut_there(tmp_path: Path, back: int) -> None:
    path = paper().write(tmp_path / "paper.git")
    landed = subprocess.run(
        ["git", "log", "-1", "--format=%ct", f"main~{back}"], cwd=path, check=True, capture_output=True, text=True
    )
    looked_back = measure(open_repository(path), MESSAGES, as_of=int(landed.stdout) + 3600)
    subprocess.run(["git", "update-ref", "refs/heads/main", f"main~{back}"], cwd=path, check=True)
    assert measure(open_repository(path), MESSAGES) == looked_back


def test_a_date_before_the_first_commit_is_rejected_in_one_line(tmp_path: Path) -> None:
    path = paper().write(tmp_path / "paper.git")
    with pytest.raises(AssayError, match="has no commits before that date"):
        measure(open_repository(path), MESSAGES, as_of=START - 1)


def test_a_single_commit_has_pairs_without_signal() -> None:
    history = History()
    history.commit("fix: everything", {"a.py": module("1", "1")})
    measured = measure_history(history)
    assert measured.mined.windows.too_little_history
    assert measured.density is not None
    assert (measured.density.pairs, measured.density.value) == (2, 0.0)


def test_a_history_without_source_files_has_no_density() -> None:
    history = History()
    history.commit("start", {"README.md": "hello"})
    history.commit("fix: words", {"README.md": "hello!"})
    assert measure_history(history).density is None


def test_functions_born_later_shrink_both_windows() -> None:
    history = History()
    history.commit("start", {"a.py": module("1")}, day=0)
    history.commit("grow", {f"m{i}.py": module("1", "1") for i in range(9)}, day=900)
    history.commit("head", {"README": "x"}, day=1643)
    windows = measure_history(history).mined.windows
    assert windows.train_start >= START + 900 * DAY_S
    assert windows.shortened
    assert windows.window_days == pytest.approx(2 * windows.horizon_days, rel=1e-6)


def test_nothing_is_written_to_the_repository(tmp_path: Path) -> None:
    path = paper().write(tmp_path / "paper.git")

    def state() -> list[tuple[str, int, int]]:
        return sorted((str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in path.rglob("*"))

    before = state()
    measure(open_repository(path), MESSAGES, data_dir=tmp_path / "data", jobs=2)
    assert state() == before


def test_every_landing_that_changed_a_fixed_function_counts_as_a_touch() -> None:
    def work(history: History, base: int) -> None:
        history.commit("fix: one", {"a.py": SECOND}, day=700)
        history.commit("tune it", {"a.py": module("3", "1", "1", "1")}, day=710)
        history.commit("tune again", {"a.py": module("4", "1", "1", "1")}, day=720)

    fixed = [f for f in with_work(work).mined.train if f.credit]
    assert [(f.qualified_name, f.fixes, f.touches) for f in fixed] == [("f0", 1, 3)]


def test_the_builder_makes_functions_of_four_lines() -> None:
    assert function("f").count("\n") == 4
