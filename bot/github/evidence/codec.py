"""Encode evidence facts as bytes, and decode them without ever failing: a header line, then frames.

A frame holds one page of facts, or all of them, and the state of the fetch after it: length and checksum (4 bytes
each, big-endian), then zlib-compressed JSON. Each frame builds on the previous ones, so any run of intact frames from
the start is a valid state: whatever follows a damaged frame is dropped and fetched again. Checksums are chained, so a
frame that does not follow its predecessor (a lost or a concurrent write) counts as damaged, too.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from bot.github.evidence.evidence_facts import EvidenceFacts, FetchState, Permission
from bot.github.evidence.walks import WalkState
from pipeline.mining.issue_links import IssueFact

HEADER: Final = b"assay evidence 1\n"
MAX_FRAME_BYTES: Final = 64 << 20  # decompressed; 40,000 facts take 4 MB
_PREFIX = struct.Struct(">II")
_STATES: Final = ("open", "closed", "merged")

# number, is a pull request, state, labels, issue type, opened at, closed at, merge commit in hex, closes
_Row = tuple[int, bool, Literal[0, 1, 2], list[str], str | None, int, int | None, str | None, list[int]]


class _WalkState(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    since: int
    until: int | None
    cursor: str
    floor: int
    newest: int


class _Frame(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    repository_id: int
    issues: _WalkState
    pull_requests: _WalkState
    lacks: list[Permission]
    fetched_at: int
    rows: list[_Row]


_FRAME = TypeAdapter(_Frame)


@dataclass(frozen=True, slots=True)
class DecodedFile:
    """The contents of a file. The next frame's checksum continues `chain`; its offset is `end`."""

    facts: EvidenceFacts | None = None  # None if there is no readable frame
    frames: int = 0
    chain: int = 0
    end: int = 0


def encode_frame(facts: Iterable[IssueFact], state: FetchState, chain: int = 0) -> tuple[bytes, int]:
    """Encode one frame that continues `chain` (0 for the first), and return it with the chain for the next."""
    frame = _Frame(
        repository_id=state.repository_id,
        issues=_walk_state(state.issues),
        pull_requests=_walk_state(state.pull_requests),
        lacks=list(state.lacks),
        fetched_at=state.fetched_at,
        rows=[_row(fact) for fact in facts],
    )
    compressed = zlib.compress(_FRAME.dump_json(frame), 6)
    checksum = zlib.crc32(compressed, chain)
    return _PREFIX.pack(len(compressed), checksum) + compressed, checksum


def encode_file(facts: EvidenceFacts) -> tuple[bytes, int]:
    """Encode all facts, ordered by number, as a file of one frame; return it with the chain for the next frame."""
    frame, chain = encode_frame((facts.facts[number] for number in sorted(facts.facts)), facts.state)
    return HEADER + frame, chain


def decode_file(raw: bytes) -> DecodedFile:
    """Decode the intact frames from the start; a later fact about a number replaces an earlier one."""
    if not raw.startswith(HEADER):
        return DecodedFile()
    known: dict[int, IssueFact] = {}
    state, frames, chain, at = FetchState(), 0, 0, len(HEADER)
    while (compressed := _next_frame(raw, at, chain)) is not None and (frame := _decode_frame(compressed)) is not None:
        facts, state = frame
        known.update((fact.number, fact) for fact in facts)
        frames, chain, at = frames + 1, zlib.crc32(compressed, chain), at + _PREFIX.size + len(compressed)
    return DecodedFile(EvidenceFacts(known, state), frames, chain, at) if frames else DecodedFile()


def _next_frame(raw: bytes, at: int, chain: int) -> bytes | None:
    """Return the compressed JSON of the frame at `at`; None if there is no intact one."""
    if len(raw) < at + _PREFIX.size:
        return None
    size, checksum = _PREFIX.unpack_from(raw, at)
    compressed = raw[at + _PREFIX.size : at + _PREFIX.size + size]
    return compressed if len(compressed) == size and zlib.crc32(compressed, chain) == checksum else None


def _decode_frame(compressed: bytes) -> tuple[list[IssueFact], FetchState] | None:
    """Decode a frame; None if this release cannot read it."""
    try:
        frame = _FRAME.validate_json(zlib.decompressobj().decompress(compressed, MAX_FRAME_BYTES))
        facts = [_fact(row) for row in frame.rows]
    except (zlib.error, ValueError):  # pydantic's error is a ValueError
        return None
    state = FetchState(
        repository_id=frame.repository_id,
        issues=WalkState(**frame.issues.model_dump()),
        pull_requests=WalkState(**frame.pull_requests.model_dump()),
        lacks=tuple(frame.lacks),
        fetched_at=frame.fetched_at,
    )
    return facts, state


def _walk_state(walk: WalkState) -> _WalkState:
    return _WalkState(since=walk.since, until=walk.until, cursor=walk.cursor, floor=walk.floor, newest=walk.newest)


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
        raise ValueError("not a commit id")
    return IssueFact(
        number, is_pull_request, _STATES[state], tuple(labels), issue_type, opened_at, closed_at, merge_commit,
        tuple(closes),
    )  # fmt: skip
