"""The lanes that jobs queue in, and how many jobs of a kind one installation may run concurrently."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

from bot.records import JobKind

Lane = Literal["light", "screen"]

LANES: Final[tuple[Lane, ...]] = get_args(Lane)
SCREENINGS_PER_INSTALLATION: Final = 2
HEAVY: Final[tuple[JobKind, ...]] = ("screen", "prepare")  # these mine: minutes and a processor

CAPS: Final[Mapping[JobKind, int]] = MappingProxyType(
    {kind: SCREENINGS_PER_INSTALLATION if kind == "screen" else 1 for kind in get_args(JobKind)}
)
KINDS: Final[Mapping[Lane, tuple[JobKind, ...]]] = MappingProxyType(
    {
        "light": tuple(kind for kind in get_args(JobKind) if kind not in HEAVY),
        "screen": HEAVY,
    }
)


def lane_of(kind: JobKind) -> Lane:
    """Return the lane of a kind. Light jobs make a few requests and never wait behind mining."""
    return "screen" if kind in HEAVY else "light"
