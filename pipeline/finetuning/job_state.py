"""What a job remembers between its processes: which seeds are fitted, which are done, and for which pairs and recipe.

    job.json                 pair set (of a training once more: ranking set), recipe
    frozen.json              scores of the frozen embeddings
    seed-1/fit.json          how many steps were chosen, with the curves
    seed-1/adapter           what was trained, as safetensors
    seed-1/done.json         scores on the holdout, SHA-256 of the adapter; written last
    seed-1/fit/, refit/      checkpoints of what is being trained

All of it goes through one store, so that another machine can go on. Floats are written so that they come back the same.
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
    """How the untouched base model did: its scores, or why there are none."""

    scores: Floats | None
    seconds: float
    reason: str = ""


class JobState:
    """The state of one job in a store. Raises AssayError where the store holds another job, or a damaged one."""

    def __init__(self, store: Store, *, pair_set_id: str, recipe_id: str) -> None:
        self.store = store
        ids = {"pair_set_id": pair_set_id, "recipe_id": recipe_id}
        self._names = set(store.names())
        found = self._read(_JOB, dict)
        if found is None:
            self._write(_JOB, ids)
        elif found != ids:
            raise AssayError(_another_job(found, ids, store.where))

    def seconds_spent(self, seeds: Sequence[int]) -> float:
        """On the device, in what is finished."""
        fits, runs = [self.fit(seed) for seed in seeds], [self.run(seed) for seed in seeds]
        known = sum(fit.work.seconds for fit in fits if fit)
        return known + sum(run.seconds - run.fit.work.seconds for run in runs if run)

    def forget(self) -> None:
        """Delete what this class writes, the job's name first: from then on there is nothing to resume."""
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
        return self._read(_named(seed, "done.json"), lambda found: _parse_run(seed, fit, found))

    def keep_run(self, run: SeedRun, adapter: bytes) -> None:
        """Remember a completed seed; its checkpoints have had their day."""
        self.store.write(_named(run.seed, "adapter"), adapter)
        digest = hashlib.sha256(adapter).hexdigest()
        self._write(_named(run.seed, "done.json"), _run_json(run) | {"adapter_sha256": digest})
        for name in self.store.names():
            if name.startswith((fit_prefix(run.seed) + "/", refit_prefix(run.seed) + "/")):
                self.store.delete(name)

    def adapter(self, seed: int) -> bytes:
        """What was trained with a completed seed. Raises AssayError where it is not what was written."""
        name = _named(seed, "adapter")
        wanted = self._read(_named(seed, "done.json"), lambda found: str(found["adapter_sha256"]))
        content = self.store.read(name)
        if hashlib.sha256(content).hexdigest() != wanted:
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
    """The state in the folder `work`, or where they are given in `checkpoints` (a folder or fsspec URL).

    The job is named in `work` in any case, so that nothing else is begun there.
    """
    state = JobState(open_store(work), pair_set_id=pair_set_id, recipe_id=recipe_id)
    return JobState(open_store(checkpoints), pair_set_id=pair_set_id, recipe_id=recipe_id) if checkpoints else state


def fit_prefix(seed: int) -> str:
    return f"seed-{seed}/fit"


def refit_prefix(seed: int) -> str:
    return f"seed-{seed}/refit"


def _named(seed: int, name: str) -> str:
    return f"seed-{seed}/{name}"


def _another_job(found: dict[str, Any], wanted: dict[str, str], where: str) -> str:
    was = f"set {str(found.get('pair_set_id'))[:12]}, recipe {found.get('recipe_id')}"
    now = f"set {wanted['pair_set_id'][:12]}, recipe {wanted['recipe_id']}"
    return f"{where} holds an unfinished job of {was}; this one is of {now}: name another folder, or delete that one"


def _fit_json(fit: Fit) -> dict[str, Any]:
    return dataclasses.asdict(fit)


def _parse_fit(found: dict[str, Any]) -> Fit:
    return Fit(
        planned_steps=int(found["planned_steps"]),
        steps=int(found["steps"]),
        losses=_curve(found["losses"]),
        validations=_curve(found["validations"]),
        ended=str(found["ended"]),
        work=Work(**found["work"]),
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


def _parse_run(seed: int, fit: Fit, found: dict[str, Any]) -> SeedRun:
    return SeedRun(
        seed=seed,
        fit=fit,
        refit_steps=int(found["refit_steps"]),
        refit_losses=_curve(found["refit_losses"]),
        refit_ended=str(found["refit_ended"]),
        refit_work=Work(**found["refit_work"]),
        scores=np.array(found["scores"], dtype=np.float64),
        scoring_seconds=float(found["scoring_seconds"]),
    )


def _parse_embedded(found: dict[str, Any]) -> Embedded:
    scores = None if found["scores"] is None else np.array(found["scores"], dtype=np.float64)
    return Embedded(scores, float(found["seconds"]), str(found["reason"]))


def _curve(found: list[list[float]]) -> tuple[tuple[int, float], ...]:
    return tuple((int(step), float(value)) for step, value in found)
