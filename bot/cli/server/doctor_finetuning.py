"""The checks of `assay doctor` for fine-tuning: base models, artifact store and GPU workers.

Without base models fine-tuning is off, and none of this is required.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from bot.base_models import MODELS_VARIABLE, default_base_model, parse_base_models, parse_recipe_changes
from bot.cli.output import Check
from bot.settings import Settings
from pipeline.records import AssayError
from pipeline.reports.numbers import counted

SEEN_WITHIN: Final = timedelta(minutes=10)
_PROBE: Final = "doctor/probe"
_NAME: Final = "fine-tuning"


def check_finetuning(settings: Settings) -> Iterator[Check]:
    """Run the checks of fine-tuning. Never raises: failures are results."""
    try:
        models = parse_base_models(settings.base_models)
        default = default_base_model(models, settings.base_model)
        parse_recipe_changes(settings.finetune)
    except AssayError as error:
        yield Check(_NAME, False, "its settings are invalid", str(error))
        return
    if not models:
        to_do = f"set {MODELS_VARIABLE} to the allowed base models, then run assay budget set to give a budget"
        yield Check(_NAME, False, "off: no base model is allowed", to_do, required=False)
        return
    more = f" and {len(models) - 1} more" if len(models) > 1 else ""
    yield Check(_NAME, True, f"with {default}{more}")
    yield check_artifacts(settings)
    yield check_gpu_workers(settings)


def check_artifacts(settings: Settings) -> Check:
    """Check that the artifact store can be written to."""
    from pipeline.finetuning.artifact_store import open_store

    try:
        store = open_store(settings.artifacts_place)
        store.write(_PROBE, b"")
        store.delete(_PROBE)
    except AssayError as error:
        return Check("artifacts", False, str(error), "set ASSAY_ARTIFACTS_URL to a writable store")
    return Check("artifacts", True, store.where)


def check_gpu_workers(settings: Settings) -> Check:
    """Check that a GPU worker was active recently and that an installation has a budget for it."""
    try:
        workers, budgets = asyncio.run(_count_workers_and_budgets(settings))
    except AssayError as error:
        return Check("GPU workers", False, "the database cannot be read", str(error), required=False)
    minutes = SEEN_WITHIN.seconds // 60
    found = f"{workers:,} active in the last {minutes} minutes, {counted(budgets, 'installation')} with a budget"
    if not workers:
        return Check("GPU workers", False, found, "start assay gpu-worker on a machine with a GPU", required=False)
    if not budgets:
        return Check("GPU workers", False, found, "run assay budget set LOGIN --minutes M", required=False)
    return Check("GPU workers", True, found)


async def _count_workers_and_budgets(settings: Settings) -> tuple[int, int]:
    from bot.cli.database import existing_database
    from bot.store.budgets import all_budgets, list_gpu_workers

    since = datetime.now(UTC) - SEEN_WITHIN
    async with existing_database(settings) as database, database.read() as connection:
        workers = await list_gpu_workers(connection)
        return sum(worker.seen_at >= since for worker in workers), len(await all_budgets(connection))
