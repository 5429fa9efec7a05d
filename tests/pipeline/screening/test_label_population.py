"""The commits of a training window, divided into fix commits and others."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES
from pipeline.mining.miner import Miner
from pipeline.records import AssayError
from pipeline.screening.label_population import Population, read_population
from pipeline.screening.windows import fit_windows
from tests.builders.history import History
from tests.pipeline.ranking.subjects import long_history
from tests.pipeline.ranking.test_dataset import BEFORE, HORIZON, TRAINING

CODE = "def f(a):\n    b = a\n    return b + {}\n"


def population_of(history: History, folder: Path) -> Population:
    repository = open_repository(history.write(folder / "repo.git"))
    with Miner(repository, MESSAGES) as miner:
        return read_population(miner, MESSAGES)


def test_the_fix_commits_are_those_that_mining_counts(tmp_path: Path) -> None:
    history = long_history([*BEFORE, *TRAINING, *HORIZON])
    population = population_of(history, tmp_path)
    with Miner(open_repository(tmp_path / "repo.git"), MESSAGES) as miner:
        windows = fit_windows(
            miner.history.effective_at[0], miner.history.effective_at[-1], MESSAGES, miner.count_alive
        )
        mined = miner.mine(windows)
    assert population.windows == mined.windows
    assert population.head_sha == mined.head_sha
    assert 0 < len(population.fixes) == mined.fix_commits
    assert len(population.fixes) + len(population.others) == mined.window_commits


def test_test_fixes_and_reverts_are_among_the_others_and_merges_in_neither(tmp_path: Path) -> None:
    history = History()
    history.commit("start", {"a.py": CODE.format(0), "test_a.py": CODE.format(0)}, day=0)
    fix = history.commit("fix: f", {"a.py": CODE.format(1)}, day=900)
    tests = history.commit("fix: the test of f", {"test_a.py": CODE.format(1)}, day=910)
    revert = history.commit('Revert "fix: f"', {"a.py": CODE.format(0)}, day=920)
    work = history.commit("Work", {"a.py": CODE.format(2)}, day=930)
    side = history.commit("fix: f again", {"a.py": CODE.format(3)}, day=935, parents=[work], branch="side")
    main = history.commit("Write", {"README": "x"}, day=940, parents=[work])
    merge = history.merge("Merge a fix", main, side, {"a.py": CODE.format(3)}, day=950)
    history.commit("end", {"README": "y"}, day=1_800)
    population = population_of(history, tmp_path)
    names = {sha: mark for mark, sha in history.ids.items()}
    assert [names[sha] for sha in population.fixes] == [fix, side]
    assert [names[sha] for sha in population.others] == [tests, revert, work, main]
    assert merge in history.ids


def test_a_history_too_short_for_a_window_is_rejected(tmp_path: Path) -> None:
    history = History()
    history.commit("start", {"a.py": CODE.format(0)}, day=0)
    history.commit("fix: f", {"a.py": CODE.format(1)}, day=9)
    with pytest.raises(AssayError, match="too little history"):
        population_of(history, tmp_path)
