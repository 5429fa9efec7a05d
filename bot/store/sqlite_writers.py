"""A fair lock for writers of a SQLite file, among the tasks of a process and among processes.

SQLite does not queue writers: they poll at intervals of up to a tenth of a second, and a busy process retakes the lock
long before. Here tasks queue in order, and processes poll every millisecond, at the cost of a system call.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from bot.store.errors import StoreUnavailable

_POLL_S: Final = 0.001


class WritersTurn:
    """Hold with `async with`. The lock is on a file beside the database, and is released when its process ends."""

    def __init__(self, database: Path, wait_s: float) -> None:
        self._path = database.with_name(f"{database.name}-turn")
        self._wait_s = wait_s
        self._tasks = asyncio.Lock()
        self._file: int | None = None

    async def __aenter__(self) -> None:
        """Acquire the lock. Raises StoreUnavailable if another process does not release it in time."""
        await self._tasks.acquire()
        try:
            await self._lock()
        except BaseException:
            self._tasks.release()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._tasks.release()

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    async def _lock(self) -> None:
        give_up_at_s = time.monotonic() + self._wait_s
        while not self._try():
            if time.monotonic() > give_up_at_s:
                raise StoreUnavailable("the database is busy: another process of Assay does not stop writing")
            await asyncio.sleep(_POLL_S)

    def _try(self) -> bool:
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise StoreUnavailable(f"{self._path} cannot be used: {error.strerror}") from None
        return True
