"""What must hold when all is over: in the rows, on GitHub, in folders, in Redis and among the processes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import inspect, select

from bot.receiver.dispatch import SCREEN_CHECK
from bot.store.tables import metadata
from tests.simulator.github import GitHub
from tests.simulator.webhooks import Delivery

Rows = Mapping[str, Sequence[Any]]  # of every table, by its name


async def read_all(connection: Any) -> Rows:
    """Of every table that there is, which are those that we know of."""
    names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    assert set(names) == {*metadata.tables, "alembic_version"}
    return {name: (await connection.execute(select(table))).all() for name, table in metadata.tables.items()}


def assert_check_runs(github: GitHub, rows: Rows) -> None:
    """All are completed and none is twice, and our rows are of what GitHub has."""
    runs = github.check_runs
    for run in runs.values():
        assert (run["name"], run["status"]) == (SCREEN_CHECK, "completed")
    ours = [(run.repository.repository_id, run["external_id"]) for run in runs.values()]
    assert len(set(ours)) == len(ours)
    for row in rows["check_runs"]:
        assert row.check_run_id, "a check run that GitHub may never have heard of"
        assert runs[row.check_run_id]["external_id"] == f"{row.name}/{row.row_id}"


def assert_deliveries(github: GitHub, rows: Rows) -> None:
    """What was accepted is remembered, once, unless its installation or repository is gone."""
    known = {row.guid: row.state for row in rows["deliveries"]}
    for delivery in github.deliveries:
        installation = github.installations.get(delivery.installation_id)
        repo = github.repositories.get(delivery.repository_id)
        gone = installation is None or (delivery.repository_id and (repo is None or not installation.has(repo)))
        if is_stored(delivery) and not gone:
            assert known.get(delivery.guid) in ("handled", "ignored"), delivery


def is_stored(delivery: Delivery) -> bool:
    """Whether the receiver said that it is on disk."""
    return delivery.was_taken and json.loads(delivery.response_text)["result"] in ("stored", "again", "done")


def traces_in_rows(rows: Rows, served: set[tuple[int, int]]) -> list[str]:
    found = []
    for table, of_it in rows.items():
        for row in of_it:
            ids = getattr(row, "installation_id", 0), getattr(row, "repository_id", 0)
            if ids not in served:
                found.append(f"a row of {ids} in {table}")
    return found


def traces_in_folders(root: Path, served: set[tuple[int, int]]) -> list[str]:
    """Folders and locks are named by ids; what is on its way out has another name."""
    known = {str(Path(*map(str, ids if ids[1] else ids[:1]))) for ids in served}
    found = [path.relative_to(root) for path in (*root.glob("*"), *root.glob("*/*"))]
    return [
        f"the folder {path}" for path in found if str(path) != ".removed" and str(path.with_suffix("")) not in known
    ]


def traces_in_redis(folder: Path, words: Sequence[str]) -> list[str]:
    """Its files hold everything that was ever written to it."""
    written = b"".join(path.read_bytes() for path in folder.rglob("*.aof*") if path.is_file())
    return [f"{word} in Redis" for word in words if word.encode() in written]


def is_alive(process: psutil.Process) -> bool:
    """A process that has ended and that nobody has asked about is not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
