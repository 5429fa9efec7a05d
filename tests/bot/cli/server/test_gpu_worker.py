"""`assay gpu-worker` before it has anything to train; tests/bot/gpu_worker/test_gpu_training.py is about the rest."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

import bot.cli.server.gpu_worker
from bot.cli.server.gpu_worker import Options, serve_gpu
from bot.settings import load_settings
from bot.store.database import Database, StoreUnavailable
from bot.store.migrate import migrate
from pipeline.records import AssayError

OPTIONS = Options("one", "cpu", once=True, as_json=False)
MODEL = "acme/coder@" + "a" * 40


def test_without_base_models_the_error_names_the_variable() -> None:
    with pytest.raises(AssayError, match="ASSAY_BASE_MODELS is not set"):
        asyncio.run(serve_gpu(load_settings(), OPTIONS))


def test_an_operators_database_without_tables_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_BASE_MODELS", MODEL)
    monkeypatch.setenv("ASSAY_DATABASE_URL", f"sqlite:///{tmp_path / 'empty.sqlite'}")
    with pytest.raises(AssayError, match="the database is empty: run `assay migrate`"):
        asyncio.run(serve_gpu(load_settings(), OPTIONS))


def test_it_waits_until_assay_up_has_created_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_device(*arguments: object) -> str:
        raise AssayError("as far as this test goes")

    monkeypatch.setenv("ASSAY_BASE_MODELS", MODEL)
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(bot.cli.server.gpu_worker, "probe_device", no_device)
    monkeypatch.setattr(bot.cli.server.gpu_worker, "POLL_EVERY_S", 0.01)

    async def story() -> None:
        waiting = asyncio.create_task(serve_gpu(load_settings(), OPTIONS))
        while not (tmp_path / "assay.sqlite").exists():
            await asyncio.sleep(0.01)
        assert not waiting.done()
        await asyncio.to_thread(migrate, f"sqlite:///{tmp_path / 'assay.sqlite'}")
        with pytest.raises(AssayError, match="as far as this test goes"):
            await asyncio.wait_for(waiting, 30)

    asyncio.run(story())


class Away:
    """A database that cannot be reached for the first few times, as `check_revision` or as `Database.open` finds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, times: int, *, at: str) -> None:
        self.asked = 0
        self._left = times
        url = f"sqlite:///{tmp_path / 'assay.sqlite'}"
        migrate(url)
        monkeypatch.setenv("ASSAY_BASE_MODELS", MODEL)
        monkeypatch.setenv("ASSAY_DATABASE_URL", url)
        monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path))
        monkeypatch.setattr(bot.cli.server.gpu_worker, "POLL_EVERY_S", 0.01)
        monkeypatch.setattr(bot.cli.server.gpu_worker, "probe_device", self.no_device)
        if at == "check":
            monkeypatch.setattr(bot.cli.server.gpu_worker, "check_revision", lambda url: self.ask())
        else:
            opened = Database.open

            async def open_it(url: str) -> Database:
                self.ask()
                return await opened(url)

            monkeypatch.setattr(Database, "open", open_it)

    def ask(self) -> None:
        self.asked += 1
        if self.asked <= self._left:
            raise StoreUnavailable("the database cannot be reached: is its server running?")

    async def no_device(self, *arguments: object) -> str:
        raise AssayError("as far as this test goes")


@pytest.mark.parametrize("at", ["check", "open"])
@pytest.mark.parametrize("once", [True, False])
def test_a_database_that_is_away_for_a_moment_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, once: bool
) -> None:
    away = Away(monkeypatch, tmp_path, 5, at=at)
    with pytest.raises(AssayError, match="as far as this test goes"):
        asyncio.run(serve_gpu(load_settings(), replace(OPTIONS, once=once)))
    assert away.asked == 6


def test_a_single_run_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = Away(monkeypatch, tmp_path, 1_000_000, at="check")
    monkeypatch.setattr(bot.cli.server.gpu_worker, "ONCE_WITHIN_S", 0.2)
    with pytest.raises(StoreUnavailable, match="is its server running"):
        asyncio.run(serve_gpu(load_settings(), OPTIONS))
    assert away.asked > 1


@pytest.mark.parametrize(("device", "suffix"), [("", ""), ("cuda", ""), ("cpu", ""), ("cuda:1", "/cuda:1")])
def test_workers_on_one_machine_have_different_names(monkeypatch: pytest.MonkeyPatch, device: str, suffix: str) -> None:
    monkeypatch.setattr("platform.node", lambda: "gpu7")
    assert bot.cli.server.gpu_worker._default_name(device) == f"gpu7{suffix}"
