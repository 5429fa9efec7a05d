"""What `assay doctor` says of fine-tuning: which models may be used, whether its files can be kept, who would train.

Where no model is named, fine-tuning is off and nothing of this is required.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from bot.base_models import MODELS_VARIABLE, default_base_model, parse_base_models, parse_recipe_changes
from bot.cli.check import Check
from bot.settings import Settings
from pipeline.records import AssayError
from pipeline.reports.numbers import counted

SEEN_WITHIN: Final = timedelta(minutes=10)
_PROBE: Final = "doctor/probe"
_NAME: Final = "fine-tuning"


def check_finetuning(settings: Settings) -> Iterator[Check]:
    """Raises nothing: a failed check is an answer."""
    try:
        models = parse_base_models(settings.base_models)
        usual = default_base_model(models, settings.base_model)
        parse_recipe_changes(settings.finetune)
    except AssayError as error:
        yield Check(_NAME, False, "its settings make no sense", str(error))
        return
    if not models:
        to_do = f"set {MODELS_VARIABLE} to the models that may be used, then give an installation minutes: assay budget set"
        yield Check(_NAME, False, "off: no base model may be used", to_do, required=False)
        return
    more = f" and {len(models) - 1} more" if len(models) > 1 else ""
    yield Check(_NAME, True, f"with {usual}{more}")
    yield check_artifacts(settings)
    yield check_gpu_workers(settings)


def check_artifacts(settings: Settings) -> Check:
    """Can a file be written to where adapters are kept, and taken away again?"""
    from pipeline.finetuning.artifact_store import open_store

    try:
        store = open_store(settings.artifacts_place)
        store.write(_PROBE, b"")
        store.delete(_PROBE)
    except AssayError as error:
        return Check("artifacts", False, str(error), "set ASSAY_ARTIFACTS_URL to a place that can be written")
    return Check("artifacts", True, store.where)


def check_gpu_workers(settings: Settings) -> Check:
    """Was one seen lately, and may any installation use it?"""
    try:
        seen, budgets = asyncio.run(_look(settings))
    except AssayError as error:
        return Check("GPU workers", False, "the database cannot be asked", str(error), required=False)
    found = (
        f"{seen:,} seen within {SEEN_WITHIN.seconds // 60} minutes, {counted(budgets, 'installation')} with a budget"
    )
    if not seen:
        return Check("GPU workers", False, found, "start assay gpu-worker where a GPU is", required=False)
    if not budgets:
        return Check("GPU workers", False, found, "assay budget set LOGIN --minutes M", required=False)
    return Check("GPU workers", True, found)


async def _look(settings: Settings) -> tuple[int, int]:
    from bot.cli.database import existing_database
    from bot.store.budgets import all_budgets, list_gpu_workers

    since = datetime.now(UTC) - SEEN_WITHIN
    async with existing_database(settings) as database, database.read() as connection:
        workers = await list_gpu_workers(connection)
        return sum(worker.seen_at >= since for worker in workers), len(await all_budgets(connection))
