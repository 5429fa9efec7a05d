"""Made-up results of fine-tuning runs."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from pipeline.finetuning.comparison import judge
from pipeline.finetuning.recipe import BaseModel, FinetuneRecipe
from pipeline.finetuning.result import Costs, FinetuneResult, Fit, Judgement, SeedRun, Work
from pipeline.ranking.bootstrap import Floats

N, FILES = 300, 60
PATHS = [f"m{i % FILES}.py" for i in range(N)]
LINES = [10] * N


def labels() -> Floats:
    """Return labels in which every fifth function was fixed."""
    return np.where(np.arange(N) % 5 == 0, 1.0 + np.arange(N) / N, 0.0)


def noisy(strength: float, seed: int) -> Floats:
    """Return scores that know the labels not at all (strength 0) to almost perfectly (10)."""
    return np.asarray(strength * labels() + np.random.default_rng(seed).normal(size=N), dtype=np.float64)


def run(seed: int, scores: Floats, *, ended: str = "") -> SeedRun:
    return SeedRun(
        seed=seed,
        fit=Fit(
            planned_steps=8,
            steps=6,
            losses=tuple((step, 1.0 / step) for step in range(1, 9)),
            validations=((2, 0.1 * seed), (4, 0.15), (6, 0.4), (8, 0.3)),
            ended=ended,
            work=Work(seconds=10.0, tokens=8_000, padding=400),
        ),
        refit_steps=6,
        refit_losses=tuple((step, 1.1 / step) for step in range(1, 7)),
        refit_ended="",
        refit_work=Work(seconds=6.0, tokens=6_000, padding=100),
        scores=scores,
        scoring_seconds=1.0,
    )


@cache
def _judged(strength: float, seeds: int, control: str) -> tuple[tuple[SeedRun, ...], Judgement]:
    """Judge once what many tests look at: a judgement resamples for 50 ms."""
    runs = tuple(run(seed, noisy(strength, seed)) for seed in range(1, seeds + 1))
    cheap = {"baseline": noisy(0.3, 100), "size": noisy(0.1, 101), "decayed touches": noisy(0.8, 102)}
    scores = {run.seed: run.scores for run in runs}
    return runs, judge(cheap, labels(), PATHS, LINES, seeds=scores, frozen=noisy(0.5, 103), control=control)


def result(*, strength: float = 3.0, seeds: int = 2, completed: int | None = None, **changed: Any) -> FinetuneResult:
    """Return a run whose adapters know the labels by `strength`, beside a baseline that hardly does."""
    runs, judgement = _judged(strength, completed or seeds, changed.get("control", ""))
    recipe = FinetuneRecipe(base_model=BaseModel("./tiny"), seeds=tuple(range(1, seeds + 1)))
    known: dict[str, Any] = {
        "repo": "ore/rich",
        "head_sha": "a" * 40,
        "train_start": 1_500_000_000,
        "eval_start": 1_560_000_000,
        "as_of": 1_590_000_000,
        "config_hash": "",
        "label_recipe_id": "0123456789ab",
        "recipe": recipe,
        "recipe_id": recipe.recipe_id("0123456789ab"),
        "pair_set_id": "b" * 64,
        "trained_on": 400,
        "training_positives": 80,
        "judgement": judgement,
        "control": "",
        "runs": runs,
        "costs": Costs(Work(32.0, 28_000, 1_000), 40.0, 30_000, 2e12, 1.5, 1.9e12),
        "adapters": {run.seed: {"adapter.safetensors": "c" * 64} for run in runs},
        "device": "CPU (2 threads)",
        "versions": {"torch": "2.13.0"},
        "ended": "time limit" if completed else "",
    }
    return FinetuneResult(**(known | changed))
