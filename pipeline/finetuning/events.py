"""What happens during a run, one frozen value each: a terminal shows them, and the App relays them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One step of the optimiser is done."""

    step: int  # from 1
    steps: int  # that this run will take
    loss: float
    gradient_norm: float  # before clipping
    learning_rate: float  # of the adapter
    tokens: int  # so far, without padding
    seconds: float  # spent training so far, interruptions not counted
    padding_share: float  # of all tokens computed so far
    memory_mb: float | None  # most that the device held; none on a CPU


@dataclass(frozen=True, slots=True)
class Validated:
    """The ranker as it is after `step` was tried on the validation slice."""

    step: int
    rho: float | None  # none where it is not defined


@dataclass(frozen=True, slots=True)
class MicroBatchHalved:
    """Memory ran out, and the same step is done again in smaller pieces."""

    tokens: int  # of a micro-batch from now on, with padding


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """What a checkpoint is recognised by: whoever keeps this hash elsewhere can tell a forged one."""

    step: int
    manifest: str  # its name in the store
    sha256: str  # of the manifest, which holds the hash of every other file of the checkpoint


@dataclass(frozen=True, slots=True)
class Resumed:
    """Training goes on from a checkpoint."""

    step: int  # the last one that is done


TrainingEvent = TrainingStep | Validated | MicroBatchHalved | CheckpointSaved | Resumed
