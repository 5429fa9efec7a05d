"""Facts on disk: one file per repository, to which pages are appended and which is compacted at the end of a fetch.

A page is appended in one write, and a torn one is dropped on reading. If the file cannot be written, the fetch goes on
and a restart resumes from what was written before.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bot.github.evidence.codec import HEADER, decode_file, encode_file, encode_frame
from bot.github.evidence.evidence_facts import EvidenceFacts, FetchState
from pipeline.mining.issue_links import IssueFact

MAX_BYTES: Final = 64 << 20
MAX_FRAMES: Final = 16  # above this, the file is compacted


def evidence_path(data_dir: Path, host: str, full_name: str) -> Path:
    """Return the default path for the facts about a repository."""
    digest = hashlib.sha256(f"{host}/{full_name}".casefold().encode()).hexdigest()[:16]
    return data_dir / "evidence" / f"{digest}.assay"


class FactFile:
    """A FactStore for one repository. Of two concurrent writes, one is dropped on reading."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames = 0
        self._chain = 0
        self._is_intact = True  # no write has failed

    def load(self) -> EvidenceFacts | None:
        raw = b""
        with contextlib.suppress(OSError), os.fdopen(_open(self._path, os.O_RDONLY), "rb") as file:
            raw = file.read(MAX_BYTES)
        decoded = decode_file(raw)
        self._frames, self._chain = decoded.frames, decoded.chain
        if decoded.facts is not None and decoded.end != len(raw):
            self._is_intact = False
            self.compact(decoded.facts)
        return decoded.facts

    def add(self, facts: Iterable[IssueFact], state: FetchState) -> None:
        frame, self._chain = encode_frame(facts, state, self._chain)
        try:
            if self._frames:
                self._append(frame)
            else:
                self._replace(HEADER + frame)
        except OSError:
            self._is_intact = False
        self._frames += 1

    def clear(self) -> None:
        self._frames, self._chain, self._is_intact = 0, 0, True
        with contextlib.suppress(OSError):
            self._path.unlink()

    def compact(self, facts: EvidenceFacts) -> None:
        if self._is_intact and self._frames <= MAX_FRAMES:
            return
        raw, chain = encode_file(facts)
        with contextlib.suppress(OSError):
            self._replace(raw)
            self._frames, self._chain, self._is_intact = 1, chain, True

    def _append(self, frame: bytes) -> None:
        """Append in one write, so that concurrent processes do not interleave their bytes."""
        descriptor = _open(self._path, os.O_WRONLY | os.O_APPEND)
        try:
            if os.write(descriptor, frame) != len(frame):
                self._is_intact = False
        finally:
            os.close(descriptor)

    def _replace(self, raw: bytes) -> None:
        """Replace the file atomically, readable by its owner only: the labels may be from a private repository."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".evidence-", suffix=".part", dir=self._path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)
        except BaseException:
            os.unlink(temporary)
            raise


def _open(path: Path, flags: int) -> int:
    """Open a regular file, never a link or a pipe: a child process that a repository may control writes here.

    Raises OSError.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(f"{path.name} is not a regular file")
