"""Exit of a long job that did not finish: one line and one exit code for a signal or an error."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

import typer

from bot.cli.errors import FAILURE, INTERRUPTED, redacted
from pipeline.records import AssayError

TERMINATED = 143
GRACE_S = 20.0  # time for a checkpoint after the first signal


class Ended(Exception):
    """The job was stopped by a signal."""

    def __init__(self, line: str, code: int) -> None:
        super().__init__(line)
        self.code = code


def ended_by(name: str) -> Ended:
    """Return the exception to raise after the signal `name`."""
    line = f"stopped by {name}; progress is saved: run the same command again to resume"
    return Ended(line, INTERRUPTED if name == signal.SIGINT.name else TERMINATED)


@contextlib.contextmanager
def failures(as_json: bool) -> Iterator[None]:
    """Print errors of the job itself as one line; exit with 1, or with a signal's exit code."""
    try:
        yield
    except Ended as ended:
        line, code = str(ended), ended.code
    except AssayError as error:
        line, code = redacted(str(error)), FAILURE
    else:
        return
    print(f"assay: {line}", file=sys.stderr, flush=True)
    if as_json:
        print(json.dumps({"error": line}), flush=True)
    raise typer.Exit(code)


@contextlib.contextmanager
def signals() -> Iterator[Callable[[], str | None]]:
    """Yield a function that returns the name of the received signal, None if there was none.

    A second signal, or GRACE_S after the first, exits immediately; checkpoints are written atomically, so the last one
    stays valid.
    """
    received: list[str] = []
    timers: list[threading.Timer] = []

    def receive(number: int, frame: object) -> None:
        code = INTERRUPTED if number == signal.SIGINT else TERMINATED
        if received:
            os._exit(code)
        received.append(signal.Signals(number).name)
        timers.append(threading.Timer(GRACE_S, os._exit, (code,)))
        timers[0].daemon = True
        timers[0].start()

    before = {number: signal.signal(number, receive) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for timer in timers:
            timer.cancel()
