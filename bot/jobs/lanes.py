"""Which work waits in which lane, and how much of it one installation may have at once."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

from bot.records import JobKind

Lane = Literal["light", "screen"]

LANES: Final[tuple[Lane, ...]] = get_args(Lane)
SCREENINGS_OF_ONE_INSTALLATION: Final = 2
HEAVY: Final[tuple[JobKind, ...]] = ("screen", "prepare")

CAPS: Final[Mapping[JobKind, int]] = MappingProxyType(
    {kind: SCREENINGS_OF_ONE_INSTALLATION if kind == "screen" else 1 for kind in get_args(JobKind)}
)
KINDS: Final[Mapping[Lane, tuple[JobKind, ...]]] = MappingProxyType(
    {
        "light": tuple(kind for kind in get_args(JobKind) if kind not in HEAVY),
        "screen": HEAVY,
    }
)


def lane_of(kind: JobKind) -> Lane:
    """What mines takes minutes and a processor; whatever else there is takes some requests, and never waits for it."""
    return "screen" if kind in HEAVY else "light"
