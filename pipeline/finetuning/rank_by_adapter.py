"""Scores of an adapter -> the ranking that is kept and shown, after the rules of every other scorer. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.finetuning.comparison import ADAPTER, BLEND
from pipeline.finetuning.model_card import model_name
from pipeline.finetuning.ranking_set import RankingSet
from pipeline.finetuning.refit_result import RefitRecord, Winner
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.competitors import competitors
from pipeline.ranking.scorer import Subject
from pipeline.ranking.shortlist import Retrained, Shortlist, shortlist_of
from pipeline.ranking.statistics import rank_average

ACTIVITY = "decayed touches"  # of the competitors: what the adapter is blended with where it is judged


class _Given:
    """A scorer whose scores are there already."""

    def __init__(self, name: str, subjects: Sequence[Subject], scores: Floats) -> None:
        self.name = name
        self._subjects = subjects
        self._scores = scores

    def fit(self, functions: Sequence[Subject], signals: Floats) -> None:
        """Nothing to learn."""

    def predict(self, functions: Sequence[Subject]) -> Floats:
        if functions is not self._subjects or len(functions) != len(self._scores):
            raise ValueError("the scores are of other functions")
        return self._scores


def rank_by(ranking: RankingSet, adapter_scores: Floats, scorer: Winner, retrained: Retrained) -> Shortlist:
    """The riskiest functions and files of the head, with the baseline's reasons.

    `adapter_scores` (n,) are those of `refit` or `score_head`. The blend is the one that was judged: the mean rank of
    adapter and activity. Raises ValueError where there are not as many scores as functions.
    """
    if scorer == "adapter":
        given = _Given(ADAPTER, ranking.subjects, adapter_scores)
    else:
        given = _Given(BLEND, ranking.subjects, rank_average([adapter_scores, activity(ranking.subjects)]))
    return shortlist_of(ranking.subjects, given, retrained)


def activity(subjects: Sequence[Subject]) -> Floats:
    """How much was done to each function lately: the score of the competitor of that name."""
    (scorer,) = (scorer for scorer in competitors() if scorer.name == ACTIVITY)
    return scorer.predict(subjects)


def retrained_of(record: RefitRecord) -> Retrained:
    """What is told beside a ranking of the adapter behind it."""
    return Retrained(
        run_id=record.judged.run_id,
        judged_at=record.judged.judged_at,
        trained_from=record.train_start,
        trained_until=record.as_of,
        model=model_name(record.recipe.base_model),
    )
