"""How a command answers: the result on stdout, everything else (logs, progress) on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

PIPE_WIDTH = 120  # columns of a table, where no terminal says how many there are


class Progress(Protocol):
    """Told what is going on, often, so it must be cheap; `total` is None where it is not known."""

    def __call__(self, stage: str, done: int, total: int | None) -> None: ...


def print_result(result: dict[str, Any], as_json: bool, render: Callable[[dict[str, Any]], RenderableType]) -> None:
    """Print `result` on stdout: one JSON object on one line, or what `render` makes of it for a person.

    JSON is pure ASCII, so that it survives any locale. Colours only on a terminal, and never with NO_COLOR; in a pipe
    no line is broken, and what a repository says is never taken for markup.
    """
    if as_json:
        print(json.dumps(result, allow_nan=False))
        return
    in_pipe = not sys.stdout.isatty()
    console = Console(width=PIPE_WIDTH if in_pipe else None, highlight=False)
    console.print(render(result), markup=False, emoji=False, soft_wrap=in_pipe)


@contextmanager
def progress_display() -> Iterator[Progress]:
    """What to report progress to: draws a bar a stage on stderr where that is a terminal, else nothing."""
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield _silent
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with RichProgress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def draw(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield draw


def _silent(stage: str, done: int, total: int | None) -> None:
    """Draws nothing."""
