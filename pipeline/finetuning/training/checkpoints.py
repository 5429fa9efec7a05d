"""Where a training run stands, kept so that it can go on in another process, directory or machine.

A checkpoint is three files: tensors (safetensors), everything else (JSON), and a manifest with the SHA-256 of both,
written last. One without a manifest, or whose files are not what the manifest says, is as if it were not there: then
the one before it is taken. Nothing is ever unpickled.
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
_LEAST_TIMES_ITS_COST = 20  # between checkpoints: a slow disk may slow training by a twentieth
_FILE = re.compile(r"step-(\d{9})\.(safetensors|json|manifest\.json)")

Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One step of the optimiser; the curves are drawn from these."""

    step: int  # from 1
    loss: float
    gradient_norm: float  # before clipping
    learning_rate: float  # of the adapter
    rho: float | None  # on the validation slice; none where it was not tried or is not defined
    tokens: int  # so far, without padding
    seconds: float  # so far


@dataclass(frozen=True)
class TrainState:
    """Everything that the next step depends on, and what is to be reported at the end."""

    run: str  # names data, recipe and seed: a checkpoint of another run is not taken
    step: int  # the last one that is done
    trainable: Tensors = field(default_factory=dict)
    optimizer: Tensors = field(default_factory=dict)
    random: Tensors = field(default_factory=dict)  # of the devices' generators, uint8
    best: Tensors = field(default_factory=dict)  # trainable as it was at the best step; empty before a validation
    best_step: int = 0
    validated_step: int = 0  # the last one that was validated after
    best_rho: float | None = None
    curve: tuple[CurvePoint, ...] = ()
    tokens: int = 0  # without padding
    padded_tokens: int = 0
    seconds: float = 0.0
    micro_batch_tokens: int = 0  # smaller than the recipe's where memory ran out


_GROUPS = ("trainable", "optimizer", "random", "best")


@dataclass(frozen=True, slots=True)
class Saved:
    """What a checkpoint is recognised by."""

    step: int
    manifest: str
    sha256: str  # of the manifest


class Checkpoints:
    """The checkpoints of one run, in the folder `prefix` of a store; the newest two that are good are kept.

    `every_steps` and `every_s` say how often training saves one. With `known`, hashes of manifests that the caller
    recorded when they were saved, a checkpoint of any other hash is not taken.
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
        self._good: set[int] = set()  # written or read by this process, so that it need not be read again

    def is_due(self, steps: int, seconds: float, cost_s: float) -> bool:
        """Is it time for another, so many steps and seconds after the last one, which took `cost_s` to save?"""
        late = seconds >= max(self._every_s, _LEAST_TIMES_ITS_COST * cost_s)
        return steps >= (self._every_steps or math.inf) or (steps > 0 and late)

    def save(self, state: TrainState) -> Saved:
        """Write it, then drop all but the newest two. Raises StoreError; what was good before is then still there."""
        name = f"{self._prefix}/step-{state.step:09d}"
        files = {f"{name}.safetensors": save(_tensors(state)), f"{name}.json": _to_json(_plain(state))}
        hashes = {path.rpartition("/")[2]: self._store.write(path, data) for path, data in files.items()}
        manifest = _to_json({"version": _VERSION, "files": hashes})
        saved = Saved(state.step, f"{name}.manifest.json", self._store.write(f"{name}.manifest.json", manifest))
        self._good.add(state.step)
        self._drop_old(state.step)
        return saved

    def latest(self) -> TrainState | None:
        """The newest checkpoint that is whole; none where there is none."""
        for step in sorted(self._found(), reverse=True):
            state = self._read(f"{self._prefix}/step-{step:09d}")
            if state is not None and state.step == step:
                self._good.add(step)
                return state
        return None

    def delete(self) -> None:
        """Drop all of them: the run is over."""
        for names in self._found().values():
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

    def _found(self) -> dict[int, list[str]]:
        """Names in the store by step, those of half a checkpoint too; the manifest first."""
        found: dict[int, list[str]] = {}
        for name in self._store.names():
            folder, _, file = name.rpartition("/")
            match = _FILE.fullmatch(file)
            if folder == self._prefix and match:
                found.setdefault(int(match[1]), []).append(name)
        return {step: sorted(names, key=lambda name: "manifest" not in name) for step, names in found.items()}

    def _drop_old(self, newest: int) -> None:
        """Keep `newest` and the good one before it. A later one is damaged, or of a future that is gone."""
        kept = 0
        for step, names in sorted(self._found().items(), reverse=True):
            if step <= newest and kept < _KEPT and self._is_good(step):
                kept += 1
            else:
                self._drop(names)

    def _is_good(self, step: int) -> bool:
        return step in self._good or self._read(f"{self._prefix}/step-{step:09d}") is not None

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
    """Raises ValueError, KeyError or TypeError for what is not such a checkpoint."""
    groups: dict[str, Any] = {group: {} for group in _GROUPS}
    for name, tensor in tensors.items():
        group, _, rest = name.partition("/")
        groups[group][rest] = tensor
    curve = tuple(CurvePoint(**point) for point in plain.pop("curve"))
    return TrainState(curve=curve, **plain, **groups)


def _to_json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, allow_nan=False).encode()


def refuse_foreign(state: TrainState, run: str) -> None:
    """Raises AssayError where the checkpoint belongs to other data, another recipe or another seed."""
    if state.run != run:
        raise AssayError(
            f"the checkpoint of step {state.step} was made from other data, by another recipe or with another seed: "
            "choose another --out, or delete the checkpoints there"
        )
