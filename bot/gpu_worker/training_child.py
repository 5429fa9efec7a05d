"""The worker's side of the training process: its environment, starting it, exchanging messages, killing it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

from bot.gpu_worker.training_task import Died, Reply, TrainingTask, dump_line, dump_task, load_reply
from pipeline.json_fields import Fields, MalformedError, parse_object
from pipeline.records import AssayError

COMMAND: Final = (sys.executable, "-I", "-X", "utf8", "-m", "bot.gpu_worker.training_process")
MAX_REPLY_BYTES: Final = 16 << 20
PROBE_TIMEOUT_S: Final = 120.0  # the first import of torch is slow
_REAP_TIMEOUT_S: Final = 30.0  # a process that hangs in a device driver may take a while to die

# Credentials of the App on GitHub: training does not need them, so it must not have them.
CREDENTIALS: Final = (
    "ASSAY_APP_ID",
    "ASSAY_PRIVATE_KEY",
    "ASSAY_PRIVATE_KEY_FILE",
    "ASSAY_WEBHOOK_SECRET",
    "ASSAY_WEBHOOK_SECRET_FILE",
    "ASSAY_PREVIOUS_WEBHOOK_SECRET",
    "ASSAY_CLIENT_ID",
    "ASSAY_CLIENT_SECRET",
)

_PASSED_ON: Final = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LC_[A-Z]+|TZ|TMPDIR|LD_LIBRARY_PATH|XDG_(CACHE|CONFIG)_HOME"
    r"|(OMP|MKL|OPENBLAS)_NUM_THREADS"
    r"|(CUDA|NVIDIA|NCCL|ROCR|HIP|PYTORCH|TORCH|TORCHINDUCTOR|TRITON)_[A-Z0-9_]+"  # the device
    r"|(AWS|GOOGLE|GCLOUD|GCSFS|AZURE|FSSPEC)_[A-Z0-9_]+"  # the store of the artifacts
    r"|HF_[A-Z0-9_]+"  # the hub of the models
    r"|(HTTPS?|NO|ALL)_PROXY|(https?|no|all)_proxy|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
)

OnEvent = Callable[[str, Any], None]  # "progress" or "checkpoint", and its value


class Child:
    """A training process, created by `start_child`."""

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, values: Mapping[str, Any]) -> None:
        """Send one message."""
        self._write(dump_line(values))

    def send_task(self, task: TrainingTask) -> None:
        """Send the task, which must be the first message."""
        self._write(dump_task(task))

    async def reply(self, on_event: OnEvent) -> Reply:
        """Pass on events until the final reply; return it, or how the process ended without one."""
        try:
            while (line := await self._reader.readline()).endswith(b"\n"):
                message = parse_object(line, "reply")
                reply = load_reply(message)
                if reply is not None:
                    return reply
                for name in ("progress", "checkpoint"):
                    if name in message:
                        on_event(name, message.value(name))
        except (ConnectionError, ValueError, MalformedError):  # ValueError: the line exceeds the stream's limit
            self._kill()
        return Died(await asyncio.to_thread(self._process.wait))

    async def receive(self) -> Fields | None:
        """Return the next message, None if the process ended first."""
        line = await self._reader.readline()
        return parse_object(line, "reply") if line.endswith(b"\n") else None

    async def close(self) -> None:
        """Kill the process immediately and wait for it for a limited time."""
        self._kill()
        self._writer.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, _REAP_TIMEOUT_S)

    def _write(self, line: bytes) -> None:
        """Write unless the process has ended, which the reader reports."""
        if not self._writer.is_closing():
            self._writer.write(line)

    def _kill(self) -> None:
        """Kill the process group; the process is not reaped yet, so its id is still its own."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def start_child(command: Sequence[str], environment: Mapping[str, str]) -> AsyncIterator[Child]:
    """Start a process that waits for its task. It dies with the calling thread."""
    ours, theirs = socket.socketpair()
    try:
        process = subprocess.Popen(
            command,
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            env=dict(environment),
            start_new_session=True,  # so that Ctrl-C in a terminal reaches only the worker
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    reader, writer = await asyncio.open_unix_connection(sock=ours, limit=MAX_REPLY_BYTES)
    child = Child(process, reader, writer)
    try:
        yield child
    finally:
        await child.close()


async def probe_device(command: Sequence[str], environment: Mapping[str, str], wanted: str) -> str:
    """Return the name of the device that training would use. Raises AssayError if there is none."""
    async with start_child(command, environment) as child:
        child.send({"probe": wanted})
        try:
            message = await asyncio.wait_for(child.receive(), PROBE_TIMEOUT_S)
        except (TimeoutError, ConnectionError, MalformedError):
            message = None
    if message is not None and "device" in message:
        return message.text("device")
    if message is not None and "failed" in message:
        raise AssayError(message.inner("failed").text("sentence"))
    raise AssayError("the training process does not start: run `assay finetune --dry-run` on this machine to see why")


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that computing, loading a model and reaching the artifacts need, and no others."""
    return {name: value for name, value in environment.items() if _PASSED_ON.fullmatch(name)}


def credentials_in(environment: Mapping[str, str]) -> list[str]:
    """Return the names of the App's credentials that are set; they do not belong on a GPU worker."""
    return [name for name in CREDENTIALS if environment.get(name)]
