"""What a GPU worker asks of the process that trains, and what that answers: JSON lines between the two.

worker -> child   the order; then {"beat": 1} again and again, {"stop": "why"} at most once
child -> worker   {"device": "NVIDIA H200"} where only that was asked for; else {"progress": {...}} and
                  {"checkpoint": "SHA-256"} while it trains, then one of
                  {"done": {...}}, {"failed": {"kind": "...", "sentence": "..."}}, {"stopped": 1}
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from bot.records import RunPurpose
from pipeline import typed_json
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.json_fields import Fields

FailureKind = Literal[
    "input",  # what it was asked for cannot be done, and the sentence says why
    "memory",
    "device",  # the GPU was lost
    "store",  # the artifacts cannot be read or written now
    "bug",
]
FAILURE_KINDS: tuple[FailureKind, ...] = get_args(FailureKind)


@dataclass(frozen=True, kw_only=True)
class TrainingTask:
    """One run, as the process that trains sees it: files and folders, and no repository, installation or person."""

    purpose: RunPurpose
    name: str  # of the run, in what is kept of it
    asked_at: str  # ISO 8601: the run's place among others
    input_file: Path  # pairs or a ranking set
    input_id: str
    out: Path  # a folder that is not there yet
    recipe: FinetuneRecipe
    device: str = ""  # what there is, where empty
    silent_s: float = 60.0  # without a word from the worker for so long it ends itself
    # URLs may hold what opens them.
    checkpoints: str = field(default="", repr=False)
    known_checkpoints: tuple[str, ...] = ()
    done: str = field(default="", repr=False)  # where adapters and result are put
    judged: Mapping[str, Any] | None = None  # of a refit: reports.refit_json.judged_json of the run that won
    refitted: Mapping[str, Any] | None = None  # of a score: the result of the refit
    adapters: str = field(default="", repr=False)  # of a score: where those of the refit are


@dataclass(frozen=True, slots=True)
class Delivered:
    """All is trained, scored and uploaded."""

    result: Mapping[str, Any]
    recipe_id: str
    files: Mapping[str, str]  # name in the store -> SHA-256


@dataclass(frozen=True, slots=True)
class Failure:
    """It says itself why it came to nothing."""

    kind: FailureKind
    sentence: str
    detail: str = ""  # for the log of whoever operates the worker


@dataclass(frozen=True, slots=True)
class Halted:
    """It was told to stop, and did; what it learned so far is in its checkpoints."""


@dataclass(frozen=True, slots=True)
class Died:
    """It ended without a word."""

    exit_code: int  # negative: the signal


Answer = Delivered | Failure | Halted | Died


def dump_order(order: TrainingTask) -> bytes:
    """One line."""
    values = dataclasses.asdict(order)
    return dump_line(values | {"input_file": str(order.input_file), "out": str(order.out)})


def load_order(values: dict[str, Any]) -> TrainingTask:
    """Our own words: raises KeyError, TypeError, ValueError or AssayError for others."""
    return TrainingTask(
        **values
        | {
            "input_file": Path(values["input_file"]),
            "out": Path(values["out"]),
            "recipe": typed_json.parse(FinetuneRecipe, values["recipe"]),
            "known_checkpoints": tuple(values["known_checkpoints"]),
        }
    )


def load_answer(said: Fields) -> Delivered | Failure | Halted | None:
    """None: it goes on. Raises MalformedError."""
    if "done" in said:
        done = said.inner("done")
        files = done.inner("files")
        named = {name: files.text(name) for name in files.keys}
        result = done.inner("result")
        return Delivered({key: result.value(key) for key in result.keys}, done.text("recipe_id"), named)
    if "failed" in said:
        failed = said.inner("failed")
        return Failure(failed.choice("kind", FAILURE_KINDS), failed.text("sentence"), failed.text("detail", empty=True))
    return Halted() if "stopped" in said else None


def dump_line(values: Mapping[str, Any]) -> bytes:
    """Raises ValueError for a number that is not finite."""
    return json.dumps(values, allow_nan=False).encode() + b"\n"
