"""The protocol between a GPU worker and its training process: JSON lines.

worker -> child   the task; then {"beat": 1} repeatedly, {"stop": "why"} at most once
child -> worker   {"device": "NVIDIA H200"} in reply to a probe; otherwise {"progress": {...}} and
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
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.json_fields import Fields, parse_record

FailureKind = Literal[
    "input",  # the task cannot be run; the sentence says why
    "memory",
    "device",  # the GPU was lost
    "store",  # the artifact store is unavailable
    "bug",
]
FAILURE_KINDS: tuple[FailureKind, ...] = get_args(FailureKind)


@dataclass(frozen=True, kw_only=True)
class TrainingTask:
    """One run as the training process sees it: files and folders, but no repository, installation or person."""

    purpose: RunPurpose
    name: str  # the run's id, in its results
    requested_at: str  # ISO 8601
    input_file: Path  # pairs or a ranking set
    input_id: str
    out: Path  # a folder that does not exist yet
    recipe: FinetuneRecipe
    device: str = ""  # empty: choose the best available
    worker_timeout_s: float = 60.0  # exit when the worker is silent for this long
    # URLs may hold credentials.
    checkpoints_url: str = field(default="", repr=False)
    known_checkpoints: tuple[str, ...] = ()
    results_url: str = field(default="", repr=False)  # for adapters and result
    judged: Mapping[str, Any] | None = None  # of a refit: reports.finetune_json.winning_run_json of the run that won
    refitted: Mapping[str, Any] | None = None  # of a score: the result of the refit
    adapters_url: str = field(default="", repr=False)  # of a score: the refit's adapters


@dataclass(frozen=True, slots=True)
class Delivered:
    """Training finished; the results are uploaded."""

    result: Mapping[str, Any]
    recipe_id: str
    files: Mapping[str, str]  # name in the store -> SHA-256


@dataclass(frozen=True, slots=True)
class Failure:
    """Training failed with a known reason."""

    kind: FailureKind
    sentence: str
    detail: str = ""  # for the operator's log


@dataclass(frozen=True, slots=True)
class Stopped:
    """Training stopped on request; its progress is in its checkpoints."""


@dataclass(frozen=True, slots=True)
class Died:
    """The process ended without a reply."""

    exit_code: int  # negative: the signal


Reply = Delivered | Failure | Stopped | Died


def dump_task(task: TrainingTask) -> bytes:
    """Return the task as one line of JSON."""
    values = dataclasses.asdict(task)
    return dump_line(values | {"input_file": str(task.input_file), "out": str(task.out)})


def load_task(values: dict[str, Any]) -> TrainingTask:
    """Load what `dump_task` returned. Raises KeyError, TypeError, ValueError or AssayError for anything else."""
    return TrainingTask(
        **values
        | {
            "input_file": Path(values["input_file"]),
            "out": Path(values["out"]),
            "recipe": parse_record(FinetuneRecipe, values["recipe"]),
            "known_checkpoints": tuple(values["known_checkpoints"]),
        }
    )


def load_reply(message: Fields) -> Delivered | Failure | Stopped | None:
    """Parse a final reply; return None for progress and checkpoints. Raises MalformedError."""
    if "done" in message:
        done = message.inner("done")
        files = done.inner("files")
        hashes = {name: files.text(name) for name in files.keys}
        result = done.inner("result")
        return Delivered({key: result.value(key) for key in result.keys}, done.text("recipe_id"), hashes)
    if "failed" in message:
        failed = message.inner("failed")
        return Failure(failed.choice("kind", FAILURE_KINDS), failed.text("sentence"), failed.text("detail", empty=True))
    return Stopped() if "stopped" in message else None


def dump_line(values: Mapping[str, Any]) -> bytes:
    """Return the message as one line of JSON. Raises ValueError for a number that is not finite."""
    return json.dumps(values, allow_nan=False).encode() + b"\n"
