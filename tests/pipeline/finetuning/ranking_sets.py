"""Ranking sets for the tests of training once more: small ones made of nothing, real ones, and planted ones."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.finetuning.model_card import CardMetrics, CardScore
from pipeline.finetuning.prompts import Prompted
from pipeline.finetuning.ranking_set import RankingSet, build_ranking_set
from pipeline.finetuning.recipe import BaseModel, FinetuneRecipe
from pipeline.finetuning.refit_result import Judged, KeptAdapter, RefitRecord, SeedSteps, Winner
from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES
from pipeline.mining.miner import Miner
from pipeline.mining.process_metrics import ProcessMetrics
from pipeline.ranking.scorer import Subject
from pipeline.records import DAY_S
from tests.builders.history import History
from tests.builders.pair_sets import planted
from tests.pipeline.finetuning.pair_sets import prompted
from tests.pipeline.ranking.subjects import QUIET, subject

WINDOW_DAYS = 730


def told(functions: Sequence[Prompted], pasts: Sequence[ProcessMetrics] | None = None) -> tuple[Subject, ...]:
    """Prompted functions as subjects: one after the other, with a quiet past where none is given."""
    return tuple(
        Subject(f.path, f.qualified_name, i, f.language, 1 + 10 * i, 9 + 10 * i, "0" * 40, f.metrics, process)
        for i, (f, process) in enumerate(zip(functions, pasts or [QUIET] * len(functions), strict=True))
    )


def ranking_set(**changes: Any) -> RankingSet:
    """Three functions to learn from, two to rank; `subjects` are those of `head` unless they are given."""
    busy = subject(touches=2, authors=1, decayed_touches=1.5, days_since_touch=3.25, fixes=1, credit=0.7, file_fixes=2)
    usual: dict[str, Any] = {
        "repo": "example/shop",
        "head_sha": "a" * 40,
        "train_start": 1_631_536_000,
        "as_of": 1_694_608_000,
        "label_recipe_id": "abc123abc123",
        "config_hash": "",
        "train": tuple(prompted(f"f{i}", f"def f{i}(x):\n    return {i}\n") for i in range(3)),
        "signals": np.array([0.0, 0.7, 1.0]),
        "head": (prompted("g"), prompted("h")),
    }
    fields = usual | changes
    if "subjects" not in fields:
        head = fields["head"]
        fields["subjects"] = told(head, [busy.process, *[QUIET] * len(head)][: len(head)])
    return RankingSet(**fields)


def ranking_set_of(history: History, *, window_days: float = WINDOW_DAYS, **asked: Any) -> RankingSet:
    with tempfile.TemporaryDirectory() as folder:
        repository = open_repository(history.write(Path(folder) / "shop.git"))
        with Miner(repository, MESSAGES) as miner, repository.reader() as reader:

            def read(blob: str) -> bytes:
                return reader.blob(bytes.fromhex(blob), 1 << 20)

            return build_ranking_set(miner, MESSAGES, read, window_s=round(window_days * DAY_S), **asked)


def planted_ranking(**changes: Any) -> tuple[RankingSet, NDArray[np.bool_]]:
    """A ranking set in which the code alone tells who is fixed, and (n,) who of the head is guilty."""
    pairs = planted()
    found = ranking_set(
        label_recipe_id=pairs.label_recipe_id, train=pairs.train, signals=pairs.signals, head=pairs.holdout
    )
    return dataclasses.replace(found, **changes), pairs.labels > 0


def judged(recipe: FinetuneRecipe, *, scorer: Winner = "adapter", steps: int = 8, **changes: Any) -> Judged:
    """A run that won, of which each seed took so many steps of eight."""
    usual: dict[str, Any] = {
        "run_id": "run-17",
        "judged_at": "2023-09-14T08:00:00Z",
        "head_sha": "b" * 40,
        "pair_set_id": "c" * 64,
        "recipe_id": recipe.recipe_id("0123456789ab"),
        "scorer": scorer,
        "window_s": WINDOW_DAYS * DAY_S,
        "steps": tuple(SeedSteps(seed, steps, max(8, steps)) for seed in recipe.seeds),
        "metrics": CardMetrics("WIN", 300, 60, (CardScore("adapter", 0.4, 0.3, 0.5),), 0.1, 0.05, 0.15, 0.8),
    }
    return Judged(**usual | changes)


def refit_record(**changes: Any) -> RefitRecord:
    recipe = FinetuneRecipe(base_model=BaseModel("./tiny"), seeds=(1, 2), memory_limit_gb=20)
    usual: dict[str, Any] = {
        "repo": "example/shop",
        "head_sha": "a" * 40,
        "train_start": 1_631_536_000,
        "as_of": 1_694_608_000,
        "config_hash": "",
        "label_recipe_id": "0123456789ab",
        "recipe": recipe,
        "recipe_id": recipe.recipe_id("0123456789ab"),
        "ranking_set_id": "d" * 64,
        "judged": judged(recipe),
        "trained_on": 400,
        "training_positives": 80,
        "ranked": 500,
        "adapters": tuple(KeptAdapter(seed, {"adapter.safetensors": f"{seed}" * 64}) for seed in recipe.seeds),
        "seconds": 12.5,
        "tokens": 34_000,
        "device": "CPU (2 threads)",
        "versions": {"torch": "2.13.0"},
    }
    return RefitRecord(**usual | changes)
