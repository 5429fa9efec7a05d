"""Database queries behind the pages."""

from __future__ import annotations

from typing import Final

from bot.records import RepositoryMemory
from bot.store.database import Database
from bot.store.repositories import all_repositories, find_repository
from bot.store.screenings import newest_measured, newest_screening
from bot.web.views import CalibrationView, RepositoryRow, read_calibration, read_screening

ROWS_PER_PAGE: Final = 100


class PageSource:
    """Read-only queries. Every method raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(self, page: int) -> tuple[list[RepositoryRow], int]:
        """Return the repositories on a page (1-based) and their total number."""
        async with self._database.read() as connection:
            memories = await all_repositories(connection)
            rows = []
            for memory in memories[(page - 1) * ROWS_PER_PAGE : page * ROWS_PER_PAGE]:
                repository = memory.repository
                stored = await newest_screening(connection, repository.installation_id, repository.repository_id)
                rows.append(RepositoryRow(memory, read_screening(stored) if stored else None))
        return rows, len(memories)

    async def row(self, full_name: str) -> RepositoryRow | None:
        """Return the repository of this name, or None."""
        async with self._database.read() as connection:
            memory = await find_repository(connection, full_name)
            if memory is None:
                return None
            repository = memory.repository
            stored = await newest_screening(connection, repository.installation_id, repository.repository_id)
        return RepositoryRow(memory, read_screening(stored) if stored else None)

    async def calibration(self) -> CalibrationView | None:
        """Return the calibration used by the newest screening with a verdict; None before the first."""
        async with self._database.read() as connection:
            memories = [memory for memory in await all_repositories(connection) if memory.measured_at]
            for memory in sorted(memories, key=_measured_at, reverse=True)[:ROWS_PER_PAGE]:
                repository = memory.repository
                stored = await newest_measured(connection, repository.installation_id, repository.repository_id)
                view = read_calibration(read_screening(stored)) if stored else None
                if view is not None:
                    return view
        return None


def _measured_at(memory: RepositoryMemory) -> float:
    return memory.measured_at.timestamp() if memory.measured_at else 0.0
