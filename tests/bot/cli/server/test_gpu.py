"""`assay gpu` as an operator uses it."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bot.cli import errors
from bot.cli.main import _load
from bot.cli.server.gpu import describe, render
from bot.messages.reasons import NO_REASON_GIVEN
from bot.records import GpuState, GpuWorker
from bot.store.budgets import load_gpu_state, save_gpu_state
from bot.store.database import Database
from tests.builders.databases import create_database
from tests.builders.runs import AT, a_run

WORKER = GpuWorker("box-1", "NVIDIA H100", 3e14, AT - timedelta(seconds=12))


def assay(*args: str) -> int:
    """One command line of `assay gpu`."""
    command = _load("gpu", "bot.cli.server.gpu:app")
    return errors.handled(lambda: command.main([*args], standalone_mode=False), list(args))


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path))
    create_database(url := f"sqlite:///{tmp_path / 'assay.sqlite'}")
    return url


def state(url: str, change: GpuState | None = None) -> GpuState:
    async def look() -> GpuState:
        database = await Database.open(url)
        async with database.write() as connection:
            if change is not None:
                await save_gpu_state(connection, change)
            found = await load_gpu_state(connection)
        await database.close()
        return found

    return asyncio.run(look())


def test_a_pause_lasts_until_resumed_and_keeps_the_ceiling(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    state(url, GpuState("", 50.0))
    assert assay("pause", "--reason", "new drivers", "--json") == 0
    assert json.loads(capsys.readouterr().out)["paused_because"] == "new drivers"
    assert state(url) == GpuState("new drivers", 50.0)
    assert assay("status") == 0
    assert "Paused, no new run starts: new drivers" in capsys.readouterr().out
    assert assay("resume", "--json") == 0
    assert json.loads(capsys.readouterr().out)["paused"] is False
    assert state(url) == GpuState("", 50.0)
    assert assay("pause") == 0
    assert state(url).paused_because == NO_REASON_GIVEN


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201, "two\nlines", "\x1b[31m"])
def test_a_reason_must_be_one_line(url: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert assay("pause", "--reason", reason) == 2
    assert "--reason" in capsys.readouterr().err
    assert state(url) == GpuState()


def test_an_empty_server_has_nothing_to_show(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert assay("status") == 0
    assert capsys.readouterr().out == "0 GPU workers known; runs: 0 running, 0 queued, 0 waiting.\n"


def described() -> dict[str, Any]:
    runs = [
        a_run(run_id=3, state="waiting", audit=True),
        a_run(run_id=2, state="queued", estimated_minutes=40.0, queued_at=AT),
        a_run(run_id=1, state="running", worker="box-1", spent_minutes=7.25, estimated_minutes=30.0, started_at=AT),
        a_run(run_id=4, state="queued", repository_id=9, estimated_minutes=1.0),
    ]
    return describe("", [WORKER], runs, {2: "acme/\u202eshop"}, AT)


def test_workers_and_runs_are_described_by_their_state() -> None:
    found = described()
    assert [[row["run_id"] for row in found[state]] for state in ("running", "queued", "waiting")] == [[1], [2, 4], [3]]
    assert found["workers"][0]["seen_seconds_ago"] == 12
    (running,) = found["running"]
    assert (running["spent_minutes"], running["worker"], running["repository"]) == (7.25, "box-1", "acme/\u202eshop")
    assert json.dumps(found)


def test_the_text_shows_minutes_and_escapes_control_characters() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(render(described()))
    page = console.export_text()
    assert "box-1" in page
    assert "12 s ago" in page
    assert "7.2" in page
    assert "30.0" in page
    assert "judge (audit)" in page
    assert "\u202e" not in page
