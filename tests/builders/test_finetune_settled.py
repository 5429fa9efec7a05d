"""Whatever is left over is found: one story that ended well, and everything in it that may be wrong, one at a time."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bot.store.database import Database
from tests.builders.finetune_app import FinetuneApp, checks, finetune_app, our_comments
from tests.builders.finetune_gpu import LOSES
from tests.builders.finetune_settled import Places, left_over
from tests.simulator.repositories import Repository

pytestmark = pytest.mark.faults


@dataclass(frozen=True)
class Ended:
    """A story that is at rest, and the folders in which it lies."""

    story: FinetuneApp
    shop: Repository
    places: Places
    database_url: str

    def found_after(self, *commands: str) -> list[str]:
        """What is found after these commands, none of which is kept."""

        async def find(connection: Any) -> list[str]:
            for command in commands:
                await connection.execute(text(command))
            return await left_over(connection, self.story.github, self.places, self.story.clock.now())

        async def found() -> list[str]:
            database = await Database.open(self.database_url)
            answer: list[str] = []
            try:
                async with database.write() as connection:
                    answer = await find(connection)
                    raise _NotKept
            except _NotKept:
                return answer
            finally:
                await database.close()

        return asyncio.run(found())


class _NotKept(Exception):
    pass


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    with finetune_app(folder := tmp_path_factory.mktemp("story")) as story:
        (story.gates.folder / "strength").write_text(str(LOSES))
        story.install(shop := story.repository())
        story.gpu_worker()
        story.says(shop, "ann", "/finetune")
        story.ended(1)
        story.at_rest()
        shutil.copytree(folder / "app" / "artifacts", folder / "artifacts")
        places = Places(folder / "artifacts", folder / "scratch", folder / "gates")
        yield Ended(story, shop, places, story.app.database_url)


DAMAGES = {
    "UPDATE jobs SET state = 'running' WHERE kind = 'result'": "job result is running",
    "UPDATE jobs SET state = 'failed' WHERE kind = 'reply'": "job reply is failed",
    "UPDATE jobs SET state = 'open' WHERE kind = 'post'": "job post is open",
    "UPDATE runs SET lease_token = 'x'": "run 1 is held",
    "UPDATE runs SET settled = 0": "run 1 is ended, settled: False",
    "UPDATE runs SET state = 'queued'": "minutes of 2026-03 are reserved",
    "UPDATE runs SET ending = 'cancelled'": "does not say Cancelled",
    "UPDATE runs SET head_sha = 'f'": "run 1 has no check run at its commit",
    "UPDATE runs SET artifacts = ''": "is left in the store",
    "UPDATE runs SET artifacts = 'elsewhere'": "elsewhere is not in the store",
    "UPDATE check_runs SET check_run_id = 0 WHERE run_id = 0": "of assay/screen has no number",
    "DELETE FROM check_runs WHERE run_id = 1": "run 1 has no check run at its commit",
    "UPDATE replies SET posted_digest = 'x'": "is not what GitHub shows",
    "DELETE FROM ledger": "the ledger has prediction of the runs {}, and {1: 1} finished",
    "INSERT INTO ledger (installation_id, repository_id, run_id, at, entry) "
    "SELECT installation_id, repository_id, run_id, at, entry FROM ledger": "prediction of the runs {1: 2}",
    "UPDATE calibrations SET threshold = json_set(threshold, '$.value', 0.5)": "does not follow from its inputs",
}


def test_nothing_is_found_where_nothing_is_wrong(ended: Ended) -> None:
    assert ended.found_after() == []


def test_what_is_wrong_in_the_rows_is_found(ended: Ended) -> None:
    wrong = [
        command
        for command in DAMAGES
        if not any(DAMAGES[command] in sentence for sentence in ended.found_after(command))
    ]
    assert wrong == []


def test_what_is_wrong_on_github_is_found(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(checks(ended.shop)[0], "status", "in_progress")
    monkeypatch.setattr(our_comments(ended.shop)[0], "body", "**Queued.**")
    found = ended.found_after()
    assert any("assay/finetune is in_progress" in sentence for sentence in found)
    assert any("is not what GitHub shows" in sentence for sentence in found)


def test_what_is_kept_of_who_is_gone_is_found(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ended.story.github, "installations", {})
    assert "a row of runs of who is gone" in ended.found_after()


PATHS: dict[str, Callable[[Places], Path]] = {
    "is left in the store": lambda places: places.artifacts / "installations/1/repositories/1/runs/1/checkpoints/x",
    "is left in the scratch folder": lambda places: places.scratch / "run-1-x",
}


@pytest.mark.parametrize("sentence", PATHS)
def test_what_is_left_in_folders_is_found(ended: Ended, sentence: str) -> None:
    path = PATHS[sentence](ended.places)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    try:
        assert any(sentence in found for found in ended.found_after())
    finally:
        path.unlink()
