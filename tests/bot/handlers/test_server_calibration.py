"""A change to the server's calibration set reaches every installation exactly once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.calibration.calibration_source import CalibrationSource
from bot.handlers.server_calibration import follow_server_calibration
from bot.store.installations import save_installation, set_installation_state
from bot.store.jobs import cancel_jobs
from bot.store.tables import jobs
from pipeline.calibration.calibration_set import CalibrationSet, replay
from pipeline.calibration.ledger_entries import Excluded, Included, Recorded
from pipeline.records import AssayError
from tests.bot.calibration.conftest import (
    database_url,
    dialect,
    every_statement_names_its_installation,
    migrated_file,
    postgres_databases,
    store,
)
from tests.bot.store.conftest import Store
from tests.bot.store.values import NOW, installation
from tests.builders.outcomes import outcome
from tests.builders.seeds import seed
from tests.simulator.clocks import SettableClock

__all__ = [
    "database_url",
    "dialect",
    "every_statement_names_its_installation",
    "migrated_file",
    "postgres_databases",
    "store",
]

AT = NOW.isoformat()
LOSS = Recorded(AT, (outcome("loss", "own", 0.055),))
INCONCLUSIVE = Recorded(AT, (outcome("INCONCLUSIVE", "unsure", 0.055),))
EXCLUDED = Excluded(AT, "own/own", "a mistake")
OF_ANOTHER = Excluded(AT, "acme/shop", "a mistake")  # a repository of an installation
INCLUDED = Included(AT, "own/own")


class Server:
    """Three installations, one of them suspended, and a file ledger whose lines a test changes."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.entries: tuple[Any, ...] = ()
        for number in (1, 2, 3):
            store(save_installation, installation(number), NOW)
        store(set_installation_state, 3, "suspended")

    def base(self) -> CalibrationSet:
        return replay(self.entries, seed())

    def told(self, *entries: Any) -> list[int]:
        """Whose thresholds are looked at again after these lines, by a worker that starts anew."""
        self.entries = entries
        source = CalibrationSource(self.base)
        parts = cast(Any, SimpleNamespace(database=self.store.database, clock=SettableClock(NOW), calibrations=source))

        async def follow() -> None:
            await asyncio.gather(follow_server_calibration(parts), follow_server_calibration(parts))

        self.store.run(follow())
        waiting = [row for row in self.store.rows(jobs) if row["state"] == "open"]
        assert {(row["kind"], row["repository_id"]) for row in waiting} <= {("recalibrate", 0)}
        for row in waiting:
            self.store(cancel_jobs, row["installation_id"], reason="seen")
        return sorted(row["installation_id"] for row in waiting)


def test_every_active_installation_follows_a_change_once(store: Store) -> None:
    server = Server(store)
    assert server.told() == [1, 2]  # nobody has ever looked: it may have been another release
    assert server.told() == []
    assert server.told(LOSS) == [1, 2]
    assert server.told(LOSS) == []
    assert server.told(LOSS, EXCLUDED) == [1, 2]
    assert server.told(LOSS, EXCLUDED, INCLUDED) == [1, 2]


def test_a_line_that_changes_no_threshold_requests_nothing(store: Store) -> None:
    server = Server(store)
    server.told()
    assert server.told(INCONCLUSIVE) == []


def test_an_exclusion_may_be_of_an_installations_own_outcome(store: Store) -> None:
    server = Server(store)
    server.told()
    assert server.told(OF_ANOTHER) == [1, 2]


def test_an_unreadable_ledger_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(store)
    server.told()

    def unreadable() -> CalibrationSet:
        raise AssayError("line 3 is no entry")

    monkeypatch.setattr(server, "base", unreadable)
    with pytest.raises(AssayError):
        server.told(LOSS)
    assert [row for row in store.rows(jobs) if row["state"] == "open"] == []
    monkeypatch.undo()
    assert server.told(LOSS) == [1, 2]
