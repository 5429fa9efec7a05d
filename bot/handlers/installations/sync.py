"""Ask GitHub how an installation and its repositories are now, and let our rows follow.

Whatever a delivery says (renamed, transferred, archived, added, removed), the answer is the same: ask, compare, act.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final, TypeVar

from bot.github.client import InstallationClient
from bot.github.errors import InstallationGone, NotFound
from bot.handlers.installations.remove import forget_installation, forget_repository, without_store_problems
from bot.jobs.context import ASK, Done, JobContext, Outcome
from bot.messages.screen_context import shows_ranking
from bot.records import Installation, Repository, RepositoryMemory
from bot.repo_config.effective import load_effective_config
from bot.store.database import Connection
from bot.store.installations import delete_installation, load_installation, save_installation
from bot.store.jobs import request_job
from bot.store.repositories import list_repositories, load_repository, note_history_changed, save_repository
from bot.store.screenings import drop_ranking, forget_rankings

Item = TypeVar("Item")

AT_ONCE: Final = 50  # repositories a transaction, so that the receiver need not wait for a thousand


async def sync_installation(context: JobContext) -> Outcome:
    """Its account, state and permissions, and the list of its repositories."""
    try:
        installation = await context.parts.github.installation(context.installation_id)
    except NotFound:
        return await forget_installation(context)
    if not is_allowed(installation, context.parts.policy.allowed_accounts):
        return await _refuse(context, installation)
    async with context.effect() as connection:
        before = await load_installation(connection, context.installation_id)
        await save_installation(connection, installation, context.now())
    if installation.state == "suspended":
        return Done("suspended")
    client = await context.client(ASK, whole=True)
    served_again = before is not None and before.state != "active"
    await _sync_repositories(context, await client.repositories(), served_again)
    return Done()


def is_allowed(installation: Installation, allowed_accounts: Sequence[str]) -> bool:
    """Whether the operator serves this account. Logins are compared without regard to case, as GitHub does."""
    return not allowed_accounts or installation.account_login.lower() in allowed_accounts


async def sync_repository(context: JobContext) -> Outcome:
    """One repository: its name, branch and state, or that it is gone."""
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


async def _refuse(context: JobContext, installation: Installation) -> Outcome:
    """An account that the operator does not serve: nothing is held of it but that it is refused."""
    async with context.conclusion("the account is not in ASSAY_ALLOWED_ACCOUNTS") as connection:
        await delete_installation(connection, context.installation_id, except_job=context.job.job_id)
        await save_installation(connection, replace(installation, state="refused"), context.now())
    await asyncio.to_thread(context.parts.clones.remove, context.installation_id, None)
    await without_store_problems(context.parts.artifacts.remove_installation, context.installation_id)
    return Done()


async def _sync_all(context: JobContext) -> Outcome:
    async with context.conclusion("asking for the whole installation") as connection:
        await request_job(connection, context.installation_id, 0, "sync_installation", context.now())
    return Done()


async def _sync_repositories(context: JobContext, repositories: Sequence[Repository], served_again: bool) -> None:
    async with context.parts.database.read() as connection:
        known = {
            memory.repository.repository_id: memory
            for memory in await list_repositories(connection, context.installation_id)
        }
    for batch in batches(repositories, AT_ONCE):
        async with context.effect() as connection:
            for repository in batch:
                await _save(connection, context, repository, known.get(repository.repository_id), served_again)
    missing = known.keys() - {repository.repository_id for repository in repositories}
    for gone in batches(sorted(missing), AT_ONCE):
        async with context.effect() as connection:
            for repository_id in gone:  # GitHub is asked for each: a list that changes while it is read may skip some
                await request_job(connection, context.installation_id, repository_id, "sync_repository", context.now())


async def _find(client: InstallationClient, memory: RepositoryMemory | None, repository_id: int) -> Repository:
    """By its id, whatever its name is now. Raises NotFound."""
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
    served_again: bool = False,
) -> None:
    """Follow one repository, and ask for what its change calls for."""
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
            # It has become public: the check run that shows the ranking gets a successor without it.
            await request_job(connection, *ids, "post", context.now(), arguments={"again": True})
    arguments = follow(memory, repository, asked=bool(context.job.arguments.get("remeasure")))
    if arguments is not None:
        await request_job(connection, *ids, "screen", context.now(), arguments=arguments)
    elif served_again or (memory is not None and memory.repository.archived):
        await request_job(connection, *ids, "post", context.now())


def follow(memory: RepositoryMemory | None, now: Repository, *, asked: bool) -> Mapping[str, bool] | None:
    """The arguments of the screening that a repository needs, None where it needs none.

    `asked`: a delivery said that the default branch changed, which may be known here already.
    """
    if memory is None or memory.measured_at is None:
        return {}
    if asked or memory.repository.default_branch != now.default_branch:
        return {"force": True}
    return None


def batches(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
