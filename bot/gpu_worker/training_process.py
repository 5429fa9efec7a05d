"""The training process: `python -I -X utf8 -m bot.gpu_worker.training_process`, started by a GPU worker.

Its standard input is a socket to the worker, which sends the task. It gets no arguments, and its environment
names no database, no Redis and no credentials except those of the artifact store and the model hub. It exits with the
worker, or when the worker has been silent for a while: a worker that hangs has lost its lease.
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

from bot.gpu_worker.purposes import PURPOSES, Purpose, StopRequested, TrainingSession
from bot.gpu_worker.training_task import FailureKind, TrainingTask, dump_line, load_task
from bot.messages.reasons import ARTIFACT_STORE_FAILED, NO_RESULT, OUT_OF_MEMORY, own_bug
from bot.records import RunPurpose
from bot.sandbox.limits import die_with_parent
from pipeline.finetuning.artifact_store import StoreError
from pipeline.finetuning.libraries import quiet_libraries
from pipeline.records import AssayError
from pipeline.screening.measurement import plain

_SOCKET: Final = 0
_EXIT_WORKER_GONE: Final = 3  # exit status
# How errors of pipeline.finetuning.training.device begin.
_LOST_PREFIX: Final = "the GPU was lost"
_MEMORY_PREFIX: Final = "out of memory"


class WorkerConnection:
    """The socket to the worker. Incoming lines are read in a thread after `start_listening`."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""
        self._stop_reason: str | None = None

    def receive(self) -> dict[str, Any]:
        """Return the next message. Exits the process if the worker is gone."""
        while b"\n" not in self._buffer:
            data = self._connection.recv(65_536)
            if not data:
                os._exit(_EXIT_WORKER_GONE)
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        return message

    def start_listening(self, worker_timeout_s: float) -> None:
        """Watch for a stop message, and exit the process when the worker is silent for `worker_timeout_s`."""
        threading.Thread(target=self._listen, args=(worker_timeout_s,), daemon=True).start()

    def send(self, values: Mapping[str, Any]) -> None:
        """Send a message. Exits the process if the worker is gone."""
        try:
            self._connection.sendall(dump_line(values))
        except ConnectionError:
            os._exit(_EXIT_WORKER_GONE)

    def stop(self) -> str | None:
        """Return the worker's reason to stop, None if it sent none."""
        return self._stop_reason

    def _listen(self, worker_timeout_s: float) -> None:
        while True:
            if b"\n" not in self._buffer and not select.select([self._connection], [], [], worker_timeout_s)[0]:
                os._exit(_EXIT_WORKER_GONE)
            message = self.receive()
            if "stop" in message:
                self._stop_reason = str(message["stop"])


def main(purposes: Mapping[RunPurpose, Purpose] = PURPOSES) -> None:
    """Run the task that the worker sends, or probe the device."""
    die_with_parent(os.getppid())
    for number in (signal.SIGINT, signal.SIGTERM):  # the worker gets them too, and tells this process to stop
        signal.signal(number, signal.SIG_IGN)
    worker = WorkerConnection(socket.socket(fileno=_SOCKET))
    message = worker.receive()
    with quiet_libraries():
        if "probe" in message:
            worker.send(_probe(str(message["probe"])))
            return
        task = load_task(message)
        worker.start_listening(task.worker_timeout_s)
        worker.send(_run(task, purposes[task.purpose], worker))


def _probe(wanted: str) -> dict[str, Any]:
    """Return the reply with the device's name, or with why there is none."""
    from pipeline.finetuning.training.device import choose_device, device_name

    try:
        return {"device": device_name(choose_device(wanted or None))}
    except AssayError as error:
        return _failure("input", str(error))


def _run(task: TrainingTask, purpose: Purpose, worker: WorkerConnection) -> dict[str, Any]:
    """Run the task. Returns only if it delivered no result: with the reply that says why."""
    session = TrainingSession(
        task=task, send=worker.send, stop=worker.stop, clock=time.monotonic, wait_for_exit=threading.Event().wait
    )
    try:
        purpose(session)
    except StopRequested:
        return {"stopped": 1}
    except StoreError as error:
        return _failure("store", ARTIFACT_STORE_FAILED, str(error))
    except AssayError as error:
        return _failure(_kind_of(str(error)), _without_paths(str(error), task))
    except MemoryError:
        return _failure("memory", OUT_OF_MEMORY)
    except Exception as error:  # a bug: report its location only, since its text may hold code
        return _failure("bug", own_bug(_place(error)))
    return _failure("bug", NO_RESULT)


def _kind_of(sentence: str) -> FailureKind:
    if sentence.startswith(_LOST_PREFIX):
        return "device"
    return "memory" if sentence.startswith(_MEMORY_PREFIX) else "input"


def _without_paths(sentence: str, task: TrainingTask) -> str:
    """Replace paths of this machine: the sentence may be posted as a comment."""
    model = task.recipe.base_model
    if not model.revision:
        sentence = sentence.replace(model.name, model.family)
    return sentence.replace(str(task.out.parent), "its folder")


def _failure(kind: FailureKind, sentence: str, detail: str = "") -> dict[str, Any]:
    return {"failed": {"kind": kind, "sentence": plain(sentence), "detail": plain(detail)}}


def _place(error: BaseException) -> str:
    """Return the type of the error and the innermost line of our own code."""
    at, place = error.__traceback__, ""
    while at is not None:
        file = Path(at.tb_frame.f_code.co_filename)
        if {"bot", "pipeline"}.intersection(part.name for part in file.parents):
            place = f" in {file.name}, line {at.tb_lineno}"
        at = at.tb_next
    return type(error).__name__ + place


if __name__ == "__main__":
    main()
