"""Pair sets for the tests of fine-tuning: small ones made of nothing, and real ones of synthetic histories."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.finetuning.pair_set import PairSet, build_pair_set
from pipeline.finetuning.prompts import Prompted
from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES
from pipeline.mining.miner import Miner
from pipeline.ranking.competitors import competitors
from pipeline.ranking.dataset import build_dataset
from pipeline.ranking.scorer import Scorer
from pipeline.records import PairMetrics
from tests.builders.history import History


def prompted(name: str = "f", code: str = "def f(x):\n    return x\n", **changes: Any) -> Prompted:
    usual = Prompted("src/shop.py", name, "Python", PairMetrics(2, 1, 0, 0, 0, 1), code)
    return dataclasses.replace(usual, **changes)


def pair_set(**changes: Any) -> PairSet:
    """Three functions to learn from, two held out."""
    usual: dict[str, Any] = {
        "repo": "example/shop",
        "head_sha": "a" * 40,
        "train_start": 1_600_000_000,
        "eval_start": 1_663_072_000,
        "as_of": 1_694_608_000,
        "label_recipe_id": "abc123abc123",
        "config_hash": "",
        "train": tuple(prompted(f"f{i}", f"def f{i}(x):\n    return {i}\n") for i in range(3)),
        "signals": np.array([0.0, 0.7, 1.0]),
        "early_signals": np.array([0.0, 0.7, 0.5]),
        "late_credits": np.array([0.0, 0.0, 0.7]),
        "holdout": (prompted("g"), prompted("h", metrics=PairMetrics(2))),
        "labels": np.array([0.0, 1.4]),
        "lines": (2, 2),
        "scores": {"baseline": np.array([0.25, np.nan]), "size": np.array([2.0, 2.0])},
    }
    return PairSet(**usual | changes)


def pair_set_of(history: History, scorers: Sequence[Scorer] | None = None) -> PairSet:
    """Without `scorers` with the cheap ones that cost no time: trees are fitted elsewhere."""
    cheap = [scorer for scorer in competitors() if scorer.name in ("size", "decayed touches")]
    with tempfile.TemporaryDirectory() as folder:
        repository = open_repository(history.write(Path(folder) / "shop.git"))
        with Miner(repository, MESSAGES) as miner, repository.reader() as reader:

            def read(blob: str) -> bytes:
                return reader.blob(bytes.fromhex(blob), 1 << 20)

            return build_pair_set(
                miner, build_dataset(miner, MESSAGES, read), MESSAGES, read, "", cheap if scorers is None else scorers
            )
