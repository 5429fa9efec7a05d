"""Output of commands: the result on stdout; logs, warnings and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

PIPE_WIDTH = 120  # columns of a table when stdout is not a terminal

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


@dataclass(frozen=True, slots=True)
class Check:
    """One result of `assay doctor`. A failed check that is not `required` does not fail the command."""

    name: str
    ok: bool
    found: str
    to_do: str = ""  # empty if the check passed
    required: bool = True


class Progress(Protocol):
    """Called often, so it must be cheap; `total` is None if unknown."""

    def __call__(self, stage: str, done: int, total: int | None) -> None: ...


def print_result(result: dict[str, Any], as_json: bool, render: Callable[[dict[str, Any]], RenderableType]) -> None:
    """Print `result` on stdout: as one line of JSON, or rendered for a person.

    JSON is pure ASCII, so it survives any locale. Colours appear only on a terminal without NO_COLOR. In a pipe no line
    is wrapped, and text from repositories is never interpreted as markup.
    """
    if as_json:
        print(json.dumps(result, allow_nan=False))
        return
    in_pipe = not sys.stdout.isatty()
    console = Console(width=PIPE_WIDTH if in_pipe else None, highlight=False)
    console.print(render(result), markup=False, emoji=False, soft_wrap=in_pipe)


@contextmanager
def progress_display() -> Iterator[Progress]:
    """Yield a progress callback that draws a bar per stage on stderr; it does nothing if that is not a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield _ignore
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with RichProgress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def draw(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield draw


def _ignore(stage: str, done: int, total: int | None) -> None:
    """Draw nothing."""
