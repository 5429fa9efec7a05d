"""A GPU worker for end-to-end tests, in a process of its own, whose child learns nothing.

python -m tests.builders.finetune_gpu worker DATABASE ARTIFACTS SCRATCH GATES CLOCK NAME REDIS
python -m tests.builders.finetune_gpu train GATES

Reading, saving, resuming, judging, ranking and delivering are real, and the outcome follows from the run's pairs: the
made-up scores correlate with the held-out labels as strongly as the file `strength` in GATES says (`strength-RUN` for
one run). If `result.json` exists, it is the result of every other run, which saves time where a test ignores it.
`hold-RUN-POINT` holds one run at a point where `hold-POINT` holds all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.clock import Clock, SystemClock
from bot.gpu_worker.purposes import TrainingSession
from bot.gpu_worker.training_process import main as train
from pipeline.finetuning.recipe import BaseModel
from tests.builders.gpu_bench import LEASE_S, lease_fields
from tests.builders.gpu_child import EVERY_S, Gates, pretend
from tests.simulator.clocks import SettableClock

MODEL, REVISION = "acme/coder", "a" * 40
MODELS = {MODEL: BaseModel(MODEL, REVISION)}
MINUTES = 60.0  # of training that a run may take
WINS, LOSES, CANNOT_TELL = 3.0, -3.0, 0.0  # strengths

Send = Callable[[Mapping[str, Any]], None]


class WrittenClock(SettableClock):
    """A clock that a test sets, shared with other processes through a file."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self._write()

    def set(self, at: datetime) -> None:
        super().set(at)
        self._write()

    def advance(self, by: Any) -> None:
        super().advance(by)
        self._write()

    def _write(self) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(self.now().isoformat())
        os.replace(new, self.file)


