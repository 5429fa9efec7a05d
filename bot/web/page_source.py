"""What the pages read from the database."""

from __future__ import annotations

from typing import Final

from bot.records import RepositoryMemory
from bot.store.database import Database
from bot.store.repositories import all_repositories, find_repository
from bot.store.screenings import newest_measured, newest_screening
from bot.web.views import CalibrationView, Line, read_calibration, read_screening

LINES_A_PAGE: Final = 100


class PageSource:
    """Reads only. Everything raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lines(self, page: int) -> tuple[list[Line], int]:
        """The repositories on a page (from 1), and how many there are on all."""
        async with self._database.read() as connection:
            memories = await all_repositories(connection)
            lines = []
            for memory in memories[(page - 1) * LINES_A_PAGE : page * LINES_A_PAGE]:
                of = memory.repository
                stored = await newest_screening(connection, of.installation_id, of.repository_id)
                lines.append(Line(memory, read_screening(stored) if stored else None))
        return lines, len(memories)

    async def line(self, full_name: str) -> Line | None:
        """None where no repository of this name is known."""
        async with self._database.read() as connection:
            memory = await find_repository(connection, full_name)
            if memory is None:
                return None
            of = memory.repository
            stored = await newest_screening(connection, of.installation_id, of.repository_id)
        return Line(memory, read_screening(stored) if stored else None)

    async def calibration(self) -> CalibrationView | None:
        """As the newest screening that was judged met it; None where nothing was judged yet."""
        async with self._database.read() as connection:
            memories = [memory for memory in await all_repositories(connection) if memory.measured_at]
            for memory in sorted(memories, key=_measured_at, reverse=True)[:LINES_A_PAGE]:
                of = memory.repository
                stored = await newest_measured(connection, of.installation_id, of.repository_id)
                view = read_calibration(read_screening(stored)) if stored else None
                if view is not None:
                    return view
        return None


def _measured_at(memory: RepositoryMemory) -> float:
    return memory.measured_at.timestamp() if memory.measured_at else 0.0
