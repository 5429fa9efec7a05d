from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES
from pipeline.mining.miner import Miner
from pipeline.ranking.baseline import Baseline
from pipeline.ranking.competitors import Signal
from pipeline.ranking.rank import rank_files, rank_functions, subjects_at_head
from pipeline.ranking.scorer import Subject
from pipeline.records import AssayError
from tests.builders.history import DAY_S, START, History
from tests.pipeline.ranking.subjects import EVAL_DAY, dataset_of, long_history, subject
from tests.pipeline.ranking.test_dataset import BEFORE, HORIZON, TRAINING

SIZE = Signal("size", lambda s: s.metrics.lines)
FUNCTIONS = [
    subject("b.py", "small", lines=4),
    subject("a.py", "large", lines=90),
    subject("b.py", "middle", lines=30, touches=2, authors=2),
    subject("a.py", "also small", lines=4),
]


def test_functions_are_ranked_by_score_then_path() -> None:
    ranked = rank_functions(FUNCTIONS, SIZE)
    assert [r.qualified_name for r in ranked] == ["large", "middle", "also small", "small"]
    assert [r.score for r in ranked] == [90.0, 30.0, 4.0, 4.0]
    assert ranked[1].reasons == ("touched twice in a year by 2 people", "30 lines")


def test_the_ranking_does_not_depend_on_the_input_order() -> None:
    assert rank_functions(FUNCTIONS[::-1]) == rank_functions(FUNCTIONS)


def test_a_file_ranks_with_its_riskiest_function() -> None:
    ranked = rank_files(FUNCTIONS, SIZE)
    assert [(r.path, r.qualified_name, r.score) for r in ranked] == [("a.py", "large", 90.0), ("b.py", "middle", 30.0)]


def test_the_baseline_ranks_files_by_their_own_sum_and_names_their_riskiest_function() -> None:
    many = [subject("many.py", f"f{i}", lines=9, fan_out=2) for i in range(40)]
    ranked = rank_files([subject("one.py", "large", lines=60, fan_out=2), *many])
    assert [(r.path, r.qualified_name) for r in ranked] == [("many.py", "f0"), ("one.py", "large")]
    assert ranked[0].reasons == ("360 lines in 40 functions",)
    assert rank_files(many, Baseline()) == rank_files(many)


def test_functions_without_a_score_come_last() -> None:
    scores = {"small": np.nan, "large": 1.0, "middle": np.nan, "also small": 2.0}
    ranked = rank_functions(FUNCTIONS, Signal("some", lambda s: scores[s.qualified_name]))
    assert [r.qualified_name for r in ranked] == ["also small", "large", "middle", "small"]


def test_without_functions_the_ranking_is_empty() -> None:
    assert rank_functions([]) == rank_files([]) == []


def at_head(history: History, day: float | None = None) -> tuple[Subject, ...]:
    with tempfile.TemporaryDirectory() as folder:
        repository = open_repository(history.write(Path(folder) / "history.git"))
        with Miner(repository, MESSAGES) as miner, repository.reader() as reader:
            as_of = None if day is None else START + round(day * DAY_S)
            return subjects_at_head(miner, lambda blob: reader.blob(bytes.fromhex(blob), 1 << 20), as_of=as_of)


def test_a_past_ranking_equals_the_one_given_at_the_time() -> None:
    whole, then = [*BEFORE, *TRAINING, *HORIZON], [*BEFORE, *TRAINING]
    seen = at_head(long_history(whole), day=1240)
    assert seen == at_head(long_history(then), day=1240)
    assert rank_functions(seen) == rank_functions(at_head(long_history(then), day=1240))
    assert seen != at_head(long_history(whole))


def test_an_evaluation_uses_the_ranking_given_at_the_time() -> None:
    """Where a landing stands at T_eval, both look at the same moment."""
    history = long_history([*BEFORE, *TRAINING, (EVAL_DAY, "work", 9, 7), *HORIZON])
    dataset = dataset_of(history)
    if abs(dataset.mined.windows.eval_start - (START + EVAL_DAY * DAY_S)) > 1:
        pytest.fail("T_eval is elsewhere")
    then = at_head(history, day=EVAL_DAY)
    evaluated = Baseline().predict(dataset.evaluated)
    assert [(s.path, s.qualified_name) for s in then] == [(s.path, s.qualified_name) for s in dataset.evaluated]
    assert Baseline().predict(then).tolist() == pytest.approx(evaluated.tolist())


def test_before_the_first_commit_there_is_nothing_to_rank() -> None:
    with pytest.raises(AssayError, match="choose a later --as-of"):
        at_head(long_history([]), day=-5)
