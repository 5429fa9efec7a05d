"""Made-up pair sets of tiny functions, in which those that call certain words need fixes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.finetuning.pair_set import PairSet
from pipeline.finetuning.prompts import Prompted
from pipeline.finetuning.recipe import BaseModel, FinetuneRecipe
from pipeline.records import PairMetrics

# Every function calls one of the words; those that call a culprit are fixed.
CULPRITS = ("unlock", "seek", "retry", "flush", "decode", "merge", "poll", "rotate")
INNOCENTS = ("append", "sort", "trim", "count", "format", "repeat", "clone", "notify")
_FUNCTIONS_A_FILE = 5


def planted(
    *,
    train: int = 200,
    holdout: int = 210,
    share: float = 0.25,
    seed: int = 0,
    words: int = 1,
    mirrored: bool = False,
) -> PairSet:
    """Return a pair set in which only the code tells what is fixed: path, name and structure say nothing.

    `share` of the functions call one of `words` culprits; `mirrored` swaps culprits and innocents. The callers are
    fixed in every window, more or less; cheap scorers guess.
    """
    culprits, innocents = (INNOCENTS, CULPRITS) if mirrored else (CULPRITS, INNOCENTS)
    vocabulary = {True: culprits[:words], False: innocents[:words]}
    random = np.random.default_rng(seed)
    guilty = [random.permutation(n) < round(share * n) for n in (train, holdout)]
    early, late = (np.where(guilty[0], random.uniform(0.3, 1.0, train), 0.0) for _ in range(2))
    return PairSet(
        repo="planted",
        head_sha="a" * 40,
        train_start=1_500_000_000,
        eval_start=1_560_000_000,
        as_of=1_590_000_000,
        label_recipe_id="0123456789ab",
        config_hash="",
        train=tuple(_function("train", i, vocabulary[bool(g)], random) for i, g in enumerate(guilty[0])),
        signals=np.minimum(1.0, (early + late) / 1.5),
        early_signals=early,
        late_credits=late,
        holdout=tuple(_function("holdout", i, vocabulary[bool(g)], random) for i, g in enumerate(guilty[1])),
        labels=np.where(guilty[1], random.uniform(0.3, 2.0, holdout), 0.0),
        lines=(4,) * holdout,
        scores={name: random.normal(size=holdout) for name in ("baseline", "size", "decayed touches")},
    )


def _function(side: str, number: int, words: Sequence[str], random: np.random.Generator) -> Prompted:
    """Four lines, two calls; every file has some of both kinds."""
    calls = ["".join(random.choice(list("abcdehilmnorst"), 5)) for _ in range(2)]
    calls[int(random.integers(2))] = words[number % len(words)]
    code = f"def f(x):\n  x.{calls[0]}()\n  x.{calls[1]}()\n  return x"
    return Prompted(f"{side}/m{number // _FUNCTIONS_A_FILE}.py", "f", "Python", PairMetrics(4, 1, 0, 2, 0, 1), code)


def quick(model: Path, **changed: Any) -> FinetuneRecipe:
    """Return a recipe that finds the planted signal with a tiny model in a few seconds."""
    known: dict[str, Any] = {
        "base_model": BaseModel(str(model)),
        "max_tokens": 96,
        "learning_rate": 0.01,
        "head_learning_rate": 0.02,
        "lora_dropout": 0.0,
        "epochs": 2,
        "validations": 2,
        "seeds": (1,),
    }
    return FinetuneRecipe(**(known | changed))
