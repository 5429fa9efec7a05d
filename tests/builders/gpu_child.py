"""A training process that learns nothing and waits wherever a test holds it.

python -m tests.builders.gpu_child GATES

It handles its task, checkpoints and store like a real one: four steps, a checkpoint after each. In the folder GATES it
records what it reached (`RUN-begun`, `RUN-step-2`, `RUN-uploaded`), waits while `hold-POINT` exists, and performs the
fault named in `do-POINT`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bot.gpu_worker.purposes import StopRequested, TrainingSession
from bot.gpu_worker.training_process import main
from bot.run_progress import Progress, dump_progress
from pipeline.finetuning.artifact_store import StoreError, open_store, sha256
from pipeline.records import AssayError

STEPS = 4
EVERY_S = 0.01


def _raise(error: BaseException) -> None:
    raise error


DEEDS: Mapping[str, Callable[[], object]] = {
    "die": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "leave": lambda: os._exit(7),
    "refuse": lambda: _raise(AssayError("too few pairs: 3 functions to train on")),
    "lose the GPU": lambda: _raise(AssayError("the GPU was lost (CUDA error: xid 79): run the same command again")),
    "lose the store": lambda: _raise(StoreError("cannot write /somewhere/secret")),
    "fill the memory": lambda: _raise(MemoryError()),
    "stumble": lambda: _raise(TypeError("def private(): return 'code'")),
    "say nonsense": lambda: os.write(0, b"nonsense\n"),
}


@dataclass(frozen=True)
class Gates:
    """A folder through which a test controls the process."""

    folder: Path

    def reach(self, run: str, point: str) -> None:
        (self.folder / f"{run}-{point}").write_text(str(os.getpid()))
        deed = self.folder / f"do-{point}"
        if deed.exists():
            DEEDS[deed.read_text()]()
        while (self.folder / f"hold-{point}").exists():
            time.sleep(EVERY_S)

    # Called by tests.

    def hold(self, point: str) -> None:
        (self.folder / f"hold-{point}").touch()

    def open(self, point: str) -> None:
        (self.folder / f"hold-{point}").unlink()

    def do(self, point: str, deed: str) -> None:
        (self.folder / f"do-{point}").write_text(deed)

    def reached(self, run_id: int, point: str) -> int:
        """Return the pid of the process that reached the point, 0 if none has."""
        mark = self.folder / f"{run_id}-{point}"
        return int(mark.read_text() or 0) if mark.exists() else 0


def pretend(session: TrainingSession, gates: Gates) -> None:
    """Learn nothing; reading, saving, resuming and delivering are real."""
    task = session.task
    store = open_store(task.checkpoints_url)
    begun_at = step = _resumed(task.checkpoints_url, task.known_checkpoints)
    gates.reach(task.name, "begun")
    while step < STEPS:
        gates.reach(task.name, f"step-{step}")
        if session.stop():
            raise StopRequested
        step += 1
        digest = store.write(f"step-{step}.json", json.dumps({"step": step, "run": task.name}).encode())
        session.send({"checkpoint": digest})
        session.send({"progress": dump_progress(Progress("training", 1, 1, step, STEPS, device="pretended"))})
    adapter = task.out / "adapter-seed-1" / "adapter.safetensors"
    adapter.parent.mkdir(parents=True)
    adapter.write_bytes(b"adapter of " + task.input_file.read_bytes()[:100])

    def send(values: Mapping[str, Any]) -> None:
        if "done" in values:
            gates.reach(task.name, "uploaded")
        session.send(values)

    result = {
        "outcome": "INCONCLUSIVE",
        "input": sha256(task.input_file.read_bytes()),
        "begun_at": begun_at,
        "flops": 6e12,
        "training_seconds": 2.0,
    }
    replace(session, send=send).deliver(result, "recipe", {"result.json": b"{}\n"})


def _resumed(checkpoints: str, known: tuple[str, ...]) -> int:
    """Return the last step among the known checkpoints."""
    store = open_store(checkpoints)
    contents = map(store.read, store.names())
    return max((json.loads(content)["step"] for content in contents if sha256(content) in known), default=0)


if __name__ == "__main__":
    gates = Gates(Path(sys.argv[1]))
    main({purpose: lambda session: pretend(session, gates) for purpose in ("judge", "refit", "score")})
