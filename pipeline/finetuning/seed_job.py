"""One seed: how many steps, then as many on all labels, then the holdout (DESIGN.md section 2, "Holdout")."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from safetensors.torch import save

from pipeline.finetuning.checkpoints import Checkpoints
from pipeline.finetuning.job_events import JobEvent, Phase, PhaseStarted
from pipeline.finetuning.job_state import JobState, fit_prefix, refit_prefix
from pipeline.finetuning.loaded import Loaded
from pipeline.finetuning.model import Ranker
from pipeline.finetuning.pair_set import PairSet
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.result import TIME_LIMIT, Fit, SeedRun, Work
from pipeline.finetuning.scoring import score
from pipeline.finetuning.training import COMPLETED, Stopped, Trained, train
from pipeline.ranking.resampling import Floats, correlate
from pipeline.records import AssayError

# A validation is asked for its order only: more functions cost time and choose no other step.
MOST_VALIDATED = 1_000
_VALIDATION_SEED = 20_260_101
_SHUFFLE_SEED = 20_260_102


@dataclass(frozen=True, eq=False)
class Targets:
    """The labels of training, (n,) each, and which functions validations are asked about; none: no validation."""

    signals: Floats
    early_signals: Floats
    late_credits: Floats
    validated: tuple[int, ...]


def targets_of(pairs: PairSet, recipe: FinetuneRecipe, seed: int) -> Targets:
    """The labels as they are, or dealt out at random for the control: all three together, so that none tells.

    Each seed is dealt others: what one deal has in common with the true labels by chance, the next has not.
    """
    order = np.arange(len(pairs.train))
    if recipe.shuffled_labels:
        order = np.random.default_rng((_SHUFFLE_SEED, seed)).permutation(order)
    early, late = pairs.early_signals[order], pairs.late_credits[order]
    known = early.any() and late.any()
    return Targets(pairs.signals[order], early, late, validated_functions(late) if known else ())


def validated_functions(late_credits: Floats) -> tuple[int, ...]:
    """All of them, or of many a seeded sample in which fixed ones are as frequent as in all."""
    if len(late_credits) <= MOST_VALIDATED:
        return tuple(range(len(late_credits)))
    random = np.random.default_rng(_VALIDATION_SEED)
    fixed, rest = np.flatnonzero(late_credits), np.flatnonzero(late_credits == 0)
    some = max(1, round(MOST_VALIDATED * len(fixed) / len(late_credits)))
    chosen = [*random.choice(fixed, some, replace=False), *random.choice(rest, MOST_VALIDATED - some, replace=False)]
    return tuple(sorted(int(index) for index in chosen))


def spearman(scores: Floats, labels: Floats) -> float | None:
    """ρ with average ranks for ties; none where one of them does not vary or a score is no number."""
    if not np.isfinite(scores).all():
        return None
    rho = float(correlate([scores], labels, np.ones((1, len(labels)))).rho[0, 0])
    return None if np.isnan(rho) else rho


@dataclass(frozen=True, kw_only=True)
class SeedJob:
    """What the seeds of a job share. Whatever is asked may raise Stopped, with a checkpoint kept."""

    loaded: Loaded
    pairs: PairSet
    recipe: FinetuneRecipe
    state: JobState
    watch: Callable[[JobEvent], None]
    stop: Callable[[], str | None]
    clock: Callable[[], float]
    checkpoint_every_steps: int | None = None
    known_checkpoints: Collection[str] | None = None

    def run(self, seed: int, number: int, *, fit_until: float, until: float, all_or_nothing: bool) -> SeedRun | None:
        """The seed from start to end, from where an earlier process was; none where time is up.

        `fit_until` and `until` are readings of the clock. The scores of a seed that ran out of time count all the
        same, unless `all_or_nothing`. Raises AssayError where not even one step was taken.
        """
        fit = self.state.fit(seed)
        if fit is None:
            fit = self._fit(seed, number, until if all_or_nothing else fit_until)
            if fit is None or (fit.ended and all_or_nothing):
                return None
            self.state.keep_fit(seed, fit)
        trained = self._refit(seed, number, fit, until)
        if trained.ended != COMPLETED and all_or_nothing:
            return None
        if not trained.steps_done:
            raise AssayError(f"not one step was done within {self.recipe.max_minutes:g} minutes: raise --max-minutes")
        self._say(seed, number, "scoring the holdout")
        began = self.clock()
        scores = self._score(self.loaded.ranker, self.loaded.holdout)
        run = SeedRun(
            seed=seed,
            fit=fit,
            refit_steps=trained.steps_done,
            refit_losses=_losses(trained),
            refit_ended=_ended(trained),
            refit_work=_work(trained),
            scores=scores,
            scoring_seconds=self.clock() - began,
        )
        self.state.keep_run(run, save(trained.state))
        return run

    def _fit(self, seed: int, number: int, until: float) -> Fit | None:
        """The number of steps by the late labels; all of them, planned later, where those tell nothing."""
        targets = targets_of(self.pairs, self.recipe, seed)
        if not targets.validated:
            return Fit(planned_steps=0, steps=0, losses=(), validations=())
        self._say(seed, number, "choosing the steps")
        asked = [self.loaded.train[index] for index in targets.validated]
        late = targets.late_credits[list(targets.validated)]

        def validate(ranker: Ranker) -> float | None:
            return spearman(self._score(ranker, asked, until), late)

        trained = self._train(seed, targets.early_signals, fit_prefix(seed), until=until, validate=validate)
        if not trained.steps_done:
            raise AssayError(f"not one step was done within {self.recipe.max_minutes:g} minutes: raise --max-minutes")
        return Fit(
            planned_steps=trained.planned,
            steps=trained.best_step,
            losses=_losses(trained),
            validations=tuple((point.step, point.rho) for point in trained.curve if point.rho is not None),
            ended=_ended(trained),
            work=_work(trained),
        )

    def _refit(self, seed: int, number: int, fit: Fit, until: float) -> Trained:
        self._say(seed, number, "training on all labels")
        steps, planned = (fit.steps, fit.planned_steps) if fit.steps else (None, None)
        signals = targets_of(self.pairs, self.recipe, seed).signals
        return self._train(seed, signals, refit_prefix(seed), until=until, steps=steps, planned=planned)

    def _train(
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

    def _score(self, ranker: Ranker, sequences: Sequence[Sequence[int]], until: float = math.inf) -> Floats:
        return score(
            ranker,
            sequences,
            micro_batch_tokens=self.recipe.micro_batch_tokens,
            device=self.loaded.device,
            watch=lambda done: self._raise_if_stopped(until),
        )

    def _raise_if_stopped(self, until: float) -> None:
        reason = self.stop() or (TIME_LIMIT if self.clock() >= until else None)
        if reason:
            raise Stopped(reason)

    def _say(self, seed: int, number: int, phase: Phase) -> None:
        self.watch(PhaseStarted(seed, number, len(self.recipe.seeds), phase))


def _losses(trained: Trained) -> tuple[tuple[int, float], ...]:
    return tuple((point.step, point.loss) for point in trained.curve)


def _ended(trained: Trained) -> str:
    return "" if trained.ended == COMPLETED else TIME_LIMIT


def _work(trained: Trained) -> Work:
    share = trained.padding_share
    return Work(trained.seconds, trained.tokens, round(trained.tokens * share / (1 - share)) if share < 1 else 0)
