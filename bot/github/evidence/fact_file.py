"""Facts on disk: one file a repository, a page appended as it comes, the whole put in its place at the end.

A page is appended in one write, and a torn one is dropped when the file is read: half a page is no page. Where the
file cannot be written the fetch goes on, and a restart has only what was written before to go on from.
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

from bot.github.evidence.codec import HEADER, pack, pack_whole, unpack
from bot.github.evidence.evidence_facts import EvidenceFacts, Standing
from pipeline.mining.issue_links import IssueFact

MOST_BYTES: Final = 64 << 20
MOST_FRAMES: Final = 16  # with more, the file is put together again


def evidence_path(data_dir: Path, host: str, full_name: str) -> Path:
    """Where the facts about a repository are kept by whoever has no better place for them."""
    place = hashlib.sha256(f"{host}/{full_name}".casefold().encode()).hexdigest()[:16]
    return data_dir / "evidence" / f"{place}.assay"


class FactFile:
    """A FactStoreProtocol for one repository. Of two that write at once one is dropped when the file is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames = 0
        self._chain = 0
        self._is_sound = True  # everything that was to be written was

    def load(self) -> EvidenceFacts | None:
        raw = b""
        with contextlib.suppress(OSError), os.fdopen(_open(self._path, os.O_RDONLY), "rb") as opened:
            raw = opened.read(MOST_BYTES)
        found = unpack(raw)
        self._frames, self._chain = found.frames, found.chain
        if found.facts is not None and found.end != len(raw):
            self._is_sound = False
            self.settle(found.facts)
        return found.facts

    def add(self, facts: Iterable[IssueFact], standing: Standing) -> None:
        frame, self._chain = pack(facts, standing, self._chain)
        try:
            if self._frames:
                self._append(frame)
            else:
                self._replace(HEADER + frame)
        except OSError:
            self._is_sound = False
        self._frames += 1

    def clear(self) -> None:
        self._frames, self._chain, self._is_sound = 0, 0, True
        with contextlib.suppress(OSError):
            self._path.unlink()

    def settle(self, facts: EvidenceFacts) -> None:
        if self._is_sound and self._frames <= MOST_FRAMES:
            return
        raw, chain = pack_whole(facts)
        with contextlib.suppress(OSError):
            self._replace(raw)
            self._frames, self._chain, self._is_sound = 1, chain, True

    def _append(self, frame: bytes) -> None:
        """In one write: two processes do not mix their bytes."""
        descriptor = _open(self._path, os.O_WRONLY | os.O_APPEND)
        try:
            if os.write(descriptor, frame) != len(frame):
                self._is_sound = False
        finally:
            os.close(descriptor)

    def _replace(self, raw: bytes) -> None:
        """All or nothing, for this user alone: the labels may be those of a private repository."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".evidence-", suffix=".part", dir=self._path.parent)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(raw)
                opened.flush()
                os.fsync(opened.fileno())
            os.replace(temporary, self._path)
        except BaseException:
            os.unlink(temporary)
            raise


def _open(path: Path, how: int) -> int:
    """The file itself and no link or pipe: a child works in this folder, and a repository may have taken it over.

    Raises OSError.
    """
    descriptor = os.open(path, how | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(f"{path.name} is no file")
