"""What is repeated of a run that won, and what is known when that is done: frozen, and without torch.

An adapter that won has learned labels up to T_eval, a year ago. Before it ranks anything its recipe is trained once
more on the latest window (refit.py). What comes out was never judged itself: it stands on the run that was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.finetuning.comparison import ADAPTER, BLEND
from pipeline.finetuning.model_card import CardMetrics
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.result import FinetuneResult, SeedRun
from pipeline.finetuning.result_assembly import card_of
from pipeline.ranking.bootstrap import Floats

Winner = Literal["adapter", "blend"]


@dataclass(frozen=True, slots=True)
class SeedSteps:
    """How long a seed was trained on all labels when it was judged."""

    seed: int
    steps: int
    planned: int  # that the learning rate was laid out for


@dataclass(frozen=True)
class Judged:
    """The run that won: what training once more repeats, and what is told of it."""

    run_id: str  # the name it has where it is kept
    judged_at: str  # ISO 8601
    head_sha: str
    pair_set_id: str
    recipe_id: str
    scorer: Winner  # what ranked better
    window_s: int  # T_eval - T_train
    steps: tuple[SeedSteps, ...]  # of the seeds that were completed
    metrics: CardMetrics


@dataclass(frozen=True, slots=True)
class KeptAdapter:
    """The files of one seed's adapter."""

    seed: int
    files: Mapping[str, str]  # name -> SHA-256, 64 hexadecimal digits


@dataclass(frozen=True)
class RefitRecord:
    """What is remembered of an adapter that was trained once more. Times in seconds since 1970."""

    repo: str
    head_sha: str
    train_start: int  # T_train' of the latest window
    as_of: int
    config_hash: str
    label_recipe_id: str
    recipe: FinetuneRecipe
    recipe_id: str
    ranking_set_id: str
    judged: Judged
    trained_on: int  # functions
    training_positives: int
    ranked: int  # functions of the head
    adapters: tuple[KeptAdapter, ...]
    seconds: float  # on the device: training and scoring
    tokens: int  # of training, without padding
    device: str
    versions: Mapping[str, str]
    ended: str = ""  # "time limit" where a seed that was judged is missing

    @property
    def hashes(self) -> Mapping[int, Mapping[str, str]]:
        """What the files of each seed must be."""
        return {adapter.seed: adapter.files for adapter in self.adapters}


@dataclass(frozen=True, eq=False)
class Refitted:
    """The end of a training once more: what is remembered, and how it ranks the head."""

    record: RefitRecord
    scores: Floats  # (n,) of the functions of the head: rank average over the seeds, higher where more risk is expected


def scorer_after(result: FinetuneResult) -> Literal["adapter", "blend", "baseline"]:
    """What ranks a repository from a run on: after a WIN the blend if its ρ is higher than the adapter's."""
    if result.judgement.outcome != "WIN":
        return "baseline"
    adapter, blend = (result.judgement.row(name) for name in (ADAPTER, BLEND))
    rhos = [row.quality.rho if row else None for row in (adapter, blend)]
    return "blend" if rhos[0] is not None and rhos[1] is not None and rhos[1] > rhos[0] else "adapter"


def judged_of(result: FinetuneResult, *, run_id: str, judged_at: str) -> Judged:
    """What to keep of a run that won. Raises ValueError for any other."""
    scorer = scorer_after(result)
    if scorer == "baseline":
        raise ValueError(f"the outcome is {result.judgement.outcome}: there is nothing to train once more")
    return Judged(
        run_id=run_id,
        judged_at=judged_at,
        head_sha=result.head_sha,
        pair_set_id=result.pair_set_id,
        recipe_id=result.recipe_id,
        scorer=scorer,
        window_s=result.eval_start - result.train_start,
        steps=tuple(map(_steps, result.runs)),
        metrics=card_of(result),
    )


def _steps(run: SeedRun) -> SeedSteps:
    """Those that were taken: a run that the time limit cut short was judged as it was."""
    return SeedSteps(run.seed, run.refit_steps, max(run.fit.planned_steps, run.refit_steps))
