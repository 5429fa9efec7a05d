"""Checkpoints of a training run, from which another process, directory or machine can resume.

A checkpoint is three files: tensors (safetensors), everything else (JSON), and a manifest with the SHA-256 of both,
written last. One without a manifest, or whose files do not match it, is ignored in favour of the one before. Nothing is
ever unpickled.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from pipeline.finetuning.artifact_store import MissingError, Store, sha256
from pipeline.records import AssayError

_VERSION = 1
_KEPT = 2
_MIN_COST_RATIO = 20  # seconds between checkpoints per second of saving: a slow disk costs at most a twentieth
_FILE = re.compile(r"step-(\d{9})\.(safetensors|json|manifest\.json)")

Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """An optimizer step, for the curves."""

    step: int  # from 1
    loss: float
    gradient_norm: float  # before clipping
    learning_rate: float  # of the adapter
    rho: float | None  # on the validation slice; None if not validated, or undefined
    tokens: int  # so far, without padding
    seconds: float  # so far


@dataclass(frozen=True)
class TrainState:
    """Everything that the next step and the final report depend on."""

    run: str  # digest of data, recipe and seed: checkpoints of other runs are refused
    step: int  # the last complete one
    trainable: Tensors = field(default_factory=dict)
    optimizer: Tensors = field(default_factory=dict)
    random: Tensors = field(default_factory=dict)  # of the devices' generators, uint8
    best: Tensors = field(default_factory=dict)  # trainable at the best step; empty before the first validation
    best_step: int = 0
    validated_step: int = 0  # the last one followed by a validation
    best_rho: float | None = None
    curve: tuple[CurvePoint, ...] = ()
    tokens: int = 0  # without padding
    padded_tokens: int = 0
    seconds: float = 0.0
    micro_batch_tokens: int = 0  # smaller than the recipe's if memory ran out


_GROUPS = ("trainable", "optimizer", "random", "best")


@dataclass(frozen=True, slots=True)
class Saved:
    """The identity of a saved checkpoint."""

    step: int
    manifest: str
    sha256: str  # of the manifest


class Checkpoints:
    """The checkpoints of one run, in the folder `prefix` of a store; the newest two intact ones are kept.

    `every_steps` and `every_s` set how often training saves one. With `known`, hashes of manifests that the caller
    recorded when they were saved, any other checkpoint is ignored.
    """

    def __init__(
        self,
        store: Store,
        prefix: str,
        *,
        every_steps: int | None = None,
        every_s: float = 60.0,
        known: Collection[str] | None = None,
    ) -> None:
        self._store = store
        self._prefix = prefix.rstrip("/")
        self._every_steps = every_steps
        self._every_s = every_s
        self._known = known
        self._intact: set[int] = set()  # steps whose checkpoint this process wrote or read

    def is_due(self, steps: int, seconds: float, cost_s: float) -> bool:
        """Return whether to save one, `steps` and `seconds` after the last one, which took `cost_s` to save."""
        late = seconds >= max(self._every_s, _MIN_COST_RATIO * cost_s)
        return steps >= (self._every_steps or math.inf) or (steps > 0 and late)

    def save(self, state: TrainState) -> Saved:
        """Write a checkpoint, then drop all but the newest two. After a StoreError the intact ones are still there."""
        name = f"{self._prefix}/step-{state.step:09d}"
        files = {f"{name}.safetensors": save(_tensors(state)), f"{name}.json": _to_json(_plain(state))}
        hashes = {path.rpartition("/")[2]: self._store.write(path, data) for path, data in files.items()}
        manifest = _to_json({"version": _VERSION, "files": hashes})
        saved = Saved(state.step, f"{name}.manifest.json", self._store.write(f"{name}.manifest.json", manifest))
        self._intact.add(state.step)
        self._drop_old(state.step)
        return saved

    def latest(self) -> TrainState | None:
        """Return the newest intact checkpoint, if any."""
        for step in sorted(self._files(), reverse=True):
            state = self._read(f"{self._prefix}/step-{step:09d}")
            if state is not None and state.step == step:
                self._intact.add(step)
                return state
        return None

    def delete(self) -> None:
        """Drop all checkpoints."""
        for names in self._files().values():
            self._drop(names)

    def _read(self, name: str) -> TrainState | None:
        try:
            manifest = self._store.read(f"{name}.manifest.json")
            if self._known is not None and sha256(manifest) not in self._known:
                return None
            hashes = json.loads(manifest)["files"]
            tensors, plain = self._store.read(f"{name}.safetensors"), self._store.read(f"{name}.json")
            base = name.rpartition("/")[2]
            if hashes != {f"{base}.safetensors": sha256(tensors), f"{base}.json": sha256(plain)}:
                return None
            return _state(load(tensors), json.loads(plain))
        except (MissingError, SafetensorError, ValueError, KeyError, TypeError):  # half-written, damaged or foreign
            return None

    def _files(self) -> dict[int, list[str]]:
        """Return the file names by step, manifest first, incomplete checkpoints included."""
        by_step: dict[int, list[str]] = {}
        for name in self._store.names():
            folder, _, file = name.rpartition("/")
            match = _FILE.fullmatch(file)
            if folder == self._prefix and match:
                by_step.setdefault(int(match[1]), []).append(name)
        return {step: sorted(names, key=lambda name: "manifest" not in name) for step, names in by_step.items()}

    def _drop_old(self, newest: int) -> None:
        """Keep `newest` and the intact one before it. A later one is damaged, or left from before a rewind."""
        kept = 0
        for step, names in sorted(self._files().items(), reverse=True):
            if step <= newest and kept < _KEPT and self._is_intact(step):
                kept += 1
            else:
                self._drop(names)

    def _is_intact(self, step: int) -> bool:
        return step in self._intact or self._read(f"{self._prefix}/step-{step:09d}") is not None

    def _drop(self, names: Sequence[str]) -> None:
        for name in names:
            self._store.delete(name)


def _tensors(state: TrainState) -> Tensors:
    groups: Mapping[str, Tensors] = {group: getattr(state, group) for group in _GROUPS}
    return {f"{group}/{name}": tensor.contiguous() for group in _GROUPS for name, tensor in groups[group].items()}


def _plain(state: TrainState) -> dict[str, Any]:
    plain = {name: getattr(state, name) for name in state.__dataclass_fields__ if name not in _GROUPS}
    return plain | {"curve": [asdict(point) for point in state.curve]}


def _state(tensors: Tensors, plain: dict[str, Any]) -> TrainState:
    """Parse a checkpoint. Raises ValueError, KeyError or TypeError for anything else."""
    groups: dict[str, Any] = {group: {} for group in _GROUPS}
    for name, tensor in tensors.items():
        group, _, rest = name.partition("/")
        groups[group][rest] = tensor
    curve = tuple(CurvePoint(**point) for point in plain.pop("curve"))
    return TrainState(curve=curve, **plain, **groups)


def _to_json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, allow_nan=False).encode()


def refuse_foreign(state: TrainState, run: str) -> None:
    """Raise AssayError if the checkpoint belongs to other data, another recipe or another seed."""
    if state.run != run:
        raise AssayError(
            f"the checkpoint of step {state.step} was made from other data, by another recipe or with another seed: "
            "choose another --out, or delete the checkpoints there"
        )
