"""What a fine-tuning run reads, gathered from a clone: what is asked for and what is told of it, passed on as JSON.

The file itself stays where the child wrote it, beside the clone, under a name that it was told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

from pipeline.json_fields import Fields
from pipeline.records import AssayError

GatheringKind = Literal[
    "pairs",  # training pairs and holdout, to judge an adapter
    "ranking",  # the latest window and the functions of the head, for an adapter that won
]
_KINDS: Final[tuple[GatheringKind, ...]] = get_args(GatheringKind)

STEP_BYTES: Final = 32  # lengths of prompts are told in steps of so many
LONGEST_BYTES: Final = 1 << 17  # a longer prompt counts as one of this length: no model reads more of it
MOST_FILE_BYTES: Final = 2 << 30

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SHA1: Final = re.compile(r"[0-9a-f]{40}")

Lengths = Mapping[int, int]  # bytes of a prompt in UTF-8, rounded up -> how many there are


class NotInTheBranch(AssayError):
    """The commit that was pinned cannot be reached from the head of the default branch any more."""


@dataclass(frozen=True)
class Gathering:
    """What to gather, at which commit. `window_s`: of a ranking, the window to train on; 0: nothing is trained."""

    kind: GatheringKind
    head_sha: str  # pinned; the branch may have moved on
    window_s: int = 0

    def __post_init__(self) -> None:
        if not _SHA1.fullmatch(self.head_sha):
            raise ValueError("a commit is pinned by its 40 digits")

    @property
    def file_name(self) -> str:
        """Within the repository's folder."""
        return f"{self.kind}.parquet"


@dataclass(frozen=True)
class Gathered:
    """What was gathered, without a name or a text of the repository."""

    id: str  # SHA-256
    label_recipe_id: str
    config_hash: str
    train: Lengths
    positives: int  # of them
    scored: Lengths  # the holdout, or the functions of the head

    @property
    def trained_on(self) -> int:
        return sum(self.train.values())


def lengths_of(sizes_bytes: Iterable[int]) -> Lengths:
    """Sizes in a few thousand steps at most, none made smaller but those that no model reads whole."""
    return Counter(min(-(-size // STEP_BYTES) * STEP_BYTES, LONGEST_BYTES) for size in sizes_bytes)


def dump_gathering(gathering: Gathering | None) -> dict[str, Any] | None:
    return None if gathering is None else asdict(gathering)


def load_gathering(values: Mapping[str, Any] | None) -> Gathering | None:
    """Our own words: raises KeyError, TypeError or ValueError for others."""
    return None if values is None else Gathering(**values)


def dump_gathered(gathered: Gathered) -> dict[str, Any]:
    """JSON values."""
    return {
        "id": gathered.id,
        "label_recipe_id": gathered.label_recipe_id,
        "config_hash": gathered.config_hash,
        "train": [list(row) for row in sorted(gathered.train.items())],
        "positives": gathered.positives,
        "scored": [list(row) for row in sorted(gathered.scored.items())],
    }


def load_gathered(value: object) -> Gathered:
    """What a child said, which a repository may have taken over. Raises MalformedError."""
    fields = Fields(value, "gathered")
    if not _SHA256.fullmatch(found := fields.text("id")):
        fields.fail("id", "64 hexadecimal digits are wanted")
    return Gathered(
        id=found,
        label_recipe_id=fields.text("label_recipe_id"),
        config_hash=fields.text("config_hash", empty=True),
        train=_lengths(fields, "train"),
        positives=fields.whole("positives"),
        scored=_lengths(fields, "scored"),
    )


def _lengths(fields: Fields, key: str) -> Lengths:
    rows = fields.rows(key, ("size_bytes", "amount"))
    return {row.whole("size_bytes", 0, LONGEST_BYTES): row.whole("amount", 1, 1 << 31) for row in rows}
