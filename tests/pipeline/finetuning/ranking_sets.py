"""Ranking sets for tests of refits: small made-up ones, real ones of synthetic histories, and planted ones."""

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
from pipeline.finetuning.ranker import TunedRankerName
from pipeline.finetuning.ranking_set import RankingSet, build_ranking_set
from pipeline.finetuning.recipe import BaseModel, FinetuneRecipe
from pipeline.finetuning.result import RefitRecord, SavedAdapter, SeedSteps, WinningRun
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


def subjects_of(functions: Sequence[Prompted], metrics: Sequence[ProcessMetrics] | None = None) -> tuple[Subject, ...]:
    """Return prompted functions as subjects, one after the other, with a quiet history by default."""
    return tuple(
        Subject(f.path, f.qualified_name, i, f.language, 1 + 10 * i, 9 + 10 * i, "0" * 40, f.metrics, process)
        for i, (f, process) in enumerate(zip(functions, metrics or [QUIET] * len(functions), strict=True))
    )


def ranking_set(**changes: Any) -> RankingSet:
    """Return a set of three functions to learn from and two to rank; `subjects` default to those of `head`."""
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
        fields["subjects"] = subjects_of(head, [busy.process, *[QUIET] * len(head)][: len(head)])
    return RankingSet(**fields)


def ranking_set_of(history: History, *, window_days: float = WINDOW_DAYS, **options: Any) -> RankingSet:
    with tempfile.TemporaryDirectory() as folder:
        repository = open_repository(history.write(Path(folder) / "shop.git"))
        with Miner(repository, MESSAGES) as miner, repository.reader() as reader:

            def read(blob: str) -> bytes:
                return reader.blob(bytes.fromhex(blob), 1 << 20)

            return build_ranking_set(miner, MESSAGES, read, window_s=round(window_days * DAY_S), **options)


def planted_ranking(**changes: Any) -> tuple[RankingSet, NDArray[np.bool_]]:
    """Return a ranking set in which only the code tells what is fixed, and (n,) what is fixed of the head."""
    pairs = planted()
    planted_set = ranking_set(
        label_recipe_id=pairs.label_recipe_id, train=pairs.train, signals=pairs.signals, head=pairs.holdout
    )
    return dataclasses.replace(planted_set, **changes), pairs.labels > 0


def winner_of(
    recipe: FinetuneRecipe, *, scorer: TunedRankerName = "adapter", steps: int = 8, **changes: Any
) -> WinningRun:
    """Return a winning run in which each seed took `steps` of eight steps."""
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
    return WinningRun(**usual | changes)


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
        "judged": winner_of(recipe),
        "trained_on": 400,
        "training_positives": 80,
        "ranked": 500,
        "adapters": tuple(SavedAdapter(seed, {"adapter.safetensors": f"{seed}" * 64}) for seed in recipe.seeds),
        "seconds": 12.5,
        "tokens": 34_000,
        "device": "CPU (2 threads)",
        "versions": {"torch": "2.13.0"},
    }
    return RefitRecord(**usual | changes)
