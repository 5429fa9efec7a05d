from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from pipeline.finetuning.comparison import judge
from pipeline.finetuning.rank_by_adapter import activity, rank_by, retrained_of
from pipeline.finetuning.ranker import ACTIVITY, ADAPTER, BLEND
from pipeline.finetuning.ranking_set import RankingSet
from pipeline.finetuning.recipe import DEFAULT_MODEL, BaseModel
from pipeline.ranking.baseline import reasons
from pipeline.ranking.shortlist import Retrained, dump_shortlist, load_shortlist
from pipeline.ranking.statistics import rank_average
from tests.pipeline.finetuning.pair_sets import prompted
from tests.pipeline.finetuning.ranking_sets import ranking_set, refit_record, subjects_of
from tests.pipeline.ranking.subjects import QUIET

MARK = Retrained("run-17", "2023-09-14T08:00:00Z", 1_631_536_000, 1_694_608_000, "Qwen/Qwen2.5-Coder-1.5B")


def four_functions(**changes: Any) -> RankingSet:
    """Two files of two functions: what is busy in a.py is quiet for the adapter."""
    head = tuple(
        prompted(name, path=path) for path, name in (("a.py", "f"), ("a.py", "g"), ("b.py", "h"), ("b.py", "i"))
    )
    touches = (4.0, 3.0, 2.0, 1.0)
    metrics = [dataclasses.replace(QUIET, touches=1, authors=1, decayed_touches=each) for each in touches]
    return ranking_set(head=head, subjects=subjects_of(head, metrics), **changes)


def names(places: Any) -> list[str]:
    return [place.qualified_name for place in places]


def test_the_adapter_ranks_by_its_scores_alone() -> None:
    ranked = rank_by(four_functions(), np.array([0.1, 0.9, 0.3, 0.7]), "adapter", MARK)
    assert names(ranked.functions) == ["g", "i", "h", "f"]
    assert (ranked.scorer, ranked.ranked_functions, ranked.ranked_files) == (ADAPTER, 4, 2)


def test_a_file_is_as_risky_as_its_riskiest_function() -> None:
    ranked = rank_by(four_functions(), np.array([0.1, 0.2, 0.3, 0.7]), "adapter", MARK)
    assert [(place.path, place.qualified_name) for place in ranked.files] == [("b.py", "i"), ("a.py", "g")]


def test_the_blend_is_the_mean_rank_of_adapter_and_activity() -> None:
    # Ranks of the adapter 4 1 2 3, of activity 4 3 2 1: means 4, 2, 2, 2; equals stand by path and line.
    ranked = rank_by(four_functions(), np.array([0.9, 0.1, 0.2, 0.3]), "blend", MARK)
    assert (ranked.scorer, names(ranked.functions)) == (BLEND, ["f", "g", "h", "i"])
    # Ranks of the adapter 2 1 3 4: means 3, 2, 2.5, 2.5.
    ranked = rank_by(four_functions(), np.array([0.2, 0.1, 0.3, 0.9]), "blend", MARK)
    assert names(ranked.functions) == ["f", "h", "i", "g"]


def test_the_blend_is_the_one_that_won() -> None:
    """Whoever changes with what judging blends the adapter: this must follow."""
    random = np.random.default_rng(0)
    adapter, busy = random.normal(size=60), random.integers(0, 5, 60).astype(np.float64)
    scores = {"baseline": random.normal(size=60), "size": random.normal(size=60), ACTIVITY: busy}
    judgement = judge(
        scores, (busy > 3).astype(np.float64), [f"{i}.py" for i in range(60)], [5] * 60, seeds={1: adapter}
    )
    row = judgement.row(BLEND)
    assert row is not None
    head = tuple(prompted(f"f{i}") for i in range(60))
    subjects = subjects_of(head, [dataclasses.replace(QUIET, decayed_touches=each) for each in busy.tolist()])
    assert activity(subjects).tolist() == busy.tolist()
    blended = rank_average([rank_average([adapter]), activity(subjects)])
    assert blended.tolist() == row.scores.tolist()
    ranked = rank_by(ranking_set(head=head, subjects=subjects), rank_average([adapter]), "blend", MARK)
    order = sorted(range(60), key=lambda i: (-row.scores[i], i))
    assert names(ranked.functions) == [f"f{i}" for i in order[:20]]


def test_the_reasons_are_the_baseline_s() -> None:
    ranking = four_functions()
    ranked = rank_by(ranking, np.array([0.4, 0.3, 0.2, 0.1]), "adapter", MARK)
    assert [place.reasons for place in ranked.functions] == [reasons(subject) for subject in ranking.subjects]
    assert ranked.functions[0].reasons == ("touched once in a year by one person",)


def test_the_mark_of_a_retrained_adapter_round_trips_through_json() -> None:
    ranked = rank_by(four_functions(), np.zeros(4), "adapter", MARK)
    assert ranked.retrained == MARK
    assert load_shortlist(dump_shortlist(ranked)) == ranked


def test_the_mark_comes_from_the_record() -> None:
    record = refit_record()
    assert retrained_of(record) == Retrained("run-17", "2023-09-14T08:00:00Z", record.train_start, record.as_of, "tiny")
    hub = dataclasses.replace(record.recipe, base_model=DEFAULT_MODEL)
    assert retrained_of(refit_record(recipe=hub)).model == "Qwen/Qwen2.5-Coder-1.5B"
    hidden = dataclasses.replace(record.recipe, base_model=BaseModel("/home/ada/secret/tiny"))
    assert retrained_of(refit_record(recipe=hidden)).model == "tiny"


def test_scores_of_other_functions_are_refused() -> None:
    for scorer in ("adapter", "blend"):
        with pytest.raises(ValueError, match=r"other functions|broadcast|inhomogeneous"):
            rank_by(four_functions(), np.zeros(3), scorer, MARK)


def test_a_repository_without_functions_has_an_empty_ranking() -> None:
    empty = ranking_set(train=(), signals=np.zeros(0), head=())
    for scorer in ("adapter", "blend"):
        assert rank_by(empty, np.zeros(0), scorer, MARK).functions == ()
