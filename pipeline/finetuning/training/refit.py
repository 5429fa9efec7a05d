"""A refit: after a WIN, train the winning recipe on the latest window and rank the head.

    1. check that it is the recipe that won and that there is enough to learn from
    2. for each seed of the winning run: train on all signals, score the head                       job.py
    3. average the scores over the seeds

Each seed takes as many steps as in the winning run, with the same learning-rate schedule. That number was chosen on the
labels of three quarters of a window and then used for all of it; it is reused here unchanged. More functions would
support more steps, but how many is unknown, and nothing is held out to measure that.

Unlike in a run, a seed that the time limit cuts short is discarded, even the first: nothing is known about an adapter
of fewer steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from pipeline.finetuning.batches import plan_steps
from pipeline.finetuning.cost import Rate
from pipeline.finetuning.events import Phase, Planned
from pipeline.finetuning.model_card import CardMetrics, Provenance
from pipeline.finetuning.prompts import Prompted
from pipeline.finetuning.ranking_set import RankingSet
from pipeline.finetuning.recipe import MIN_POSITIVES, MIN_TRAINED_ON, FinetuneRecipe
from pipeline.finetuning.result import Fit, Hashes, RefitResult, SavedAdapter, SeedRun, WinningRun
from pipeline.finetuning.result_assembly import assemble_record, provenance_of
from pipeline.finetuning.training.device import device_name
from pipeline.finetuning.training.head_scores import average_of
from pipeline.finetuning.training.job import Job, JobOptions, SeedTraining, run_job
from pipeline.finetuning.training.load_model import LoadedModel, size_of
from pipeline.ranking.bootstrap import Floats
from pipeline.records import AssayError

Files = Callable[[RefitResult], Mapping[str, bytes]]


def require_refittable(ranking: RankingSet, recipe: FinetuneRecipe, winner: WinningRun) -> None:
    """Raise AssayError if `recipe` is not the one that won, or if there is too little to learn from."""
    recipe_id = recipe.recipe_id(ranking.label_recipe_id)
    if recipe_id != winner.recipe_id:
        raise AssayError(
            f"the winning run used recipe {winner.recipe_id}, not {recipe_id}: retrain with the recipe that won"
        )
    if len(ranking.train) < MIN_TRAINED_ON:
        raise AssayError(
            f"too few functions to retrain: {len(ranking.train):,} at the start of the latest window, at least "
            f"{MIN_TRAINED_ON} are needed; rank by the baseline until then"
        )
    if ranking.positives < MIN_POSITIVES:
        raise AssayError(
            f"too few fixes to retrain: {ranking.positives:,} of {len(ranking.train):,} functions were fixed in the "
            f"latest window, at least {MIN_POSITIVES} are needed; rank by the baseline until then"
        )


def refit(
    ranking: RankingSet, recipe: FinetuneRecipe, winner: WinningRun, options: JobOptions, files: Files
) -> RefitResult:
    """Train the seeds of the winning run again, rank the head, and write everything to `options.out`.

    `files` renders result.json. Raises Stopped with a checkpoint saved, and AssayError with only working files in
    `options.out`.
    """
    require_refittable(ranking, recipe, winner)
    job = _Refit(data=ranking, recipe=recipe, winner=winner)
    return run_job(job, options, files)


@dataclass(frozen=True, kw_only=True)
class _Refit(Job[RefitResult]):
    data: RankingSet
    winner: WinningRun

    scoring: ClassVar[Phase] = "scoring the functions of the head"
    whole_seeds_only: ClassVar[bool] = True

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(steps.seed for steps in self.winner.steps)

    @property
    def scored(self) -> Sequence[Prompted]:
        return self.data.head

    def plan(self, loaded: LoadedModel, rate: Rate | None) -> Planned:
        """Return the cost of exactly these steps."""
        train, head = ([len(sequence) for sequence in part] for part in (loaded.train, loaded.scored))
        size = size_of(loaded.ranker)
        tokens, flops = 0, 0.0
        for each in self.winner.steps:
            steps = plan_steps(train, self.data.signals, self.recipe, each.seed, steps=each.steps)
            lengths = [train[member] for members in steps for member in members]
            tokens += sum(lengths)
            flops += size.training_flops(lengths, checkpointing=self.recipe.gradient_checkpointing)
            flops += size.forward_flops(head)
        return Planned(
            tokens=tokens,
            flops=flops,
            minutes=None if rate is None else flops / rate.flops_per_s / 60,
            device=device_name(loaded.device),
            trained_on=len(train),
            scored=len(head),
            seeds=len(self.seeds),
            fits=1,
        )

    def signals(self, seed: int) -> Floats:
        return self.data.signals

    def choose_steps(self, training: SeedTraining, seed: int, known: Fit | None, until: float) -> Fit:
        """Return the steps of the winning run. Raises AssayError if the unfinished job takes others."""
        won = self.winner.steps[self.seeds.index(seed)]
        fit = Fit(planned_steps=won.planned, steps=won.steps, losses=(), validations=())
        if known is not None and known != fit:
            raise AssayError(
                f"{training.state.store.where} holds an unfinished job that takes {known.steps} steps for seed {seed} "
                f"and this one takes {fit.steps}: name another folder, or delete that one"
            )
        return fit

    def result(
        self, training: SeedTraining, runs: Sequence[SeedRun], planned: Planned, rate: Rate | None, until: float
    ) -> RefitResult:
        if not runs:
            raise AssayError(
                f"no seed was retrained within {self.recipe.max_minutes:g} minutes: allow more; checkpoints are kept"
            )
        record = assemble_record(self.data, self.recipe, self.winner, runs, planned.device)
        return RefitResult(record, average_of([run.scores for run in runs]))

    def with_adapters(self, result: RefitResult, adapters: Mapping[int, Hashes]) -> RefitResult:
        saved = tuple(SavedAdapter(seed, files) for seed, files in adapters.items())
        return replace(result, record=replace(result.record, adapters=saved))

    def card(self, result: RefitResult) -> CardMetrics:
        return self.winner.metrics

    def provenance(self, seed: int) -> Provenance:
        return provenance_of(self.data, seed, self.winner)
