import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cli.database import in_transaction
from bot.cli.main import run
from bot.cli.server.repos import NOT_YET, row_of
from bot.records import Installation, Repository, RepositoryMemory, StoredScreening
from bot.store.budgets import set_budget
from bot.store.database import Database
from bot.store.installations import note_installation_error, note_refused, save_installation
from bot.store.jobs import claim_job, ready_jobs, recent_jobs, request_job, reschedule_job
from bot.store.repositories import save_repository
from bot.store.runs import RunRequest, claim_run, finish_run, open_run, queue_run
from bot.store.screenings import save_screening
from tests.builders.databases import create_database

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SHA = "a" * 40
JUDGED = {
    "verdict": "RUN", "words": "worth trying (RUN)", "measurable": True, "near_boundary": False,
    "reasons": ["It reaches the threshold.", "More."], "threshold": {"value": 0.0193},
}  # fmt: skip
MEASURED = {"density": {"value": 0.25, "low": 0.2, "high": 0.3}}


def memory(full_name: str = "acme/shop", number: int = 1, last_error: str = "") -> RepositoryMemory:
    return RepositoryMemory(Repository(7, number, full_name, "main", True, False), last_error=last_error)


def screening(**other: Any) -> StoredScreening:
    values: dict[str, Any] = {"measurement": MEASURED, "judgement": JUDGED, "failure": ""} | other
    return StoredScreening(1, 7, 1, SHA, NOW, label_recipe_id="r", config_hash="", **values)


def test_a_row_has_verdict_density_reason_and_date() -> None:
    row = row_of(memory(), screening(), "active", 12.3456)
    wanted = ("repository", "verdict", "density", "threshold", "reason", "measured_at", "last_error", "gpu_minutes")
    assert [row[name] for name in wanted] == [
        "acme/shop", "RUN", 0.25, 0.0193, "It reaches the threshold.", "2026-03-02T09:00:00Z", "", 12.35,
    ]  # fmt: skip


def test_a_repository_that_was_never_screened_has_a_row_too() -> None:
    row = row_of(memory(), None, "active", 0.0)
    assert (row["verdict"], row["density"], row["reason"], row["measured_at"]) == (None, None, NOT_YET, None)


def test_a_failed_screening_shows_its_reason() -> None:
    failed = screening(measurement={}, judgement={}, failure="too large")
    row = row_of(memory(last_error="too large"), failed, "active", 0.0)
    assert (row["verdict"], row["reason"], row["last_error"]) == (None, "too large", "too large")


def test_a_repository_without_a_pair_has_no_density() -> None:
    assert row_of(memory(), screening(measurement={"density": None}), "active", 0.0)["density"] is None


