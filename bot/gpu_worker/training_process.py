"""The process that trains: `python -I -X utf8 -m bot.gpu_worker.training_process`, started by a GPU worker only.

Its standard input is a socket to the worker, and the order comes through it: nothing is in its arguments, and in its
environment neither database nor Redis nor any credential but those of the artifacts' store and the models' hub. It
ends when the worker ends, and where it has not heard of it for a while: a worker that stands still has lost its lease.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bot.gpu_worker.purposes import PURPOSES, Halt, Purpose, TrainingSession
from bot.gpu_worker.training_task import FailureKind, TrainingTask, dump_line, load_order
from bot.records import RunPurpose
from bot.sandbox.limits import die_with_parent
from pipeline.finetuning.artifact_store import StoreError
from pipeline.finetuning.libraries import quiet_libraries
from pipeline.records import AssayError
from pipeline.screening.measurement import plain

_SOCKET: Final = 0
_DESERTED: Final = 3  # exit status of a process that nobody speaks to any more
GPU_LOST: Final = "the GPU was lost"  # how pipeline.finetuning.training.device begins to say it
OUT_OF_MEMORY: Final = "out of memory"  # the same of memory


class Line:
    """The socket to the worker: lines in, heard in a thread of its own, and lines out."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._heard = b""
        self._reason: str | None = None

    def read(self) -> dict[str, Any]:
        """The next line. Ends this process where the worker is gone."""
        while b"\n" not in self._heard:
            data = self._connection.recv(65_536)
            if not data:
                os._exit(_DESERTED)
            self._heard += data
        line, self._heard = self._heard.split(b"\n", 1)
        said: dict[str, Any] = json.loads(line)
        return said

    def listen(self, silent_s: float) -> None:
        """From now on: remember what is said, and end this process after a silence."""
        threading.Thread(target=self._listen, args=(silent_s,), daemon=True).start()

    def say(self, values: Mapping[str, Any]) -> None:
        try:
            self._connection.sendall(dump_line(values))
        except ConnectionError:
            os._exit(_DESERTED)

    def stop(self) -> str | None:
        """Why to stop; nothing where nobody asked for it."""
        return self._reason

    def _listen(self, silent_s: float) -> None:
        while True:
            if b"\n" not in self._heard and not select.select([self._connection], [], [], silent_s)[0]:
                os._exit(_DESERTED)
            said = self.read()
            if "stop" in said:
                self._reason = str(said["stop"])


def main(purposes: Mapping[RunPurpose, Purpose] = PURPOSES) -> None:
    die_with_parent(os.getppid())
    for number in (signal.SIGINT, signal.SIGTERM):  # the worker is told as well, and knows what to do
        signal.signal(number, signal.SIG_IGN)
    line = Line(socket.socket(fileno=_SOCKET))
    said = line.read()
    with quiet_libraries():
        if "probe" in said:
            line.say(_probe(str(said["probe"])))
            return
        order = load_order(said)
        line.listen(order.silent_s)
        line.say(_attempt(order, purposes[order.purpose], line))


def _probe(wanted: str) -> dict[str, Any]:
    """What the device is called."""
    from pipeline.finetuning.training.devices import choose_device
    from pipeline.finetuning.training.loaded import device_name

    try:
        return {"device": device_name(choose_device(wanted or None))}
    except AssayError as error:
        return _failure("input", str(error))


def _attempt(order: TrainingTask, purpose: Purpose, line: Line) -> dict[str, Any]:
    """Carry out the order; what is said in the end where it was not delivered."""
    session = TrainingSession(
        order=order, say=line.say, stop=line.stop, clock=time.monotonic, delivered=threading.Event().wait
    )
    try:
        purpose(session)
    except Halt:
        return {"stopped": 1}
    except StoreError as error:
        return _failure("store", "the store of adapters and checkpoints could not be read or written", str(error))
    except AssayError as error:
        return _failure(_kind_of(str(error)), _without_places(str(error), order))
    except MemoryError:
        return _failure("memory", f"{OUT_OF_MEMORY}: lower micro_batch_tokens, or choose a smaller base model")
    except Exception as error:  # a bug: where it is, and not what it says, which may be code
        return _failure("bug", f"it stopped on an error of Assay's own ({_place(error)})")
    return _failure("bug", "it ended without a result")


def _kind_of(sentence: str) -> FailureKind:
    if sentence.startswith(GPU_LOST):
        return "device"
    return "memory" if sentence.startswith(OUT_OF_MEMORY) else "input"


def _without_places(sentence: str, order: TrainingTask) -> str:
    """Where things lie on this machine is nobody's business who reads a comment."""
    model = order.recipe.base_model
    if not model.revision:
        sentence = sentence.replace(model.name, model.family)
    return sentence.replace(str(order.out.parent), "its folder")


def _failure(kind: FailureKind, sentence: str, detail: str = "") -> dict[str, Any]:
    return {"failed": {"kind": kind, "sentence": plain(sentence), "detail": plain(detail)}}


def _place(error: BaseException) -> str:
    """The innermost line that is ours."""
    at, place = error.__traceback__, ""
    while at is not None:
        file = Path(at.tb_frame.f_code.co_filename)
        if {"bot", "pipeline"}.intersection(part.name for part in file.parents):
            place = f" in {file.name}, line {at.tb_lineno}"
        at = at.tb_next
    return type(error).__name__ + place


if __name__ == "__main__":
    main()
