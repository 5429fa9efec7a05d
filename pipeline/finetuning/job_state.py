"""The state of an unfinished job: its data and recipe, which seeds are fitted, and which are done.

    job.json                 pair set (of a refit: ranking set), recipe
    frozen.json              scores of the frozen embeddings
    seed-1/fit.json          the chosen number of steps, with the curves
    seed-1/adapter           the trained tensors, as safetensors
    seed-1/done.json         scores, SHA-256 of the adapter; written last
    seed-1/fit/, refit/      checkpoints of the training in progress

All of it goes through one store, so that another machine can resume. Floats survive the round trip exactly.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from pipeline.finetuning.artifact_store import Store, open_store
from pipeline.finetuning.result import Fit, SeedRun, Work
from pipeline.ranking.bootstrap import Floats
from pipeline.records import AssayError

_JOB, _FROZEN = "job.json", "frozen.json"
_OF_A_SEED = re.compile(r"seed-\d+/")
_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Embedded:
    """The scores of the untouched base model, or why there are none."""

    scores: Floats | None
    seconds: float
    reason: str = ""


class JobState:
    """The state of one job in a store. Raises AssayError if the store holds another job, or a damaged one."""

    def __init__(self, store: Store, *, pair_set_id: str, recipe_id: str) -> None:
        self.store = store
        ids = {"pair_set_id": pair_set_id, "recipe_id": recipe_id}
        self._names = set(store.names())
        stored = self._read(_JOB, dict)
        if stored is None:
            self._write(_JOB, ids)
        elif stored != ids:
            raise AssayError(_another_job(stored, ids, store.where))

    def seconds_spent(self, seeds: Sequence[int]) -> float:
        """Return the device time of all finished parts."""
        fits, runs = [self.fit(seed) for seed in seeds], [self.run(seed) for seed in seeds]
        known = sum(fit.work.seconds for fit in fits if fit)
        return known + sum(run.seconds - run.fit.work.seconds for run in runs if run)

    def forget(self) -> None:
        """Delete everything that this class writes, job.json first: from then on there is nothing to resume."""
        for name in sorted(self.store.names(), key=lambda name: name != _JOB):
            if name in (_JOB, _FROZEN) or _OF_A_SEED.match(name):
                self.store.delete(name)

    def fit(self, seed: int) -> Fit | None:
        return self._read(_named(seed, "fit.json"), _parse_fit)

    def keep_fit(self, seed: int, fit: Fit) -> None:
        self._write(_named(seed, "fit.json"), _fit_json(fit))

    def embedded(self) -> Embedded | None:
        return self._read(_FROZEN, _parse_embedded)

    def keep_embedded(self, embedded: Embedded) -> None:
        scores = None if embedded.scores is None else embedded.scores.tolist()
        self._write(_FROZEN, {"scores": scores, "seconds": embedded.seconds, "reason": embedded.reason})

    def run(self, seed: int) -> SeedRun | None:
        fit = self.fit(seed)
        if fit is None:
            return None
        return self._read(_named(seed, "done.json"), lambda stored: _parse_run(seed, fit, stored))

    def keep_run(self, run: SeedRun, adapter: bytes) -> None:
        """Keep a completed seed and delete its checkpoints."""
        self.store.write(_named(run.seed, "adapter"), adapter)
        digest = hashlib.sha256(adapter).hexdigest()
        self._write(_named(run.seed, "done.json"), _run_json(run) | {"adapter_sha256": digest})
        for name in self.store.names():
            if name.startswith((fit_prefix(run.seed) + "/", refit_prefix(run.seed) + "/")):
                self.store.delete(name)

    def adapter(self, seed: int) -> bytes:
        """Return the trained tensors of a completed seed. Raises AssayError if they changed since they were written."""
        name = _named(seed, "adapter")
        expected = self._read(_named(seed, "done.json"), lambda stored: str(stored["adapter_sha256"]))
        content = self.store.read(name)
        if hashlib.sha256(content).hexdigest() != expected:
            raise self._damaged(name)
        return content

    def _write(self, name: str, content: dict[str, Any]) -> None:
        self.store.write(name, json.dumps(content).encode())
        self._names.add(name)

    def _read(self, name: str, parse: Callable[[Any], _T]) -> _T | None:
        if name not in self._names:
            return None
        content = self.store.read(name)
        try:
            return parse(json.loads(content))
        except (ValueError, KeyError, TypeError):
            raise self._damaged(name) from None

    def _damaged(self, name: str) -> AssayError:
        return AssayError(
            f"{self.store.where}: {name} of the unfinished job is damaged: delete that folder to begin again"
        )


def open_state(work: str, checkpoints: str, *, pair_set_id: str, recipe_id: str) -> JobState:
    """Open the state in the folder `work`, or in `checkpoints` (a folder or fsspec URL) if given.

    `work` names the job in either case, so that no other one begins there.
    """
    state = JobState(open_store(work), pair_set_id=pair_set_id, recipe_id=recipe_id)
    return JobState(open_store(checkpoints), pair_set_id=pair_set_id, recipe_id=recipe_id) if checkpoints else state


def fit_prefix(seed: int) -> str:
    return f"seed-{seed}/fit"


def refit_prefix(seed: int) -> str:
    return f"seed-{seed}/refit"


def _named(seed: int, name: str) -> str:
    return f"seed-{seed}/{name}"


def _another_job(stored: dict[str, Any], ids: dict[str, str], where: str) -> str:
    was = f"set {str(stored.get('pair_set_id'))[:12]}, recipe {stored.get('recipe_id')}"
    now = f"set {ids['pair_set_id'][:12]}, recipe {ids['recipe_id']}"
    return f"{where} holds an unfinished job of {was}; this one is of {now}: name another folder, or delete that one"


def _fit_json(fit: Fit) -> dict[str, Any]:
    return dataclasses.asdict(fit)


def _parse_fit(stored: dict[str, Any]) -> Fit:
    return Fit(
        planned_steps=int(stored["planned_steps"]),
        steps=int(stored["steps"]),
        losses=_curve(stored["losses"]),
        validations=_curve(stored["validations"]),
        ended=str(stored["ended"]),
        work=Work(**stored["work"]),
    )


def _run_json(run: SeedRun) -> dict[str, Any]:
    return {
        "refit_steps": run.refit_steps,
        "refit_losses": run.refit_losses,
        "refit_ended": run.refit_ended,
        "refit_work": dataclasses.asdict(run.refit_work),
        "scores": run.scores.tolist(),
        "scoring_seconds": run.scoring_seconds,
    }


def _parse_run(seed: int, fit: Fit, stored: dict[str, Any]) -> SeedRun:
    return SeedRun(
        seed=seed,
        fit=fit,
        refit_steps=int(stored["refit_steps"]),
        refit_losses=_curve(stored["refit_losses"]),
        refit_ended=str(stored["refit_ended"]),
        refit_work=Work(**stored["refit_work"]),
        scores=np.array(stored["scores"], dtype=np.float64),
        scoring_seconds=float(stored["scoring_seconds"]),
    )


def _parse_embedded(stored: dict[str, Any]) -> Embedded:
    scores = None if stored["scores"] is None else np.array(stored["scores"], dtype=np.float64)
    return Embedded(scores, float(stored["seconds"]), str(stored["reason"]))


def _curve(stored: list[list[float]]) -> tuple[tuple[int, float], ...]:
    return tuple((int(step), float(value)) for step, value in stored)