async def spend(connection: AsyncConnection, repository_id: int, head_sha: str, minutes: float) -> None:
    """A run that a GPU worker did."""
    request = RunRequest(purpose="judge", head_sha=head_sha, base_model="m", recipe={}, label_recipe_id="r")
    asked, _ = await open_run(connection, 7, repository_id, request, NOW)
    await set_budget(connection, 7, 9_000.0, 3, NOW)
    await queue_run(connection, asked, pair_set_id="", minutes=minutes, month="2026-03", now=NOW)
    run = await claim_run(connection, "gpu-1", NOW, NOW, lease_s=60.0)
    assert run is not None
    await finish_run(connection, run, "crashed", "", NOW, spent_minutes=minutes)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A database with three repositories: RUN, failed, not screened."""
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path))
    url = f"sqlite:///{tmp_path / 'assay.sqlite'}"
    create_database(url)

    async def fill() -> None:
        database = await Database.open(url)
        async with database.write() as connection:
            await save_installation(connection, Installation(7, 70, "acme", "Organization", "suspended", {}), NOW)
            for number, name in enumerate(("acme/shop", "acme/\u202etill", "acme/zoo"), start=1):
                await save_repository(connection, memory(name, number).repository)
            await save_screening(connection, 7, 1, SHA, NOW, MEASURED, JUDGED, "", "r", "")
            await save_screening(connection, 7, 2, SHA, NOW, {}, {}, "too large", "r", "")
            for number, head_sha, minutes in ((1, SHA, 1_200.0), (1, "b" * 40, 34.5), (2, SHA, 0.25)):
                await spend(connection, number, head_sha, minutes)
        await database.close()

    asyncio.run(fill())


def listed(capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    assert run(["repos", "--json", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["known"] == 3
    return [row["repository"] for row in found["repositories"]]


def test_every_repository_is_listed(capsys: pytest.CaptureFixture[str], known: None) -> None:
    assert set(listed(capsys)) == {"acme/shop", "acme/\u202etill", "acme/zoo"}


def test_the_minutes_of_all_runs_of_a_repository_are_summed(capsys: pytest.CaptureFixture[str], known: None) -> None:
    assert run(["repos", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["repositories"]
    assert {row["repository"]: row["gpu_minutes"] for row in rows} == {
        "acme/shop": 1_234.5, "acme/\u202etill": 0.25, "acme/zoo": 0.0,
    }  # fmt: skip
    assert run(["repos"]) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    shown = {name: next(line for line in lines if name in line) for name in ("shop", "till", "zoo")}
    assert "1,234" in shown["shop"]
    assert "< 1" in shown["till"]
    assert "1,234" not in shown["zoo"]
    assert "<" not in shown["zoo"]


def test_the_list_can_be_narrowed(capsys: pytest.CaptureFixture[str], known: None) -> None:
    assert listed(capsys, "--verdict", "run") == ["acme/shop"]
    assert listed(capsys, "--verdict", "SKIP") == []
    assert listed(capsys, "--failed") == ["acme/\u202etill"]


def change(work: Callable[[AsyncConnection], Awaitable[Any]]) -> None:
    in_transaction(work)


async def fail_a_post(connection: AsyncConnection) -> None:
    """A posting of acme/zoo that fails because GitHub is away."""
    await request_job(connection, 7, 3, "post", NOW)
    job = await claim_job(connection, ["post"], NOW, NOW)
    assert job is not None
    later = datetime.now(UTC) + timedelta(minutes=20)
    await reschedule_job(connection, job, later, "GitHub cannot be reached", counts=False, failing_since=NOW)


def test_what_waits_for_github_counts_as_failed_and_is_resumed_by_one_command(
    capsys: pytest.CaptureFixture[str], known: None
) -> None:
    change(fail_a_post)
    assert set(listed(capsys, "--failed")) == {"acme/\u202etill", "acme/zoo"}
    assert run(["repos", "--failed"]) == 0
    shown = capsys.readouterr().out
    assert "post: GitHub cannot be reached" in shown
    assert "assay repos --retry" in shown

    assert run(["repos", "--retry", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["resumed"] == 2

    async def look(connection: AsyncConnection) -> None:
        assert len(await ready_jobs(connection, datetime.now(UTC), ["post", "screen"], 9)) == 2  # the other one failed
        (job,) = await recent_jobs(connection, 7, 2, "screen", NOW)
        assert job.arguments == {"force": True}

    change(look)


def test_an_installation_that_is_refused_or_fails_is_told(capsys: pytest.CaptureFixture[str], known: None) -> None:
    async def refuse(connection: AsyncConnection) -> None:
        await note_refused(connection, 7, NOW)
        await note_installation_error(connection, 7, "sync_installation: denied")

    change(refuse)
    assert run(["repos"]) == 0
    shown = capsys.readouterr().out
    assert "acme: not served since" in shown
    assert "acme: sync_installation: denied" in shown


def test_the_table_escapes_control_characters(capsys: pytest.CaptureFixture[str], known: None) -> None:
    assert run(["repos"]) == 0
    out = capsys.readouterr().out
    assert "acme/shop (suspended)" in out
    assert "worth trying (RUN)" in out
    assert "\\u202e" in out
    assert "\u202e" not in out
    assert "3 of 3 repositories: 1 RUN, 0 SKIP" in out


def test_an_unknown_verdict_is_refused(capsys: pytest.CaptureFixture[str], known: None) -> None:
    assert run(["repos", "--verdict", "maybe"]) == 2
    assert "RUN or SKIP" in capsys.readouterr().err


def test_without_a_database_the_error_says_what_to_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path))
    assert run(["repos"]) == 2
    assert "assay up" in capsys.readouterr().err
