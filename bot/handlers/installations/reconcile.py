"""Every hour and when a worker starts: ask GitHub which installations there are, and which deliveries failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog

from bot.github.errors import NotFound, Rejected
from bot.handlers.installations.installation_changes import decide_redeliveries, failed_guids, look_since
from bot.handlers.installations.sync import is_allowed
from bot.jobs.context import Done, JobContext, Outcome
from bot.records import Installation
from bot.store.bookmarks import load_bookmark, save_bookmark
from bot.store.deliveries import handled_guids
from bot.store.installations import list_installations
from bot.store.jobs import request_job

log = structlog.get_logger(__name__)

BOOKMARK: Final = "deliveries reconciled until"


async def reconcile(context: JobContext) -> Outcome:
    """Compare what GitHub has and sent with what we have and heard."""
    if not context.parts.app_id():
        return Done("the App is not registered yet")
    await _compare_installations(context)
    now, github = context.now(), context.parts.github
    async with context.parts.database.read() as connection:
        cursor = parse_cursor(await load_bookmark(connection, BOOKMARK))
    sent = [delivery async for delivery in github.deliveries(look_since(cursor, now))]
    async with context.parts.database.read() as connection:
        handled = await handled_guids(connection, failed_guids(sent))
    redeliveries = decide_redeliveries(sent, handled, now)
    for delivery_id in redeliveries.ids:
        try:
            await github.redeliver(delivery_id)
        except (NotFound, Rejected) as problem:  # too old by now; the others are not
            log.info("not_redelivered", github_delivery_id=delivery_id, problem=type(problem).__name__)
    async with context.conclusion(f"{len(redeliveries.ids)} asked for again") as connection:
        await save_bookmark(connection, BOOKMARK, redeliveries.cursor.isoformat())
    return Done()


async def _compare_installations(context: JobContext) -> None:
    """Events that were lost for good, and accounts that the operator serves only now or no longer."""
    theirs = await context.parts.github.installations()
    async with context.effect() as connection:
        ours = await list_installations(connection)
        for installation_id in drifted(ours, theirs, context.parts.policy.allowed_accounts):
            await request_job(connection, installation_id, 0, "sync_installation", context.now())


def drifted(ours: Iterable[Installation], theirs: Iterable[Installation], allowed_accounts: Sequence[str]) -> list[int]:
    """The installations that GitHub describes otherwise than we do, or that only one of us knows."""
    known = {installation.installation_id: installation for installation in ours}
    present = {
        installation.installation_id: installation
        if is_allowed(installation, allowed_accounts)
        else replace(installation, state="refused")
        for installation in theirs
    }
    return sorted(number for number in known.keys() | present.keys() if known.get(number) != present.get(number))


def parse_cursor(value: object) -> datetime | None:
    """The time in the bookmark; None where there is none, or one that makes no sense."""
    try:
        cursor = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return cursor if cursor is not None and cursor.tzinfo is not None else None
