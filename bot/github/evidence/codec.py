"""Facts as bytes: a line that names the form, then frames. Pure; total in reading: whatever the bytes, an answer.

A frame is one page, or all facts at once, and how far they go: length and checksum (4 bytes each, big-endian) and
JSON packed by zlib. Every frame goes a step on from those before it, so any run of whole frames from the start is a
state that once was: what is behind a damaged one is dropped, and asked for again. A checksum goes on from the one
before it, so a frame that does not follow on those before it (one was not written, two wrote at once) is damaged too.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from bot.github.evidence.evidence_facts import EvidenceFacts, Permission, Standing
from bot.github.evidence.walks import Reach
from pipeline.mining.issue_links import IssueFact

HEADER: Final = b"assay evidence 1\n"
MOST_FRAME_BYTES: Final = 64 << 20  # unpacked; 40,000 facts are 4 MB
_PREFIX = struct.Struct(">II")
_STATES: Final = ("open", "closed", "merged")

# number, is a pull request, state, labels, issue type, opened at, closed at, merge commit in hex, closes
_Row = tuple[int, bool, Literal[0, 1, 2], list[str], str | None, int, int | None, str | None, list[int]]


class _Reach(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    since: int
    until: int | None
    cursor: str
    floor: int
    newest: int


class _Frame(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    repository_id: int
    issues: _Reach
    pull_requests: _Reach
    lacks: list[Permission]
    fetched_at: int
    rows: list[_Row]


_FRAME = TypeAdapter(_Frame)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What a file holds. `chain` is the checksum that the next frame goes on from; `end` is where that may stand."""

    facts: EvidenceFacts | None = None  # None: nothing was kept, or nothing that can be read
    frames: int = 0
    chain: int = 0
    end: int = 0


def pack(facts: Iterable[IssueFact], standing: Standing, chain: int = 0) -> tuple[bytes, int]:
    """One frame that goes on from `chain` (0: the first), and what the next one goes on from."""
    frame = _Frame(
        repository_id=standing.repository_id,
        issues=_told(standing.issues),
        pull_requests=_told(standing.pull_requests),
        lacks=list(standing.lacks),
        fetched_at=standing.fetched_at,
        rows=[_row(fact) for fact in facts],
    )
    packed = zlib.compress(_FRAME.dump_json(frame), 6)
    checksum = zlib.crc32(packed, chain)
    return _PREFIX.pack(len(packed), checksum) + packed, checksum


def pack_whole(facts: EvidenceFacts) -> tuple[bytes, int]:
    """A file of one frame, facts in the order of their numbers, and what the next frame goes on from."""
    frame, chain = pack((facts.facts[number] for number in sorted(facts.facts)), facts.standing)
    return HEADER + frame, chain


def unpack(raw: bytes) -> Unpacked:
    """What the whole frames from the start say together; a later fact about a number replaces an earlier one."""
    if not raw.startswith(HEADER):
        return Unpacked()
    known: dict[int, IssueFact] = {}
    standing, frames, chain, at = Standing(), 0, 0, len(HEADER)
    while (packed := _next_frame(raw, at, chain)) is not None and (step := _read_frame(packed)) is not None:
        facts, standing = step
        known.update((fact.number, fact) for fact in facts)
        frames, chain, at = frames + 1, zlib.crc32(packed, chain), at + _PREFIX.size + len(packed)
    return Unpacked(EvidenceFacts(known, standing), frames, chain, at) if frames else Unpacked()


def _next_frame(raw: bytes, at: int, chain: int) -> bytes | None:
    """The JSON of the frame at `at`, packed; None where there is no whole one."""
    if len(raw) < at + _PREFIX.size:
        return None
    size, checksum = _PREFIX.unpack_from(raw, at)
    packed = raw[at + _PREFIX.size : at + _PREFIX.size + size]
    return packed if len(packed) == size and zlib.crc32(packed, chain) == checksum else None


def _read_frame(packed: bytes) -> tuple[list[IssueFact], Standing] | None:
    """None for what another release wrote, or nobody."""
    try:
        frame = _FRAME.validate_json(zlib.decompressobj().decompress(packed, MOST_FRAME_BYTES))
        facts = [_fact(row) for row in frame.rows]
    except (zlib.error, ValueError):  # pydantic's error is a ValueError
        return None
    standing = Standing(
        repository_id=frame.repository_id,
        issues=Reach(**frame.issues.model_dump()),
        pull_requests=Reach(**frame.pull_requests.model_dump()),
        lacks=tuple(frame.lacks),
        fetched_at=frame.fetched_at,
    )
    return facts, standing


def _told(reach: Reach) -> _Reach:
    return _Reach(since=reach.since, until=reach.until, cursor=reach.cursor, floor=reach.floor, newest=reach.newest)


def _row(fact: IssueFact) -> Any:
    return (
        fact.number,
        fact.is_pull_request,
        _STATES.index(fact.state),
        list(fact.labels),
        fact.issue_type,
        fact.opened_at,
        fact.closed_at,
        fact.merge_commit.hex() if fact.merge_commit else None,
        list(fact.closes),
    )


def _fact(row: _Row) -> IssueFact:
    number, is_pull_request, state, labels, issue_type, opened_at, closed_at, commit, closes = row
    merge_commit = bytes.fromhex(commit) if commit else None
    if merge_commit is not None and len(merge_commit) != 20:
        raise ValueError("no commit")
    return IssueFact(
        number, is_pull_request, _STATES[state], tuple(labels), issue_type, opened_at, closed_at, merge_commit,
        tuple(closes),
    )  # fmt: skip