class ReadClock(SettableClock):
    """A WrittenClock as seen by another process."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> datetime:
        return datetime.fromisoformat(self._file.read_text())


class RunGates(Gates):
    """Gates that can also hold a single run."""

    def reach(self, run: str, point: str) -> None:
        super().reach(run, point)
        while (self.folder / f"hold-{run}-{point}").exists():
            time.sleep(EVERY_S)

    def strength(self, run: str) -> float:
        for name in (f"strength-{run}", "strength"):
            with contextlib.suppress(FileNotFoundError):
                return float((self.folder / name).read_text())
        return WINS

    def given(self, run: str) -> dict[str, Any] | None:
        file = self.folder / "result.json"
        if not file.exists() or (self.folder / f"strength-{run}").exists():
            return None
        found: dict[str, Any] = json.loads(file.read_text())
        return found


async def work(database_url: str, artifacts: str, scratch: str, gates: str, clock: str, name: str, redis: str) -> None:
    """Run a worker until it is stopped. `clock`: the file of a WrittenClock; empty: the system clock."""
    from bot.cli.server.gpu_worker import stopped_by_signals
    from bot.disk.artifacts import Artifacts
    from bot.gpu_worker.attempt import GpuParts
    from bot.gpu_worker.scratch import scratch_folder
    from bot.gpu_worker.training_child import child_environment
    from bot.gpu_worker.worker import GpuWorker
    from bot.store.database import Database

    time_of: Clock = ReadClock(Path(clock)) if clock else SystemClock()
    database = await Database.open(database_url)
    with scratch_folder(Path(scratch)) as own:
        parts = GpuParts(
            database=database,
            artifacts=Artifacts(artifacts),
            clock=time_of,
            base_models=MODELS,
            minutes=MINUTES,
            scratch=own,
            name=name,
            **lease_fields(LEASE_S),
            poll_every_s=0.3,
            environment=child_environment(os.environ),
            command=(sys.executable, "-X", "utf8", "-m", __spec__.name, "train", gates),
        )
        worker = GpuWorker(parts, "pretended")
        with stopped_by_signals(worker):
            await worker.run(redis)
    await database.close()


def judge(session: TrainingSession, gates: RunGates) -> None:
    """Like `bot.gpu_worker.purposes.judge` without training; or deliver the given result."""
    if (given := gates.given(session.task.name)) is not None:
        result = given | {"pair_set_id": session.task.input_id}
        pretend(replace(session, send=_delivering(session.send, result, result["recipe_id"])), gates)
    else:
        judge_pairs(session, gates)


def judge_pairs(session: TrainingSession, gates: RunGates) -> None:
    from pipeline.finetuning.pair_file import load_pairs
    from pipeline.finetuning.result_assembly import winning_run
    from pipeline.reports.finetune_json import finetune_json, winning_run_json

    task = session.task
    pairs = load_pairs(task.input_file)
    session.require_input(pairs.id)
    result = made_up_result(pairs, task.recipe, gates.strength(task.name))
    values = finetune_json(result)
    if result.judgement.outcome == "WIN":
        values["judged"] = winning_run_json(winning_run(result, run_id=task.name, judged_at=task.requested_at))
    pretend(replace(session, send=_delivering(session.send, values, result.recipe_id)), gates)


def made_up_result(pairs: Any, recipe: Any, strength: float) -> Any:
    """Return a FinetuneResult whose scores correlate with the labels as strongly as `strength` says."""
    import numpy as np

    from pipeline.finetuning.comparison import judge as judged
    from pipeline.finetuning.result import FinetuneResult
    from tests.builders import finetunings

    noise = np.random.default_rng(7).normal(size=(len(recipe.seeds), len(pairs.holdout)))
    runs = [
        finetunings.run(seed, strength * np.minimum(pairs.labels, 1.0) + row)
        for seed, row in zip(recipe.seeds, noise, strict=True)
    ]
    paths = [function.path for function in pairs.holdout]
    judgement = judged(pairs.scores, pairs.labels, paths, pairs.lines, seeds={run.seed: run.scores for run in runs})
    usual = finetunings.result(seeds=1)
    known = {name: getattr(pairs, name) for name in _OF_PAIRS}
    known |= {"recipe": recipe, "recipe_id": recipe.recipe_id(pairs.label_recipe_id), "pair_set_id": pairs.id}
    known |= {"trained_on": len(pairs.train), "training_positives": int((pairs.signals > 0).sum())}
    made: FinetuneResult = replace(usual, **known, judgement=judgement, runs=tuple(runs))
    return made


_OF_PAIRS = ("repo", "head_sha", "train_start", "eval_start", "as_of", "config_hash", "label_recipe_id")


def refit(session: TrainingSession, gates: RunGates) -> None:
    """Rank the head by made-up scores: the longest code first."""
    from pipeline.finetuning.ranking_file import decode_ranking_set
    from pipeline.finetuning.result import RefitRecord, SavedAdapter
    from pipeline.reports.finetune_json import load_winning_run, refit_json

    task = session.task
    ranking = decode_ranking_set(task.input_file.read_bytes())
    session.require_input(ranking.id)
    judged = load_winning_run(task.judged)
    record = RefitRecord(
        repo=ranking.repo,
        head_sha=ranking.head_sha,
        train_start=ranking.train_start,
        as_of=ranking.as_of,
        config_hash=ranking.config_hash,
        label_recipe_id=ranking.label_recipe_id,
        recipe=task.recipe,
        recipe_id=judged.recipe_id,
        ranking_set_id=ranking.id,
        judged=judged,
        trained_on=len(ranking.train),
        training_positives=int((ranking.signals > 0).sum()),
        ranked=len(ranking.head),
        adapters=(SavedAdapter(1, {"adapter.safetensors": "c" * 64}),),
        seconds=2.0,
        tokens=1_000,
        device="pretended",
        versions={},
    )
    values = refit_json(record) | {"shortlist": _shortlist(ranking, record)}
    pretend(replace(session, send=_delivering(session.send, values, record.recipe_id)), gates)


def score(session: TrainingSession, gates: RunGates) -> None:
    """Rank a newer head likewise, after checking that the refit's adapters are there."""
    from pipeline.finetuning.artifact_store import open_store
    from pipeline.finetuning.ranking_file import decode_ranking_set
    from pipeline.reports.finetune_json import load_refit

    task = session.task
    ranking = decode_ranking_set(task.input_file.read_bytes())
    session.require_input(ranking.id)
    record = load_refit(task.refitted)
    assert "adapter-seed-1/adapter.safetensors" in open_store(task.adapters_url).names()
    values = {"head_sha": ranking.head_sha, "ranked": len(ranking.head), "shortlist": _shortlist(ranking, record)}
    pretend(replace(session, send=_delivering(session.send, values, record.recipe_id)), gates)


def _shortlist(ranking: Any, record: Any) -> dict[str, Any]:
    import numpy as np

    from pipeline.finetuning.rank_by_adapter import rank_by, retrained_of
    from pipeline.ranking.shortlist import dump_shortlist

    scores = np.array([float(len(function.code)) for function in ranking.head])
    return dump_shortlist(rank_by(ranking, scores, record.judged.scorer, retrained_of(record)))


def _delivering(send: Send, result: Mapping[str, Any], recipe_id: str) -> Send:
    """Wrap `send` to deliver this result, round-tripped through JSON."""

    def deliver(values: Mapping[str, Any]) -> None:
        if "done" in values:
            done = {**values["done"], "result": json.loads(json.dumps(result)), "recipe_id": recipe_id}
            values = {**values, "done": done}
        send(values)

    return deliver


def main(command: str, *arguments: str) -> None:
    if command == "worker":
        asyncio.run(work(*arguments))
    else:
        gates = RunGates(Path(arguments[0]))
        purposes = {"judge": judge, "refit": refit, "score": score}
        train({purpose: _with_gates(gates, job) for purpose, job in purposes.items()})  # type: ignore[misc]


def _with_gates(gates: RunGates, job: Callable[[TrainingSession, RunGates], None]) -> Callable[[TrainingSession], None]:
    return lambda session: job(session, gates)


if __name__ == "__main__":
    main(*sys.argv[1:])
