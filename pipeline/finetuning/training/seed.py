"""One seed: how many steps, then as many on all labels, then the holdout (DESIGN.md section 2, "Holdout")."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.finetuning.job_state import fit_prefix
from pipeline.finetuning.pair_set import PairSet
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.result import Fit, SeedRun
from pipeline.finetuning.training.loop import COMPLETED
from pipeline.finetuning.training.model import Ranker
from pipeline.finetuning.training.train_seed import SeedTraining, ended_of, losses_of, work_of
from pipeline.ranking.bootstrap import Floats, correlate
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
    """The seeds of a job that is judged. Whatever is asked may raise Stopped, with a checkpoint kept."""

    training: SeedTraining
    pairs: PairSet

    def run(self, seed: int, number: int, *, fit_until: float, until: float, all_or_nothing: bool) -> SeedRun | None:
        """The seed from start to end, from where an earlier process was; none where time is up.

        `fit_until` and `until` are readings of the clock. The scores of a seed that ran out of time count all the
        same, unless `all_or_nothing`. Raises AssayError where not even one step was taken.
        """
        state, signals = self.training.state, self._targets(seed).signals
        fit = state.fit(seed)
        if fit is None:
            fit = self._fit(seed, number, until if all_or_nothing else fit_until)
            if fit is None or (fit.ended and all_or_nothing):
                return None
            state.keep_fit(seed, fit)
        trained = self.training.train_on_all(seed, number, fit, signals, until)
        if trained.ended != COMPLETED and all_or_nothing:
            return None
        if not trained.steps_done:
            raise self._no_time()
        self.training.say(seed, number, "scoring the holdout")
        return self.training.complete(seed, fit, trained)

    def _fit(self, seed: int, number: int, until: float) -> Fit | None:
        """The number of steps by the late labels; all of them, planned later, where those tell nothing."""
        targets, training = self._targets(seed), self.training
        if not targets.validated:
            return Fit(planned_steps=0, steps=0, losses=(), validations=())
        training.say(seed, number, "choosing the steps")
        asked = [training.loaded.train[index] for index in targets.validated]
        late = targets.late_credits[list(targets.validated)]

        def validate(ranker: Ranker) -> float | None:
            return spearman(training.score(ranker, asked, until), late)

        trained = training.train(seed, targets.early_signals, fit_prefix(seed), until=until, validate=validate)
        if not trained.steps_done:
            raise self._no_time()
        return Fit(
            planned_steps=trained.planned,
            steps=trained.best_step,
            losses=losses_of(trained),
            validations=tuple((point.step, point.rho) for point in trained.curve if point.rho is not None),
            ended=ended_of(trained),
            work=work_of(trained),
        )

    def _targets(self, seed: int) -> Targets:
        return targets_of(self.pairs, self.training.recipe, seed)

    def _no_time(self) -> AssayError:
        minutes = self.training.recipe.max_minutes
        return AssayError(f"not one step was done within {minutes:g} minutes: raise --max-minutes")
