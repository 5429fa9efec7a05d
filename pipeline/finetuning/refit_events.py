"""What training once more says of itself while it runs, beside the events of training (events.py). Frozen."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.finetuning.events import TrainingEvent
from pipeline.finetuning.job_events import PhaseStarted, SeedCompleted


@dataclass(frozen=True, slots=True)
class RefitPlanned:
    """Before anything is trained: what all seeds cost, for the steps are known."""

    tokens: int  # of training, without padding
    flops: float
    minutes: float | None  # none where nothing is known of the device
    device: str
    trained_on: int
    ranked: int
    seeds: int


@dataclass(frozen=True, slots=True)
class HeadScoring:
    """The functions of the head are being scored."""

    seed: int
    number: int  # of the seed, from 1
    seeds: int
    functions: int


RefitEvent = TrainingEvent | RefitPlanned | PhaseStarted | HeadScoring | SeedCompleted
