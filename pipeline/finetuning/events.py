"""Progress events of a run or refit, one frozen value each: terminals draw them, the App relays them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Phase = Literal[
    "choosing the steps", "training on all labels", "scoring the holdout", "scoring the functions of the head"
]


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """An optimizer step is complete."""

    step: int  # from 1
    steps: int  # in this phase
    loss: float
    gradient_norm: float  # before clipping
    learning_rate: float  # of the adapter
    tokens: int  # so far, without padding
    seconds: float  # spent training so far, without interruptions
    padding_share: float  # of all tokens computed so far
    memory_mb: float | None  # peak of the device; None on a CPU


@dataclass(frozen=True, slots=True)
class Validated:
    """The ranker was scored on the validation slice after `step`."""

    step: int
    rho: float | None  # None where it is undefined


@dataclass(frozen=True, slots=True)
class MicroBatchHalved:
    """Memory ran out; the step is repeated in smaller micro-batches."""

    tokens: int  # of a micro-batch from now on, padding included


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """A checkpoint was written; a copy of its hash kept elsewhere exposes a forged one."""

    step: int
    manifest: str  # its name in the store
    sha256: str  # of the manifest, which holds the hash of every other file of the checkpoint


@dataclass(frozen=True, slots=True)
class Resumed:
    """Training continues from a checkpoint."""

    step: int  # the last complete one


@dataclass(frozen=True, slots=True)
class Planned:
    """The cost, announced before training: an upper bound for a run, exact for a refit."""

    tokens: int  # of training, without padding
    flops: float
    minutes: float | None  # None for a device of unknown speed
    device: str
    trained_on: int  # functions
    scored: int  # functions of the holdout or head
    seeds: int
    fits: int = 2  # trainings per seed: a refit skips the one that chooses the steps


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    seed: int
    number: int  # of the seed, from 1
    seeds: int
    phase: Phase


@dataclass(frozen=True, slots=True)
class EmbeddingStarted:
    """The untouched base model is embedding functions."""

    functions: int


@dataclass(frozen=True, slots=True)
class SeedCompleted:
    """A seed is trained and scored."""

    seed: int
    number: int
    seeds: int
    earlier: bool  # by an earlier process


TrainingEvent = TrainingStep | Validated | MicroBatchHalved | CheckpointSaved | Resumed
JobEvent = TrainingEvent | Planned | PhaseStarted | EmbeddingStarted | SeedCompleted
