"""What every training of a seed does alike, to be judged or to rank: train from a checkpoint on, score, remember."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from safetensors.torch import save

from pipeline.finetuning.events import TrainingEvent
from pipeline.finetuning.job_events import Phase, PhaseStarted
from pipeline.finetuning.job_state import JobState, refit_prefix
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.result import TIME_LIMIT, Fit, SeedRun, Work
from pipeline.finetuning.training.checkpoints import Checkpoints
from pipeline.finetuning.training.loaded import Loaded
from pipeline.finetuning.training.loop import COMPLETED, Stopped, Trained, train
from pipeline.finetuning.training.model import Ranker
from pipeline.finetuning.training.score import score
from pipeline.ranking.bootstrap import Floats


@dataclass(frozen=True, kw_only=True)
class SeedTraining:
    """What the seeds of a job share. Whatever is asked may raise Stopped, with a checkpoint kept."""

    loaded: Loaded
    recipe: FinetuneRecipe
    seeds: int  # of the job
    state: JobState
    watch: Callable[[TrainingEvent | PhaseStarted], None]
    stop: Callable[[], str | None]
    clock: Callable[[], float]
    checkpoint_every_steps: int | None = None
    known_checkpoints: Collection[str] | None = None

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
        """Begin anew, or go on where the checkpoints of `prefix` are; `until` is a reading of the clock."""
        self.loaded.ranker.reset(seed)
        return train(
            self.loaded.ranker,
            self.loaded.train,
            signals,
            self.recipe,
            seed=seed,
            device=self.loaded.device,
            clock=self.clock,
            steps=steps,
            planned=planned,
            validate=validate,
            checkpoints=Checkpoints(
                self.state.store, prefix, every_steps=self.checkpoint_every_steps, known=self.known_checkpoints
            ),
            watch=self.watch,
            stop=self.stop,
            deadline_s=until,
        )

    def train_on_all(self, seed: int, number: int, fit: Fit, signals: Floats, until: float) -> Trained:
        """For as many steps as `fit` chose; for all that the recipe plans where nothing told them apart."""
        self.say(seed, number, "training on all labels")
        steps, planned = (fit.steps, fit.planned_steps) if fit.steps else (None, None)
        return self.train(seed, signals, refit_prefix(seed), until=until, steps=steps, planned=planned)

    def complete(self, seed: int, fit: Fit, trained: Trained) -> SeedRun:
        """Score `loaded.holdout` with what is trained, and remember both."""
        began = self.clock()
        scores = self.score(self.loaded.ranker, self.loaded.holdout)
        run = SeedRun(
            seed=seed,
            fit=fit,
            refit_steps=trained.steps_done,
            refit_losses=losses_of(trained),
            refit_ended=ended_of(trained),
            refit_work=work_of(trained),
            scores=scores,
            scoring_seconds=self.clock() - began,
        )
        self.state.keep_run(run, save(trained.state))
        return run

    def score(self, ranker: Ranker, sequences: Sequence[Sequence[int]], until: float = math.inf) -> Floats:
        return score(
            ranker,
            sequences,
            micro_batch_tokens=self.recipe.micro_batch_tokens,
            device=self.loaded.device,
            watch=lambda done: self._raise_if_stopped(until),
        )

    def say(self, seed: int, number: int, phase: Phase) -> None:
        self.watch(PhaseStarted(seed, number, self.seeds, phase))

    def _raise_if_stopped(self, until: float) -> None:
        reason = self.stop() or (TIME_LIMIT if self.clock() >= until else None)
        if reason:
            raise Stopped(reason)


def losses_of(trained: Trained) -> tuple[tuple[int, float], ...]:
    return tuple((point.step, point.loss) for point in trained.curve)


def ended_of(trained: Trained) -> str:
    return "" if trained.ended == COMPLETED else TIME_LIMIT


def work_of(trained: Trained) -> Work:
    share = trained.padding_share
    return Work(trained.seconds, trained.tokens, round(trained.tokens * share / (1 - share)) if share < 1 else 0)
