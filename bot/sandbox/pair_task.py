"""The task of building a fine-tuning run's input file from a clone, and its result, as JSON between worker and child.

The child writes the file itself beside the clone, under `PairTask.file_name`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

from pipeline.json_fields import Fields
from pipeline.records import AssayError

PairTaskKind = Literal[
    "pairs",  # training pairs and holdout, to judge an adapter
    "ranking",  # the latest window and the functions of the head, for an adapter that won
]
_KINDS: Final[tuple[PairTaskKind, ...]] = get_args(PairTaskKind)

PROMPT_STEP_BYTES: Final = 32  # prompt lengths are rounded up to multiples of this
MAX_PROMPT_BYTES: Final = 1 << 17  # longer prompts count as this long: no model reads more
MAX_PAIR_FILE_BYTES: Final = 2 << 30

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SHA1: Final = re.compile(r"[0-9a-f]{40}")

Lengths = Mapping[int, int]  # bytes of a prompt in UTF-8, rounded up -> number of prompts


class CommitNotOnBranch(AssayError):
    """The pinned commit is no longer reachable from the head of the default branch."""


@dataclass(frozen=True)
class PairTask:
    """Which file to build, and from which commit."""

    kind: PairTaskKind
    head_sha: str  # pinned; the branch may have moved on
    window_s: int = 0  # of a ranking: the window to train on; 0: only score

    def __post_init__(self) -> None:
        if not _SHA1.fullmatch(self.head_sha):
            raise ValueError("a commit is pinned by its 40 digits")

    @property
    def file_name(self) -> str:
        """The file's name in the repository's folder."""
        return f"{self.kind}.parquet"


@dataclass(frozen=True)
class PairResult:
    """Describes the file that was built, without any name or text from the repository."""

    id: str  # SHA-256
    label_recipe_id: str
    config_hash: str
    train: Lengths
    positives: int  # among the training functions
    scored: Lengths  # the holdout, or the functions of the head

    @property
    def trained_on(self) -> int:
        """The number of training functions."""
        return sum(self.train.values())


def lengths_of(sizes_bytes: Iterable[int]) -> Lengths:
    """Count sizes, rounded up to PROMPT_STEP_BYTES and capped at MAX_PROMPT_BYTES."""
    return Counter(min(-(-size // PROMPT_STEP_BYTES) * PROMPT_STEP_BYTES, MAX_PROMPT_BYTES) for size in sizes_bytes)


def dump_pair_task(task: PairTask | None) -> dict[str, Any] | None:
    """Return the task as JSON values."""
    return None if task is None else asdict(task)


def load_pair_task(values: Mapping[str, Any] | None) -> PairTask | None:
    """Load what `dump_pair_task` returned. Raises KeyError, TypeError or ValueError for anything else."""
    return None if values is None else PairTask(**values)


def dump_pair_result(result: PairResult) -> dict[str, Any]:
    """Return the result as JSON values."""
    return {
        "id": result.id,
        "label_recipe_id": result.label_recipe_id,
        "config_hash": result.config_hash,
        "train": [list(row) for row in sorted(result.train.items())],
        "positives": result.positives,
        "scored": [list(row) for row in sorted(result.scored.items())],
    }


def load_pair_result(value: object) -> PairResult:
    """Parse a child's result; a repository may have taken the child over. Raises MalformedError."""
    fields = Fields(value, "pair result")
    if not _SHA256.fullmatch(identity := fields.text("id")):
        fields.fail("id", "must be 64 hexadecimal digits")
    return PairResult(
        id=identity,
        label_recipe_id=fields.text("label_recipe_id"),
        config_hash=fields.text("config_hash", empty=True),
        train=_lengths(fields, "train"),
        positives=fields.whole("positives"),
        scored=_lengths(fields, "scored"),
    )


def _lengths(fields: Fields, key: str) -> Lengths:
    rows = fields.rows(key, ("size_bytes", "amount"))
    return {row.whole("size_bytes", 0, MAX_PROMPT_BYTES): row.whole("amount", 1, 1 << 31) for row in rows}
