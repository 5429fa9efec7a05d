"""Turn the scores of an adapter into the shortlist that is stored and shown, by the rules of every scorer. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.finetuning.model_card import model_name
from pipeline.finetuning.ranker import ACTIVITY, ADAPTER, BLEND, TunedRankerName
from pipeline.finetuning.ranking_set import RankingSet
from pipeline.finetuning.result import RefitRecord
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.competitors import competitors
from pipeline.ranking.scorer import Subject
from pipeline.ranking.shortlist import Retrained, Shortlist, shortlist_of
from pipeline.ranking.statistics import rank_average


class _Precomputed:
    """A scorer that returns scores computed elsewhere."""

    def __init__(self, name: str, subjects: Sequence[Subject], scores: Floats) -> None:
        self.name = name
        self._subjects = subjects
        self._scores = scores

    def fit(self, functions: Sequence[Subject], signals: Floats) -> None:
        """Do nothing."""

    def predict(self, functions: Sequence[Subject]) -> Floats:
        if functions is not self._subjects or len(functions) != len(self._scores):
            raise ValueError("the scores belong to other functions")
        return self._scores


def rank_by(ranking: RankingSet, adapter_scores: Floats, ranker: TunedRankerName, retrained: Retrained) -> Shortlist:
    """Return the riskiest functions and files of the head, with the baseline's reasons.

    `adapter_scores` (n,) come from `refit` or `score_head`. The blend is the one that won: the mean rank of adapter and
    activity. Raises ValueError unless there is one score per function.
    """
    if ranker == "adapter":
        scorer = _Precomputed(ADAPTER, ranking.subjects, adapter_scores)
    else:
        blend = rank_average([adapter_scores, activity(ranking.subjects)])
        scorer = _Precomputed(BLEND, ranking.subjects, blend)
    return shortlist_of(ranking.subjects, scorer, retrained)


def activity(subjects: Sequence[Subject]) -> Floats:
    """Return how active each function was lately: the scores of the competitor that the blend uses."""
    (scorer,) = (scorer for scorer in competitors() if scorer.name == ACTIVITY)
    return scorer.predict(subjects)


def retrained_of(record: RefitRecord) -> Retrained:
    """Describe the adapter behind a ranking."""
    return Retrained(
        run_id=record.judged.run_id,
        judged_at=record.judged.judged_at,
        trained_from=record.train_start,
        trained_until=record.as_of,
        model=model_name(record.recipe.base_model),
    )
