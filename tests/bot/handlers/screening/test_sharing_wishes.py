"""Only a configuration that changes its mind about sharing requests recalibration."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.github.errors import NotFound
from bot.handlers.screening.repo_config import ORGANIZATION_REPOSITORY, read_configuration
from bot.jobs.context import JobContext, Parts
from bot.records import Repository
from bot.store.configs import load_configs
from bot.store.jobs import LostLease, cancel_jobs
from bot.store.repositories import save_repository
from bot.store.tables import jobs
from tests.bot.conftest import SHOP, Shop, Story

Play = Callable[[Story], None]

HOLDER = Repository(10, 101, f"acme/{ORGANIZATION_REPOSITORY}", "main", private=False, archived=False)


class Files:
    """The configuration files of the repository and of its organization: `write` is a commit that changes them."""

    def __init__(self) -> None:
        self._of: dict[str, bytes] = {}
        self._commits = 0

    def write(self, own: str = "", organization: str = "") -> str:
        self._of = {SHOP.full_name: own.encode(), HOLDER.full_name: organization.encode()}
        self._commits += 1
        return f"{self._commits:040x}"

    async def mint(self, installation_id: int, repository_id: int | None, permissions: object) -> str:
        return "token"

    def installation_client(self, installation_id: int, token: str) -> Files:
        return self

    async def head(self, full_name: str, branch: str) -> str:
        return f"{self._commits:040x}"

    async def file(self, full_name: str, path: str, ref: str) -> bytes | None:
        if full_name not in self._of:
            raise NotFound(full_name)
        return self._of[full_name] or None


def work_of(shop: Shop, files: Files, job: Any) -> JobContext:
    return JobContext(job, cast(Parts, SimpleNamespace(**vars(shop.parts) | {"github": files})))


async def recalibrations(shop: Shop) -> list[tuple[int, int]]:
    rows = await shop.read(lambda connection: connection.execute(jobs.select()))
    return [(row.installation_id, row.repository_id) for row in rows if row.kind == "recalibrate"]


SHARE, KEEP, QUIET = "share_outcomes: true\n", "share_outcomes: false\n", "quiet: true\n"
CASES = {  # the repository's file and the organization's, before and then
    "no file, and still none": (("", ""), ("", ""), False),
    "another key": (("", ""), (QUIET, QUIET), False),
    "the organization wants to share": (("", ""), ("", SHARE), True),
    "the organization does no more": (("", SHARE), ("", ""), True),
    "a repository keeps its own": (("", SHARE), (KEEP, SHARE), True),
    "the same wish beside another key": (("", SHARE), (QUIET, SHARE + QUIET), False),
}


@pytest.mark.parametrize(("before", "then", "looked_at"), CASES.values(), ids=CASES)
def test_only_a_change_about_sharing_requests_recalibration(
    play: Play, before: tuple[str, str], then: tuple[str, str], looked_at: bool
) -> None:
    async def story(shop: Shop) -> None:
        files = Files()
        await shop.write(save_repository, HOLDER)
        await shop.ask_for("post")
        context = work_of(shop, files, await shop.claimed(lease_s=3600))
        head_sha = files.write(*before)
        await read_configuration(context, cast(Any, files), SHOP, head_sha)
        seen = len(await recalibrations(shop))
        if seen:
            await shop.write(lambda connection: cancel_jobs(connection, 10, 0, reason="seen"))
        head_sha = files.write(*then)
        await read_configuration(context, cast(Any, files), SHOP, head_sha)
        assert (await recalibrations(shop))[seen:] == [(10, 0)] * looked_at

    play(story)


def test_a_worker_that_lost_its_lease_writes_and_requests_nothing(play: Play) -> None:
    async def story(shop: Shop) -> None:
        files = Files()
        await shop.write(save_repository, HOLDER)
        await shop.ask_for("post")
        job = await shop.claimed(lease_s=3600)
        await shop.write(lambda connection: cancel_jobs(connection, 10, 100, reason="gone"))
        head_sha = files.write("", "share_outcomes: true")
        with pytest.raises(LostLease):
            await read_configuration(work_of(shop, files, job), cast(Any, files), SHOP, head_sha)
        assert await recalibrations(shop) == []
        assert await shop.read(load_configs, 10, 100) == (None, None)

    play(story)
