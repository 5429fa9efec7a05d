"""`assay doctor` on fine-tuning: off is no fault, and what is set has to work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.cli.app_settings import database_url
from bot.cli.server.doctor_finetuning import check_finetuning
from bot.records import GpuWorker
from bot.settings import load_settings
from bot.store.budgets import note_gpu_worker, set_budget
from bot.store.database import Database
from bot.store.installations import save_installation
from bot.store.migrate import migrate
from tests.bot.store.values import installation

MODELS = "acme/coder@" + "a" * 40 + ",acme/other=/models/other"


def checked() -> dict[str, tuple[bool, bool, str, str]]:
    found = list(check_finetuning(load_settings()))
    return {check.name: (check.ok, check.required, check.found, check.to_do) for check in found}


def write(act: Callable[[Any], Awaitable[None]]) -> None:
    async def go() -> None:
        url = database_url(load_settings())
        await asyncio.to_thread(migrate, url)
        database = await Database.open(url)
        async with database.write() as connection:
            await act(connection)
        await database.close()

    load_settings().data_dir.mkdir(parents=True, exist_ok=True)
    asyncio.run(go())


def test_without_base_models_it_is_off_and_nothing_is_required() -> None:
    [(name, (ok, required, found, to_do))] = checked().items()
    assert (name, ok, required) == ("fine-tuning", False, False)
    assert found == "off: no base model is allowed"
    assert "ASSAY_BASE_MODELS" in to_do


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ASSAY_BASE_MODELS", "acme/coder@main", "commit hash"),
        ("ASSAY_BASE_MODEL", "acme/unknown", "is not in ASSAY_BASE_MODELS"),
        ("ASSAY_FINETUNE", '{"epoch": 1}', "epoch"),
    ],
)
def test_an_invalid_setting_fails(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str) -> None:
    monkeypatch.setenv("ASSAY_BASE_MODELS", MODELS)
    monkeypatch.setenv(variable, value)
    ok, required, _, to_do = checked()["fine-tuning"]
    assert (ok, required) == (False, True)
    assert said in to_do


def test_an_unwritable_store_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASSAY_BASE_MODELS", MODELS)
    monkeypatch.setenv("ASSAY_ARTIFACTS_URL", str(tmp_path / "kept"))
    ok, _, found, _ = checked()["artifacts"]
    assert (ok, found) == (True, str(tmp_path / "kept"))
    assert [path for path in (tmp_path / "kept").rglob("*") if path.is_file()] == []
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ASSAY_ARTIFACTS_URL", str(tmp_path / "file" / "kept"))
    assert checked()["artifacts"][:2] == (False, True)


def test_workers_and_budgets_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_BASE_MODELS", MODELS)
    assert checked()["GPU workers"][:2] == (False, False)

    async def a_worker_long_ago(connection: Any) -> None:
        await note_gpu_worker(connection, GpuWorker("gpu-1", "H100", None, datetime.now(UTC) - timedelta(hours=1)))

    async def a_worker_now(connection: Any) -> None:
        await note_gpu_worker(connection, GpuWorker("gpu-1", "H100", None, datetime.now(UTC)))

    async def a_budget(connection: Any) -> None:
        await save_installation(connection, installation(), datetime.now(UTC))
        await set_budget(connection, 1, 100.0, 1, datetime.now(UTC))

    write(a_worker_long_ago)
    assert checked()["GPU workers"][3] == "start assay gpu-worker on a machine with a GPU"
    write(a_worker_now)
    assert checked()["GPU workers"][3] == "run assay budget set LOGIN --minutes M"
    write(a_budget)
    found = "1 active in the last 10 minutes, 1 installation with a budget"
    assert checked()["GPU workers"] == (True, True, found, "")
