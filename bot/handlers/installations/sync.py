"""Synchronize an installation and its repositories with GitHub.

Whatever a delivery reports (renamed, transferred, archived, added, removed), the reaction is the same: ask GitHub,
compare, act.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, TypeVar

from bot.github.client import InstallationClient
from bot.github.errors import InstallationGone, NotFound
from bot.handlers.installations.allowed import load_allowed, save_allowed
from bot.handlers.installations.remove import forget_installation, forget_repository, refuse
from bot.jobs.arguments import PostJob, ScreenJob, parse_sync_repository, request
from bot.jobs.context import ASK, Done, JobContext, Outcome
from bot.messages.screen_context import shows_ranking
from bot.records import Installation, InstallationMemory, Owed, Repository, RepositoryMemory
from bot.repo_config.effective import load_effective_config
from bot.store.database import Connection
from bot.store.installations import (
    load_installation,
    note_gone,
    note_listed,
    note_owed,
    note_refused,
    recall_installation,
    save_installation,
)
from bot.store.jobs import request_job
from bot.store.repositories import list_repositories, load_repository, note_history_changed, save_repository
from bot.store.screenings import drop_ranking, forget_rankings, newest_screening

Item = TypeVar("Item")

BATCH: Final = 50  # repositories per transaction, so that the receiver never waits for a thousand
EVIDENCE: Final = frozenset({"issues", "pull_requests"})  # permissions that a measurement uses
UNHEARD: Final = timedelta(days=2)  # without a listing: pushes of that time may be lost, as GitHub keeps them three


async def sync_installation(context: JobContext) -> Outcome:
    """Synchronize the account, state and permissions, and the list of repositories.

    What its repositories are owed after a change is stored with that change, so that it outlives a failed attempt.
    """
    try:
        installation = await context.parts.github.installation(context.installation_id)
    except NotFound:
        return await forget_installation(context)
    async with context.effect() as connection:
        allowed = await load_allowed(connection, context.parts.policy.allowed_accounts)
        if served := allowed.serves(installation):
            owed = await _save_installation(connection, context, installation)
            await save_allowed(connection, allowed.learn(installation))
    if not served:
        return await refuse(context, installation)
    if installation.state == "suspended":
        return Done("suspended")
    client = await context.client(ASK, whole=True)
    await _sync_repositories(context, await client.repositories(), owed)
    async with context.conclusion() as connection:
        await note_listed(connection, context.installation_id, context.now())
    return Done()


async def _save_installation(connection: Connection, context: JobContext, installation: Installation) -> Owed:
    """Save the installation as it is now, and return what its repositories are owed."""
    before = await load_installation(connection, context.installation_id)
    memory = await recall_installation(connection, context.installation_id)
    owed = decide_owed(before, memory, installation, context.now())
    await save_installation(connection, installation, context.now())
    await note_owed(connection, context.installation_id, owed)
    await note_refused(connection, context.installation_id, None)
    await note_gone(connection, context.installation_id, None)
    return owed


def decide_owed(before: Installation | None, memory: InstallationMemory, now: Installation, at: datetime) -> Owed:
    """Return what each repository needs: what was owed before, and what the change calls for."""
    if before is None:
        return ""  # all of its repositories are new
    gained = {name for name, access in now.permissions.items() if before.permissions.get(name) != access}
    if memory.owed == "screen" or any(name not in before.permissions for name in gained & EVIDENCE):
        return "screen"
    if memory.owed == "repair" or gained:
        return "repair"
    unheard = memory.listed_at is not None and at - memory.listed_at > UNHEARD
    return "post" if memory.owed or before.state != "active" or unheard else ""


async def sync_repository(context: JobContext) -> Outcome:
    """Synchronize one repository: its name, branch and state, or its removal."""
    async with context.parts.database.read() as connection:
        installation = await load_installation(connection, context.installation_id)
        memory = await load_repository(connection, context.installation_id, context.repository_id)
    if installation is None:
        return await _sync_all(context)
    if installation.state != "active":
        return await context.not_served(installation)
    try:
        client = await context.client(ASK)
        repository = await _find(client, memory, context.repository_id)
    except InstallationGone:
        return await _sync_all(context)
    except NotFound:
        return await forget_repository(context)
    async with context.conclusion() as connection:
        await _save(connection, context, repository, memory)
    return Done()


async def _sync_all(context: JobContext) -> Outcome:
    async with context.conclusion("the whole installation is synchronized") as connection:
        await request_job(connection, context.installation_id, 0, "sync_installation", context.now())
    return Done()


async def _sync_repositories(context: JobContext, repositories: Sequence[Repository], owed: Owed) -> None:
    async with context.parts.database.read() as connection:
        known = {
            memory.repository.repository_id: memory
            for memory in await list_repositories(connection, context.installation_id)
        }
    for batch in batches(repositories, BATCH):
        async with context.effect() as connection:
            for repository in batch:
                await _save(connection, context, repository, known.get(repository.repository_id), owed)
    missing = known.keys() - {repository.repository_id for repository in repositories}
    for gone in batches(sorted(missing), BATCH):
        async with context.effect() as connection:
            for repository_id in gone:  # each is checked: a list that changes while it is read may skip some
                await request_job(connection, context.installation_id, repository_id, "sync_repository", context.now())


async def _find(client: InstallationClient, memory: RepositoryMemory | None, repository_id: int) -> Repository:
    """Find a repository by its id, whatever its name is now. Raises NotFound."""
    if memory is not None:
        return await client.repository(memory.repository.full_name, repository_id)
    for repository in await client.repositories():
        if repository.repository_id == repository_id:
            return repository
    raise NotFound("the token's repository is not listed")


async def _save(
    connection: Connection,
    context: JobContext,
    repository: Repository,
    memory: RepositoryMemory | None,
    owed: Owed = "",
) -> None:
    """Save one repository, and request the jobs that its change calls for."""
    ids = context.installation_id, repository.repository_id
    await save_repository(connection, repository)
    if repository.archived:
        return
    if memory is not None and memory.repository.default_branch != repository.default_branch:
        await note_history_changed(connection, *ids)
    config = await load_effective_config(connection, context.parts.policy, *ids)
    if not shows_ranking(repository, config.publish_ranking):
        await forget_rankings(connection, *ids)
        if await drop_ranking(connection, *ids):
            # It has become public: replace the check run that shows the ranking.
            await request(connection, *ids, PostJob(again=True), context.now())
    remeasure = parse_sync_repository(context.job.arguments).remeasure
    newest = await newest_screening(connection, *ids) if owed == "repair" else None
    remeasure |= owed == "screen" or (newest is not None and newest.failure != "")
    if screening := decide_screening(memory, repository, remeasure=remeasure):
        await request(connection, *ids, screening, context.now())
    elif owed or (memory is not None and memory.repository != repository):
        await request(connection, *ids, PostJob(look=True), context.now())


def decide_screening(memory: RepositoryMemory | None, now: Repository, *, remeasure: bool) -> ScreenJob | None:
    """Return the screening that a repository needs, if any.

    `remeasure`: a delivery reported a new default branch, which the store may know already; or what stood in the way of
    a better measurement is gone.
    """
    if memory is None or memory.measured_at is None:
        return ScreenJob()
    if remeasure or memory.repository.default_branch != now.default_branch:
        return ScreenJob(force=True)
    return None


def batches(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    """Split into lists of at most `size` items."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
