"""`assay doctor` on the service: what fails, what waits for GitHub, and which accounts lose their data when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bot.cli.server.doctor_service import check_service
from bot.settings import load_settings
from bot.store.installations import note_refused, save_installation
from bot.store.jobs import claim_job, request_job, reschedule_job
from bot.store.repositories import note_error, save_repository
from tests.bot.cli.server.test_doctor_finetuning import write
from tests.bot.store.values import installation, repository

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def checked() -> dict[str, tuple[bool, str, str]]:
    return {check.name: (check.ok, check.found, check.to_do) for check in check_service(load_settings())}


async def served(connection: Any) -> None:
    await save_installation(connection, installation(), NOW)
    await save_repository(connection, repository(7, 1))


async def fails(connection: Any) -> None:
    await note_error(connection, 1, 7, "post: GitHub denied access")
    await request_job(connection, 1, 7, "post", NOW)
    job = await claim_job(connection, ["post"], NOW, NOW)
    assert job is not None
    await reschedule_job(connection, job, NOW, "GitHub cannot be reached", counts=False, failing_since=NOW)


async def refused(connection: Any) -> None:
    await save_installation(connection, replace(installation(), state="refused"), NOW)
    await note_refused(connection, 1, NOW)


def test_without_a_database_there_is_nothing_to_check() -> None:
    assert checked() == {}


def test_errors_and_waiting_jobs_are_counted_and_the_remedy_is_named() -> None:
    write(served)
    assert checked() == {"repositories": (True, "none has an error", "")}
    write(fails)
    ok, found, to_do = checked()["repositories"]
    assert (ok, found) == (False, "1 with an error, 1 job waiting for GitHub since 2026-03-02 09:00 UTC")
    assert "assay repos --retry" in to_do


def test_an_account_that_is_not_allowed_is_named_with_the_day_its_data_goes() -> None:
    write(served)
    write(refused)
    ok, found, to_do = checked()["accounts not allowed"]
    assert not ok
    assert found.endswith("data of 1 repository is deleted on 2026-03-09")
    assert "ASSAY_ALLOWED_ACCOUNTS" in to_do
