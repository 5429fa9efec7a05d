"""Removing an installation or a repository deletes its rows, clones and artifacts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.disk.artifacts import Artifacts
from bot.disk.clone_cache import CloneCache
from bot.github.errors import NotFound
from bot.handlers.installations import remove
from bot.handlers.installations.remove import forget_repository, remove_installation
from bot.jobs.context import JobContext, Parts
from bot.records import Job
from bot.store.installations import load_installation
from bot.store.jobs import reopen_job
from bot.store.repositories import load_repository
from bot.store.runs import RunRequest, open_run, runs_of
from bot.store.tables import jobs
from pipeline.finetuning.artifact_store import StoreError, open_store
from tests.bot.conftest import Shop, Story

Play = Callable[[Story], None]


class Place:
    """Clones and artifacts of the shop and of its neighbour, and a GitHub that knows neither."""

    def __init__(self, folder: Path) -> None:
        self.artifacts = Artifacts(folder / "artifacts")
        self.clones = CloneCache(
            folder / "clones", installation_quota_bytes=1 << 30, total_quota_bytes=1 << 30, free_bytes_kept=0
        )
        for ids in ((10, 100), (10, 101), (11, 100)):
            self.clones.prepare(*ids)
            self.artifacts.put_pairs(*ids, b"code", "1" * 64)

    async def installation(self, installation_id: int) -> None:
        raise NotFound("gone")

    async def installations(self) -> list[Any]:
        return []

    @property
    def left(self) -> list[tuple[int, int]]:
        return [(stored.installation_id, stored.repository_id) for stored in self.artifacts.contents() if stored.kind]

    async def does(self, shop: Shop, do: Any, kind: str) -> Job:
        known = {"github": self, "clones": self.clones, "artifacts": self.artifacts}
        await shop.ask_for(kind)
        job = await shop.claimed()
        await do(JobContext(job, cast(Parts, SimpleNamespace(**vars(shop.parts) | known))))
        return job


def test_removing_a_repository_deletes_its_runs_and_artifacts(play: Play, tmp_path: Path) -> None:
    async def story(shop: Shop) -> None:
        place = Place(tmp_path)
        request = RunRequest(purpose="judge", head_sha="a" * 40, base_model="m", recipe={}, label_recipe_id="l")
        await shop.write(open_run, 10, 100, request, shop.clock.now())
        await place.does(shop, forget_repository, "sync_repository")
        assert place.left == [(10, 101), (11, 100)]
        assert await shop.read(load_repository, 10, 100) is None
        assert await shop.read(runs_of, 10, 100) == []

    play(story)


def test_removing_a_repository_requests_recalibration(play: Play, tmp_path: Path) -> None:
    async def story(shop: Shop) -> None:
        await Place(tmp_path).does(shop, forget_repository, "sync_repository")
        assert await open_jobs(shop) == [("purge", 0, 0), ("recalibrate", 10, 0)]

    play(story)


def test_a_crash_after_the_rows_are_deleted_leaves_the_rest_to_another_worker(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*arguments: object) -> None:
        raise KeyboardInterrupt

    async def story(shop: Shop) -> None:
        place = Place(tmp_path)
        monkeypatch.setattr(remove, "_purge_soon", dies)
        with pytest.raises(KeyboardInterrupt):
            await place.does(shop, forget_repository, "sync_repository")
        monkeypatch.undo()
        assert await shop.read(load_repository, 10, 100) is None
        await shop.write(reopen_job, await shop.job(1), shop.clock.now(), "died")
        await place.does(shop, forget_repository, "sync_repository")
        assert await open_jobs(shop) == [("purge", 0, 0), ("recalibrate", 10, 0)]
        assert place.left == [(10, 101), (11, 100)]

    play(story)


async def open_jobs(shop: Shop) -> list[tuple[str, int, int]]:
    rows = await shop.read(lambda connection: connection.execute(jobs.select()))
    return sorted((row.kind, row.installation_id, row.repository_id) for row in rows if row.state == "open")


def test_removing_an_installation_deletes_its_repositories_artifacts(play: Play, tmp_path: Path) -> None:
    async def story(shop: Shop) -> None:
        place = Place(tmp_path)
        await place.does(shop, remove_installation, "remove_installation")
        assert place.left == [(11, 100)]
        assert not list((tmp_path / "artifacts").glob("installations/10"))
        assert await shop.read(load_installation, 10) is None

    play(story)


@pytest.mark.parametrize("do", [forget_repository, remove_installation])
def test_an_unavailable_store_prevents_no_removal(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, do: Any
) -> None:
    def away(*ids: int) -> None:
        raise StoreError("away")

    async def story(shop: Shop) -> None:
        place = Place(tmp_path)
        for name in ("remove_repository", "remove_installation"):
            monkeypatch.setattr(place.artifacts, name, away)
        await place.does(shop, do, "remove_installation")
        assert await shop.read(load_repository, 10, 100) is None
        assert len(open_store(tmp_path / "artifacts").names()) == 3

    play(story)
