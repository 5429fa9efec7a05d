"""Training once more, after a WIN: the recipe that was judged on the latest window, and a ranking of the head.

    1. check that it is the recipe that won and that there is enough to learn from; load the model; say what it costs
    2. for each seed that was judged: train on all signals, score the head                         seed_training.py
    3. write adapters and result.json, the last one last                              job_folder.py, adapter.py

A seed is trained for as many steps as when it was judged, with the same course of the learning rate. That number was
chosen on the labels of three quarters of a window and then used for the whole of it; it is used as it is here, too.
More functions would bear more steps, but how many nobody has measured, and nothing is held out to measure it by.

It stops, resumes and is limited in time as finetune.py, with one difference: a seed that is cut short counts for
nothing, the first one too. What was trained for fewer steps than were judged, nobody can vouch for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.finetuning.adapter import save_adapter
from pipeline.finetuning.batches import plan_steps
from pipeline.finetuning.job_events import SeedCompleted
from pipeline.finetuning.job_folder import adapter_folder, publish, remove_leftovers, remove_work, working_folder
from pipeline.finetuning.job_state import JobState, open_state
from pipeline.finetuning.model_card import Provenance, Refit
from pipeline.finetuning.ranking_set import RankingSet
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.refit_events import HeadScoring, RefitEvent, RefitPlanned
from pipeline.finetuning.refit_result import Judged, KeptAdapter, RefitRecord, Refitted, SeedSteps
from pipeline.finetuning.result import TIME_LIMIT, Fit, SeedRun
from pipeline.finetuning.result_assembly import versions
from pipeline.finetuning.training.finetune import FEWEST_POSITIVES, FEWEST_TRAINED_ON
from pipeline.finetuning.training.head_scores import average_of
from pipeline.finetuning.training.loaded import Loaded, device_name, expected_rate, load, size_of
from pipeline.finetuning.training.loop import COMPLETED, never
from pipeline.finetuning.training.train_seed import SeedTraining
from pipeline.records import AssayError

_SPARE = 1.1  # what the next seed may take, by what the last one took

Files = Callable[[RefitRecord], Mapping[str, bytes]]


def ignore(event: RefitEvent) -> None:
    """Nobody watches."""


def require_refittable(ranking: RankingSet, recipe: FinetuneRecipe, judged: Judged) -> None:
    """Raises AssayError where `recipe` is not the one that won, or where there is too little to learn from."""
    positives = int((ranking.signals > 0).sum())
    if recipe.recipe_id(ranking.label_recipe_id) != judged.recipe_id:
        raise AssayError(
            f"the run that won was of recipe {judged.recipe_id}, this one is of "
            f"{recipe.recipe_id(ranking.label_recipe_id)}: an adapter counts only by the recipe it was judged with"
        )
    if len(ranking.train) < FEWEST_TRAINED_ON:
        raise AssayError(
            f"too few functions to train once more: {len(ranking.train):,} at the start of the latest window, at least "
            f"{FEWEST_TRAINED_ON} are needed; rank by the baseline until then"
        )
    if positives < FEWEST_POSITIVES:
        raise AssayError(
            f"too few fixes to train once more: {positives:,} of {len(ranking.train):,} functions were fixed in the "
            f"latest window, at least {FEWEST_POSITIVES} are needed; rank by the baseline until then"
        )


def refit(
    ranking: RankingSet,
    recipe: FinetuneRecipe,
    judged: Judged,
    *,
    out: Path,
    device: str,
    files: Files,
    watch: Callable[[RefitEvent], None] = ignore,
    stop: Callable[[], str | None] = never,
    clock: Callable[[], float] = time.monotonic,
    checkpoints: str = "",
    checkpoint_every_steps: int | None = None,
    known_checkpoints: Collection[str] | None = None,
) -> Refitted:
    """Train the seeds that were judged once more, rank the head, and write everything to `out`.

    The arguments are those of `finetune`; `files` renders result.json. Raises Stopped with a checkpoint kept, and
    AssayError with nothing but working files in `out`.
    """
    require_refittable(ranking, recipe, judged)
    with working_folder(out) as work:
        state = open_state(str(work), checkpoints, pair_set_id=ranking.id, recipe_id=judged.recipe_id)
        job = _Refit(
            ranking=ranking,
            recipe=recipe,
            judged=judged,
            device=device,
            state=state,
            watch=watch,
            stop=stop,
            clock=clock,
            checkpoint_every_steps=checkpoint_every_steps,
            known_checkpoints=known_checkpoints,
        )
        runs = job.runs()
        scores = average_of([run.scores for run in runs])
        record = job.record(runs, _write_adapters(out, job, runs))
        publish(out, files(record))
        remove_work(out)
    if checkpoints:
        state.forget()
    return Refitted(record, scores)


def _write_adapters(out: Path, job: _Refit, runs: list[SeedRun]) -> tuple[KeptAdapter, ...]:
    remove_leftovers(out)
    return tuple(
        KeptAdapter(
            run.seed,
            save_adapter(
                out / adapter_folder(run.seed),
                job.state.adapter(run.seed),
                job.recipe,
                job.provenance(run.seed),
                job.judged.metrics,
            ),
        )
        for run in runs
    )


@dataclass(frozen=True, kw_only=True)
class _Refit:
    ranking: RankingSet
    recipe: FinetuneRecipe
    judged: Judged
    device: str
    state: JobState
    watch: Callable[[RefitEvent], None]
    stop: Callable[[], str | None]
    clock: Callable[[], float]
    checkpoint_every_steps: int | None
    known_checkpoints: Collection[str] | None

    def runs(self) -> list[SeedRun]:
        """Every seed that is completed in time. Raises AssayError where none is."""
        seeds = [each.seed for each in self.judged.steps]
        until = self.clock() + self.recipe.max_minutes * 60 - self.state.seconds_spent(seeds)
        loaded = load(self.recipe, self.ranking.train, self.ranking.head, self.device)
        self.watch(self._planned(loaded))
        training = SeedTraining(
            loaded=loaded,
            recipe=self.recipe,
            seeds=len(seeds),
            state=self.state,
            watch=self.watch,
            stop=self.stop,
            clock=self.clock,
            checkpoint_every_steps=self.checkpoint_every_steps,
            known_checkpoints=self.known_checkpoints,
        )
        runs = list(self._completed(training, until))
        if not runs:
            raise AssayError(
                f"not one seed was trained once more within {self.recipe.max_minutes:g} minutes: allow more; what was "
                "done is kept"
            )
        return runs

    def _completed(self, training: SeedTraining, until: float) -> Iterator[SeedRun]:
        longest_s = 0.0
        for number, each in enumerate(self.judged.steps, 1):
            run = self.state.run(each.seed)
            earlier = run is not None
            if run is None and self.clock() + _SPARE * longest_s <= until:
                run = self._run(training, each, number, until)
            if run is None:
                return
            longest_s = max(longest_s, run.seconds)
            self.watch(SeedCompleted(each.seed, number, training.seeds, earlier))
            yield run

    def _run(self, training: SeedTraining, each: SeedSteps, number: int, until: float) -> SeedRun | None:
        """The seed from start to end, from where an earlier process was; none where time is up."""
        fit = Fit(planned_steps=each.planned, steps=each.steps, losses=(), validations=())
        known = self.state.fit(each.seed)
        if known is None:
            self.state.keep_fit(each.seed, fit)
        elif known != fit:
            raise AssayError(
                f"{self.state.store.where} holds an unfinished job that takes {known.steps} steps for seed {each.seed} "
                f"and this one takes {each.steps}: name another folder, or delete that one"
            )
        trained = training.train_on_all(each.seed, number, fit, self.ranking.signals, until)
        if trained.ended != COMPLETED:
            return None
        self.watch(HeadScoring(each.seed, number, training.seeds, len(self.ranking.head)))
        return training.complete(each.seed, fit, trained)

    def _planned(self, loaded: Loaded) -> RefitPlanned:
        """The cost of exactly these steps."""
        train, head = ([len(sequence) for sequence in part] for part in (loaded.train, loaded.holdout))
        size, rate = size_of(loaded.ranker), expected_rate(loaded, self.recipe, self.clock)
        tokens, flops = 0, 0.0
        for each in self.judged.steps:
            plan = plan_steps(train, self.ranking.signals, self.recipe, each.seed, steps=each.steps)
            lengths = [train[member] for members in plan for member in members]
            tokens += sum(lengths)
            flops += size.training_flops(lengths, checkpointing=self.recipe.gradient_checkpointing)
            flops += size.forward_flops(head)
        return RefitPlanned(
            tokens=tokens,
            flops=flops,
            minutes=None if rate is None else flops / rate.flops_per_s / 60,
            device=device_name(self.device),
            trained_on=len(train),
            ranked=len(head),
            seeds=len(self.judged.steps),
        )

    def provenance(self, seed: int) -> Provenance:
        judged, ranking = self.judged, self.ranking
        return Provenance(
            repo=ranking.repo,
            head_sha=ranking.head_sha,
            pair_set_id=ranking.id,
            label_recipe_id=ranking.label_recipe_id,
            seed=seed,
            trained_on=len(ranking.train),
            config_hash=ranking.config_hash,
            versions=versions(),
            refit=Refit(judged.run_id, judged.judged_at, judged.head_sha, labels_until=ranking.as_of),
        )

    def record(self, runs: list[SeedRun], adapters: tuple[KeptAdapter, ...]) -> RefitRecord:
        ranking = self.ranking
        return RefitRecord(
            repo=ranking.repo,
            head_sha=ranking.head_sha,
            train_start=ranking.train_start,
            as_of=ranking.as_of,
            config_hash=ranking.config_hash,
            label_recipe_id=ranking.label_recipe_id,
            recipe=self.recipe,
            recipe_id=self.judged.recipe_id,
            ranking_set_id=ranking.id,
            judged=self.judged,
            trained_on=len(ranking.train),
            training_positives=int(np.count_nonzero(ranking.signals)),
            ranked=len(ranking.head),
            adapters=adapters,
            seconds=sum(run.seconds for run in runs),
            tokens=sum(run.training.tokens for run in runs),
            device=device_name(self.device),
            versions=dict(versions()),
            ended=TIME_LIMIT if len(runs) < len(self.judged.steps) else "",
        )
