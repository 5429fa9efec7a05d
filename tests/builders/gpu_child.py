"""The process that trains, with a job that learns nothing and waits where a test wants it to.

python -m tests.builders.gpu_child GATES

It does what a real one does with its order, its checkpoints and the store: four steps, a checkpoint after each. In the
folder GATES it notes what it reached (`RUN-begun`, `RUN-step-2`, `RUN-uploaded`), waits there while `hold-POINT` lies
there, and does at `do-POINT` what that file says.
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

from bot.gpu_worker.purposes import Halt, TrainingSession
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
    """A folder that a test and the process both look at."""

    folder: Path

    def reach(self, run: str, point: str) -> None:
        (self.folder / f"{run}-{point}").write_text(str(os.getpid()))
        deed = self.folder / f"do-{point}"
        if deed.exists():
            DEEDS[deed.read_text()]()
        while (self.folder / f"hold-{point}").exists():
            time.sleep(EVERY_S)

    # What a test does.

    def hold(self, point: str) -> None:
        (self.folder / f"hold-{point}").touch()

    def open(self, point: str) -> None:
        (self.folder / f"hold-{point}").unlink()

    def do(self, point: str, deed: str) -> None:
        (self.folder / f"do-{point}").write_text(deed)

    def reached(self, run_id: int, point: str) -> int:
        """The number of the process that did; 0 where none has."""
        mark = self.folder / f"{run_id}-{point}"
        return int(mark.read_text() or 0) if mark.exists() else 0


def pretend(session: TrainingSession, gates: Gates) -> None:
    """Nothing is learned; what is read, saved, resumed and delivered is real."""
    order = session.order
    store = open_store(order.checkpoints)
    begun_at = step = _resumed(order.checkpoints, order.known_checkpoints)
    gates.reach(order.name, "begun")
    while step < STEPS:
        gates.reach(order.name, f"step-{step}")
        if session.stop():
            raise Halt
        step += 1
        digest = store.write(f"step-{step}.json", json.dumps({"step": step, "run": order.name}).encode())
        session.say({"checkpoint": digest})
        session.say({"progress": dump_progress(Progress("training", 1, 1, step, STEPS, device="pretended"))})
    adapter = order.out / "adapter-seed-1" / "adapter.safetensors"
    adapter.parent.mkdir(parents=True)
    adapter.write_bytes(b"adapter of " + order.input_file.read_bytes()[:100])

    def say(values: Mapping[str, Any]) -> None:
        if "done" in values:
            gates.reach(order.name, "uploaded")
        session.say(values)

    result = {
        "outcome": "INCONCLUSIVE",
        "input": sha256(order.input_file.read_bytes()),
        "begun_at": begun_at,
        "flops": 6e12,
        "training_seconds": 2.0,
    }
    replace(session, say=say).deliver(result, "recipe", {"result.json": b"{}\n"})


def _resumed(checkpoints: str, known: tuple[str, ...]) -> int:
    """The newest step of a checkpoint that is known."""
    store = open_store(checkpoints)
    found = {name: store.read(name) for name in store.names()}
    return max((json.loads(content)["step"] for content in found.values() if sha256(content) in known), default=0)


if __name__ == "__main__":
    gates = Gates(Path(sys.argv[1]))
    main({purpose: lambda session: pretend(session, gates) for purpose in ("judge", "refit", "score")})
