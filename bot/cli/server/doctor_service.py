"""The checks of `assay doctor` for the service of repositories: what fails, waits for GitHub, or is not allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from bot.cli.app_settings import database_url
from bot.cli.output import Check
from bot.records import Installation, InstallationMemory
from bot.settings import Settings
from pipeline.records import AssayError
from pipeline.reports.escape import inert
from pipeline.reports.numbers import counted

Refused = tuple[Installation, InstallationMemory, int]  # and how many of its repositories are still stored


def check_service(settings: Settings) -> Iterator[Check]:
    """Check what the database says about the service. Never raises; without a database there is nothing to check."""
    from bot.store.migrate import current, newest  # slow to import
    from bot.store.urls import parse, path_of

    try:
        url = database_url(settings)
        file = path_of(parse(url))
        if file is not None and not Path(file).exists():
            return
        if current(url) != newest():
            return  # which another check reports
        failing, waiting, since, refused = asyncio.run(_read(settings))
    except AssayError:
        return  # likewise
    yield check_failing(failing, waiting, since)
    if refused:
        yield check_refused(refused, settings.refused_days)


def check_failing(failing: int, waiting: int, since: datetime | None) -> Check:
    """Check that no repository or installation has an error, and that no job waits for GitHub."""
    if not failing and not waiting:
        return Check("repositories", True, "none has an error", required=False)
    parts = [f"{failing:,} with an error"] if failing else []
    if waiting and since is not None:
        parts.append(f"{counted(waiting, 'job')} waiting for GitHub since {since:%Y-%m-%d %H:%M} UTC")
    to_do = "run assay repos --failed to see why, and assay repos --retry to try again now"
    return Check("repositories", False, ", ".join(parts), to_do, required=False)


def check_refused(refused: Sequence[Refused], days: int) -> Check:
    """Say which accounts are not served, and when their data is deleted."""
    found = "; ".join(_refused(*each, days) for each in refused)
    to_do = "add an account to ASSAY_ALLOWED_ACCOUNTS to serve it again and keep its data"
    return Check("accounts not allowed", False, found, to_do, required=False)


def _refused(installation: Installation, memory: InstallationMemory, repositories: int, days: int) -> str:
    name = inert(installation.account_login)
    if not repositories or memory.refused_at is None:
        return f"{name}: nothing is stored"
    due_at = memory.refused_at + timedelta(days=days)
    return f"{name}: data of {counted(repositories, 'repository', 'repositories')} is deleted on {due_at:%Y-%m-%d}"


async def _read(settings: Settings) -> tuple[int, int, datetime | None, list[Refused]]:
    from bot.cli.database import existing_database
    from bot.store.installations import list_installations, recall_installations
    from bot.store.repositories import all_repositories
    from bot.store.unfinished import failing_figures

    async with existing_database(settings) as database, database.read() as connection:
        repositories, memories = await all_repositories(connection), await recall_installations(connection)
        figures = await failing_figures(connection)
        installations = await list_installations(connection)
    errors = [*(each.last_error for each in repositories), *(each.last_error for each in memories.values())]
    refused = [
        (
            each,
            memories[each.installation_id],
            sum(memory.repository.installation_id == each.installation_id for memory in repositories),
        )
        for each in installations
        if each.state == "refused"
    ]
    since = min((figure.since for figure in figures), default=None)
    return sum(map(bool, errors)), sum(figure.jobs for figure in figures), since, refused
