"""What a GPU worker is made of, as plain parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bot.clock import Clock
from bot.disk.artifacts import Artifacts
from bot.gpu_worker.training_child import COMMAND
from bot.store.database import Database
from pipeline.finetuning.recipe import BaseModel

STOPS_WITHIN_S: Final = 20.0  # for a checkpoint, when the worker is told to stop


@dataclass(frozen=True, kw_only=True)
class GpuParts:
    """Everything that a GPU worker works with."""

    database: Database
    artifacts: Artifacts
    clock: Clock
    base_models: Mapping[str, BaseModel]
    minutes: float  # of training that one run may take
    scratch: Path
    name: str  # of the worker
    device: str = ""  # what there is, where empty
    lease_s: float = 60.0
    looks_every_s: float = 3.0
    stops_within_s: float = STOPS_WITHIN_S
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)  # of the process that trains
    command: Sequence[str] = COMMAND
