"""How a long job ends that is not done: told to by a signal, or by something that is wrong. One line, one exit code."""

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
GRACE_S = 20.0  # after the first signal; then the last checkpoint must do


class Ended(Exception):
    def __init__(self, line: str, code: int) -> None:
        super().__init__(line)
        self.code = code


def ended_by(name: str) -> Ended:
    """What to raise after the signal of that name."""
    line = f"stopped by {name}; what was learned so far is kept: the same command goes on from there"
    return Ended(line, INTERRUPTED if name == signal.SIGINT.name else TERMINATED)


@contextlib.contextmanager
def failures(as_json: bool) -> Iterator[None]:
    """What is wrong beyond the options is a failure of the job: one line, exit code 1, or that of a signal."""
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
    """Asked, it names the signal that wants an end, if any came. The second one, or a while, ends at once.

    Whatever is done then, the last checkpoint is whole.
    """
    came: list[str] = []
    timers: list[threading.Timer] = []

    def note(number: int, frame: object) -> None:
        code = INTERRUPTED if number == signal.SIGINT else TERMINATED
        if came:
            os._exit(code)
        came.append(signal.Signals(number).name)
        timers.append(threading.Timer(GRACE_S, os._exit, (code,)))
        timers[0].daemon = True
        timers[0].start()

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: came[0] if came else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for timer in timers:
            timer.cancel()
