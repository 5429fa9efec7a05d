"""A server goes on with the label recipe that it measured with."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from bot.cli.server.calibration_cache import CachedCalibrationSet, keep_label_recipe
from bot.settings import Settings
from bot.store.database import Database
from bot.store.installations import save_installation
from bot.store.repositories import save_repository
from bot.store.screenings import save_screening
from pipeline.label_recipe import MESSAGES, MESSAGES_1, LabelRecipe
from tests.bot.store.values import NOW, installation, repository
from tests.builders.databases import create_database


def started_after_measuring(folder: Path, *recipes: LabelRecipe) -> tuple[str, bool]:
    """Start a worker on a server that measured under these recipes; return what decides, and whether it is pinned."""
    url, settings = create_database(f"sqlite:///{folder / 'assay.sqlite'}"), Settings(data_dir=folder)

    async def start() -> None:
        database = await Database.open(url)
        async with database.write() as connection:
            await save_installation(connection, installation(1), NOW)
            await save_repository(connection, repository(10, 1))
            for recipe in recipes:
                await save_screening(
                    connection,
                    1,
                    10,
                    head_sha="a" * 40,
                    measured_at=NOW,
                    measurement={},
                    judgement={},
                    failure="",
                    label_recipe_id=recipe.id,
                    config_hash="",
                    ranking=None,
                )
        await keep_label_recipe(settings, database, datetime(2026, 12, 1, tzinfo=UTC))
        await database.close()

    asyncio.run(start())
    known = CachedCalibrationSet(settings)()
    return known.deciding, known.pinned


def test_after_an_upgrade_the_recipe_of_the_newest_screening_decides(tmp_path: Path) -> None:
    assert started_after_measuring(tmp_path, MESSAGES_1) == (MESSAGES_1.id, True)


def test_a_new_server_and_one_on_the_recipe_of_the_release_follow_the_release(tmp_path: Path) -> None:
    for number, recipes in enumerate(((), (MESSAGES,), (MESSAGES_1, MESSAGES))):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert started_after_measuring(folder, *recipes) == (MESSAGES.id, False)
