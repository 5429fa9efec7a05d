"""The job that a run and a refit share: load the model, train and score every seed, write the adapters.

    1. open the state of an unfinished job, or begin one                     job_folder.py, job_state.py
    2. load the model and announce the cost                                                 load_model.py
    3. for each seed: choose the steps, train on all labels, score                     loop.py, score.py
    4. assemble the result                                                            finetune.py, refit.py
    5. write the adapters, then what stands beside them, result.json last                     adapter.py

Every completed part is kept, so a killed job resumes where it was; until 5 the folder holds only working files. The
first seed may use the whole time limit, half of it to choose its steps; a further one starts only if there is time to
complete it.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from safetensors.torch import save

from pipeline.finetuning.adapter import save_adapter
from pipeline.finetuning.cost import Rate
from pipeline.finetuning.events import JobEvent, Phase, PhaseStarted, Planned, SeedCompleted
from pipeline.finetuning.job_folder import adapter_folder, publish, remove_leftovers, remove_work, working_folder
from pipeline.finetuning.job_state import JobState, open_state, refit_prefix
from pipeline.finetuning.model_card import CardMetrics, Provenance
from pipeline.finetuning.pair_set import TrainingSet
from pipeline.finetuning.prompts import Prompted
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.result import Fit, Hashes, SeedRun
from pipeline.finetuning.training.checkpoints import Checkpoints
from pipeline.finetuning.training.load_model import LoadedModel, Sequences, expected_rate, load_model
from pipeline.finetuning.training.loop import COMPLETED, Trained, ignore, never, raise_if_stopped, train
from pipeline.finetuning.training.model import Ranker
from pipeline.finetuning.training.score import score
from pipeline.ranking.bootstrap import Floats
from pipeline.records import AssayError

MARGIN = 1.1  # time to allow for the next part, as a multiple of what the last one took
_FIT_SHARE = 0.5  # of the first seed's time: to choose the steps; as many are taken again on all labels

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """Where a job runs, how it reports, and where it resumes from.

    `stop` is polled often; a reason other than None ends the job with Stopped after a checkpoint. `checkpoints` is a
    folder or fsspec URL to resume from elsewhere, by default a folder in `out`. With `known_checkpoints` (hashes from
    CheckpointSaved) no other checkpoint is accepted.
    """

    out: Path  # new, or the folder of an unfinished job of the same data and recipe
    device: str
    watch: Callable[[JobEvent], None] = ignore
    stop: Callable[[], str | None] = never
    clock: Callable[[], float] = time.monotonic  # seconds
    checkpoints: str = ""
    checkpoint_every_steps: int | None = None
    known_checkpoints: Collection[str] | None = None


@dataclass(frozen=True, kw_only=True)
class SeedTraining:
    """Trains and scores the seeds of a job. Every method may raise Stopped, with a checkpoint saved."""

    loaded: LoadedModel
    recipe: FinetuneRecipe
    seeds: tuple[int, ...]  # of the job
    state: JobState
    options: JobOptions

    def train(
        self,
        seed: int,
        signals: Floats,
        prefix: str,
        *,
        until: float,
        steps: int | None = None,
        planned: int | None = None,
        validate: Callable[[Ranker], float | None] | None = None,
    ) -> Trained:
        """Train from scratch or from the checkpoints under `prefix`; `until` is a reading of the clock."""
        self.loaded.ranker.reset(seed)
        options = self.options
        return train(
            self.loaded.ranker,
            self.loaded.train,
            signals,
            self.recipe,
            seed=seed,
            device=self.loaded.device,
            clock=options.clock,
            steps=steps,
            planned=planned,
            validate=validate,
            checkpoints=Checkpoints(
                self.state.store, prefix, every_steps=options.checkpoint_every_steps, known=options.known_checkpoints
            ),
            watch=options.watch,
            stop=options.stop,
            deadline_s=until,
        )

    def train_on_all(self, seed: int, fit: Fit, signals: Floats, until: float) -> Trained:
        """Train for as many steps as `fit` chose, or for all planned ones if it could not choose."""
        self.announce(seed, "training on all labels")
        steps, planned = (fit.steps, fit.planned_steps) if fit.steps else (None, None)
        return self.train(seed, signals, refit_prefix(seed), until=until, steps=steps, planned=planned)

    def complete(self, seed: int, fit: Fit, trained: Trained) -> SeedRun:
        """Score `loaded.scored` and keep scores and adapter."""
        clock = self.options.clock
        began = clock()
        scores = self.score(self.loaded.ranker, self.loaded.scored)
        run = SeedRun(
            seed=seed,
            fit=fit,
            refit_steps=trained.steps_done,
            refit_losses=trained.losses,
            refit_ended=trained.shortened_by,
            refit_work=trained.work,
            scores=scores,
            scoring_seconds=clock() - began,
        )
        self.state.keep_run(run, save(trained.state))
        return run

    def score(self, ranker: Ranker, sequences: Sequences, until: float = math.inf) -> Floats:
        return score(
            ranker,
            sequences,
            micro_batch_tokens=self.recipe.micro_batch_tokens,
            device=self.loaded.device,
            watch=lambda done: raise_if_stopped(self.options.stop, self.options.clock, until),
        )

    def announce(self, seed: int, phase: Phase) -> None:
        self.options.watch(PhaseStarted(seed, self.seeds.index(seed) + 1, len(self.seeds), phase))


@dataclass(frozen=True, kw_only=True)
class Job(ABC, Generic[ResultT]):
    """The steps in which a run and a refit differ."""

    data: TrainingSet
    recipe: FinetuneRecipe

    scoring: ClassVar[Phase]
    whole_seeds_only: ClassVar[bool]  # False: the first seed counts even if the time limit cuts it short

    @property
    @abstractmethod
    def seeds(self) -> tuple[int, ...]: ...

    @property
    @abstractmethod
    def scored(self) -> Sequence[Prompted]:
        """Return the functions that every trained seed scores."""

    @abstractmethod
    def plan(self, loaded: LoadedModel, rate: Rate | None) -> Planned: ...

    @abstractmethod
    def signals(self, seed: int) -> Floats:
        """Return the labels (n,) that `seed` trains on in the end."""

    @abstractmethod
    def choose_steps(self, training: SeedTraining, seed: int, known: Fit | None, until: float) -> Fit:
        """Return the fit with the number of steps; `known` is the one that an earlier process kept."""

    @abstractmethod
    def result(
        self, training: SeedTraining, runs: Sequence[SeedRun], planned: Planned, rate: Rate | None, until: float
    ) -> ResultT:
        """Return the result without adapters. Raises AssayError if the completed seeds give none."""

    @abstractmethod
    def with_adapters(self, result: ResultT, adapters: Mapping[int, Hashes]) -> ResultT: ...

    @abstractmethod
    def card(self, result: ResultT) -> CardMetrics: ...

    @abstractmethod
    def provenance(self, seed: int) -> Provenance: ...

    def reserved_s(self, loaded: LoadedModel, rate: Rate | None) -> float:
        """Return the seconds to keep for what follows the seeds."""
        return 0.0


def run_job(job: Job[ResultT], options: JobOptions, files: Callable[[ResultT], Mapping[str, bytes]]) -> ResultT:
    """Run the job and write everything to `options.out`; `files` renders what stands beside the adapters.

    Raises Stopped with a checkpoint saved, and AssayError with only working files in `options.out`.
    """
    with working_folder(options.out) as work:
        recipe_id = job.recipe.recipe_id(job.data.label_recipe_id)
        state = open_state(str(work), options.checkpoints, pair_set_id=job.data.id, recipe_id=recipe_id)
        until = options.clock() + job.recipe.max_minutes * 60 - state.seconds_spent(job.seeds)
        loaded = load_model(job.recipe, job.data.train, job.scored, options.device)
        rate = expected_rate(loaded, job.recipe, options.clock)
        planned = job.plan(loaded, rate)
        options.watch(planned)
        training = SeedTraining(loaded=loaded, recipe=job.recipe, seeds=job.seeds, state=state, options=options)
        runs = _complete_seeds(job, training, until, job.reserved_s(loaded, rate))
        result = job.result(training, runs, planned, rate, until)
        # The adapters first: their hashes are part of the result.
        result = job.with_adapters(result, _write_adapters(job, training, runs, job.card(result)))
        publish(options.out, files(result))
        remove_work(options.out)
    if options.checkpoints:
        state.forget()
    return result


def _complete_seeds(job: Job[ResultT], training: SeedTraining, until: float, reserved_s: float) -> list[SeedRun]:
    """Return every seed that is completed in time, by this process or an earlier one."""
    runs: list[SeedRun] = []
    for number, seed in enumerate(job.seeds, 1):
        run = training.state.run(seed)
        earlier = run is not None
        if run is None:
            now = training.options.clock()
            end = until - min(reserved_s, (until - now) / 3)
            whole = job.whole_seeds_only or bool(runs)
            if whole and end - now < MARGIN * max((run.seconds for run in runs), default=0.0):
                break
            run = _complete_seed(job, training, seed, end if whole else now + _FIT_SHARE * (end - now), end, whole)
        if run is None:
            break
        runs.append(run)
        training.options.watch(SeedCompleted(seed, number, len(job.seeds), earlier))
    return runs


def _complete_seed(
    job: Job[ResultT], training: SeedTraining, seed: int, fit_until: float, until: float, whole: bool
) -> SeedRun | None:
    """Return the completed seed; None if it must be `whole` and time runs out.

    Raises AssayError if there is no time for a single step.
    """
    known = training.state.fit(seed)
    fit = job.choose_steps(training, seed, known, fit_until)
    if fit.ended and whole:
        return None
    if known is None:
        training.state.keep_fit(seed, fit)
    trained = training.train_on_all(seed, fit, job.signals(seed), until)
    if trained.ended != COMPLETED and whole:
        return None
    require_steps(trained, job.recipe)
    training.announce(seed, job.scoring)
    return training.complete(seed, fit, trained)


def require_steps(trained: Trained, recipe: FinetuneRecipe) -> None:
    """Raise AssayError if the time limit left no time for a single step."""
    if not trained.steps_done:
        raise AssayError(f"no training step finished within {recipe.max_minutes:g} minutes: raise --max-minutes")


def _write_adapters(
    job: Job[ResultT], training: SeedTraining, runs: Sequence[SeedRun], card: CardMetrics
) -> dict[int, Hashes]:
    out = training.options.out
    remove_leftovers(out)
    return {
        run.seed: save_adapter(
            out / adapter_folder(run.seed),
            training.state.adapter(run.seed),
            job.recipe,
            job.provenance(run.seed),
            card,
        )
        for run in runs
    }
