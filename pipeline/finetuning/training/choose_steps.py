"""Choose how long a seed trains: fit on early labels, validate on the late ones.

The parts are defined in docs/development/design.md, "Holdout".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.finetuning.job_state import fit_prefix
from pipeline.finetuning.pair_set import PairSet
from pipeline.finetuning.recipe import MAX_VALIDATED, FinetuneRecipe
from pipeline.finetuning.result import Fit
from pipeline.finetuning.training.job import SeedTraining, require_steps
from pipeline.finetuning.training.model import Ranker
from pipeline.ranking.bootstrap import Floats, correlate

_VALIDATION_SEED = 20_260_101
_SHUFFLE_SEED = 20_260_102


@dataclass(frozen=True, eq=False)
class Targets:
    """The training labels, (n,) each, and the functions that validations score; none: no validation."""

    signals: Floats
    early_signals: Floats
    late_credits: Floats
    validated: tuple[int, ...]


def targets_of(pairs: PairSet, recipe: FinetuneRecipe, seed: int) -> Targets:
    """Return the labels as they are, or for the control shuffled, all three together so that none reveals another.

    Each seed gets its own shuffle, so that chance agreement with the true labels averages out.
    """
    order = np.arange(len(pairs.train))
    if recipe.shuffled_labels:
        order = np.random.default_rng((_SHUFFLE_SEED, seed)).permutation(order)
    early, late = pairs.early_signals[order], pairs.late_credits[order]
    known = early.any() and late.any()
    return Targets(pairs.signals[order], early, late, validated_functions(late) if known else ())


def validated_functions(late_credits: Floats) -> tuple[int, ...]:
    """Return all functions, or a seeded sample of many in which fixed ones are as frequent as in all."""
    if len(late_credits) <= MAX_VALIDATED:
        return tuple(range(len(late_credits)))
    random = np.random.default_rng(_VALIDATION_SEED)
    fixed, rest = np.flatnonzero(late_credits), np.flatnonzero(late_credits == 0)
    some = max(1, round(MAX_VALIDATED * len(fixed) / len(late_credits)))
    chosen = [*random.choice(fixed, some, replace=False), *random.choice(rest, MAX_VALIDATED - some, replace=False)]
    return tuple(sorted(int(index) for index in chosen))


def spearman(scores: Floats, labels: Floats) -> float | None:
    """Return ρ with average ranks for ties; None if either is constant or a score is not finite."""
    if not np.isfinite(scores).all():
        return None
    rho = float(correlate([scores], labels, np.ones((1, len(labels)))).rho[0, 0])
    return None if np.isnan(rho) else rho


def choose_steps(training: SeedTraining, targets: Targets, seed: int, until: float) -> Fit:
    """Fit on the early labels and choose the number of steps by the late ones; 0 steps if validation cannot choose.

    Raises Stopped with a checkpoint saved, and AssayError if there is no time for a single step.
    """
    if not targets.validated:
        return Fit(planned_steps=0, steps=0, losses=(), validations=())
    training.announce(seed, "choosing the steps")
    validated = [training.loaded.train[index] for index in targets.validated]
    late = targets.late_credits[list(targets.validated)]

    def validate(ranker: Ranker) -> float | None:
        return spearman(training.score(ranker, validated, until), late)

    trained = training.train(seed, targets.early_signals, fit_prefix(seed), until=until, validate=validate)
    require_steps(trained, training.recipe)
    return Fit(
        planned_steps=trained.planned,
        steps=trained.best_step,
        losses=trained.losses,
        validations=tuple((point.step, point.rho) for point in trained.curve if point.rho is not None),
        ended=trained.shortened_by,
        work=trained.work,
    )
