"""What a job says of itself while it runs, beside the events of training (events.py). Frozen; the App relays them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.finetuning.events import TrainingEvent

Phase = Literal["choosing the steps", "training on all labels", "scoring the holdout"]


@dataclass(frozen=True, slots=True)
class Planned:
    """Before anything is trained; what is planned is the most that it can take without a time limit."""

    tokens: int  # of training, without padding
    flops: float
    minutes: float | None  # none where nothing is known of the device
    device: str
    trained_on: int
    held_out: int
    seeds: int


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    seed: int
    number: int  # of the seed, from 1
    seeds: int
    phase: Phase


@dataclass(frozen=True, slots=True)
class EmbeddingStarted:
    """Frozen embeddings of so many functions are computed."""

    functions: int


@dataclass(frozen=True, slots=True)
class SeedCompleted:
    """Trained and scored, now or in an earlier process."""

    seed: int
    number: int
    seeds: int
    earlier: bool


JobEvent = TrainingEvent | Planned | PhaseStarted | EmbeddingStarted | SeedCompleted
