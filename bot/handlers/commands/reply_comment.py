"""Bring the comments that answer commands up to date: written once, then edited in place, never faster than it helps.

The row says when GitHub was first told, so a worker that dies in between leaves something to look for: the next one
asks GitHub for a comment with its marker and writes a new one only where there is none.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import structlog

from bot.github.client import InstallationClient
from bot.github.errors import Forbidden, GitHubError, Moved, NotFound, Rejected
from bot.github.rate_limits import next_write
from bot.handlers.commands.conversation import number, speaking
from bot.handlers.commands.load_facts import load_told
from bot.jobs.context import Done, JobContext, Later, Outcome
from bot.messages.replies import marker
from bot.messages.run_comment import RunContext, render_run
from bot.records import Installation, Reply, Repository, Run
from bot.store.content_writes import reserve_write
from bot.store.installations import load_installation
from bot.store.replies import (
    GIVEN_UP,
    give_up_reply,
    load_reply,
    note_reply_posted,
    note_reply_tried,
    replies_of_run,
)
from bot.store.repositories import load_repository
from bot.store.runs import load_run

log = structlog.get_logger(__name__)

EDITED_EVERY: Final = timedelta(seconds=15)  # while a run goes on; its end is told at once
LOOKED_BACK: Final = timedelta(hours=1)  # before the row was made: clocks differ
ON_THE_WAY: Final = timedelta(seconds=10)  # a request may arrive so much later than it was counted


@dataclass(frozen=True)
class Known:
    """What our rows say of a run, or of an answer without one."""

    installation: Installation
    repository: Repository
    replies: tuple[Reply, ...]
    run: Run | None = None
    told: RunContext | None = None

    def body(self, reply: Reply) -> str:
        """The comment as it should be."""
        text = reply.text
        if self.run is not None and self.told is not None:
            text = render_run(self.run, replace(self.told, joined=reply.comment_id != self.run.comment_id))
        return f"{text}\n\n{marker(reply.reply_id)}"

    @property
    def goes_on(self) -> bool:
        return self.run is not None and self.run.state != "ended"


async def reply(context: JobContext) -> Outcome:
    """Write, edit or leave each comment of a run, or the one that is asked for."""
    known = await _load(context)
    if known is None:
        return Done("there is nothing to answer")
    if known.installation.state != "active":
        return await context.not_served(known.installation)
    if known.repository.archived or known.installation.permissions.get("issues") != "write":
        return Done("comments cannot be written here")
    pending = [(each, body) for each in known.replies if _differs(each, body := known.body(each))]
    if not pending:
        return Done("it says so already")
    client = await context.client(speaking(known.installation))
    waits = [await _bring(context, known, client, each, body) for each, body in pending]
    return min((wait for wait in waits if wait is not None), key=lambda wait: wait.not_before, default=Done())


async def _load(context: JobContext) -> Known | None:
    ids, wanted = (context.installation_id, context.repository_id), context.job.arguments
    run_id, reply_id = number(wanted, "run_id"), number(wanted, "reply_id")
    async with context.parts.database.read() as connection:
        installation = await load_installation(connection, context.installation_id)
        memory = await load_repository(connection, *ids)
        run = await load_run(connection, context.installation_id, run_id)
        alone = await load_reply(connection, context.installation_id, reply_id)
        if installation is None or memory is None or (run is None and alone is None):
            return None
        if run is None:
            return Known(installation, memory.repository, (alone,) if alone is not None else ())
        replies = tuple(await replies_of_run(connection, context.installation_id, run_id))
        told = await load_told(connection, run, memory.repository.full_name, context.now())
    return Known(installation, memory.repository, replies, run, told)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _differs(reply: Reply, body: str) -> bool:
    return reply.posted_digest not in (_digest(body), GIVEN_UP)


async def _bring(
    context: JobContext, known: Known, client: InstallationClient, reply: Reply, body: str
) -> Later | None:
    """One comment; or when it may be written."""
    posted_id = reply.posted_id
    if posted_id and known.goes_on and reply.posted_at is not None and context.now() < reply.posted_at + EDITED_EVERY:
        return Later(reply.posted_at + EDITED_EVERY, "edited a moment ago")
    if not posted_id and reply.posted_at is not None:  # GitHub may have it
        posted_id = await _find(known, client, reply)
    if later := await _reserve(context, reply, posted_id):
        return later
    try:
        if posted_id:
            await client.update_comment(known.repository.full_name, posted_id, body)
        else:
            posted_id = await client.create_comment(known.repository.full_name, reply.issue_number, body)
    except Moved:
        raise
    except (Forbidden, NotFound, Rejected) as problem:
        await _refused(context, reply, posted_id, problem)
        return None
    async with context.effect() as connection:
        await note_reply_posted(
            connection, context.installation_id, reply.reply_id, posted_id, _digest(body), context.now()
        )
    return None


async def _find(known: Known, client: InstallationClient, reply: Reply) -> int:
    since = reply.made_at - LOOKED_BACK
    try:
        found = await client.find_comment(known.repository.full_name, reply.issue_number, marker(reply.reply_id), since)
    except NotFound:  # the issue was deleted: writing to it will say so
        return 0
    return found or 0


async def _reserve(context: JobContext, reply: Reply, posted_id: int) -> Later | None:
    """A place in the installation's pace, and a word that GitHub may have heard of it."""
    now = context.now()
    async with context.effect() as connection:
        pace = functools.partial(next_write, slack=ON_THE_WAY)
        free_at = await reserve_write(connection, context.installation_id, now, pace)
        if free_at is not None:
            return Later(free_at, "GitHub's limit on writes")
        if not posted_id:
            await note_reply_tried(connection, context.installation_id, reply.reply_id, now)
    return None


async def _refused(context: JobContext, reply: Reply, posted_id: int, problem: GitHubError) -> None:
    """A comment that may not be made is not tried again, nor one that somebody deleted: check runs have to do.

    A conversation that is locked may be open again when there is more to say.
    """
    log.info("no_reply", problem=type(problem).__name__, reply_id=reply.reply_id)
    if posted_id and not isinstance(problem, NotFound):
        return
    async with context.effect() as connection:
        await give_up_reply(connection, context.installation_id, reply.reply_id)
