"""Keep the comments that reply to commands up to date: created once, then edited in place at a bounded rate.

The row records the first attempt, so that after a crash the next worker asks GitHub for a comment with its marker and
creates one only if none exists.
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
from bot.handlers.commands.conversation import comment_permissions
from bot.handlers.commands.load_facts import load_run_context
from bot.jobs.arguments import ReplyAboutRun, ReplyWithText, parse_reply
from bot.jobs.context import Done, JobContext, Later, Outcome
from bot.messages.replies import marker
from bot.messages.run_comment import RunContext, render_run
from bot.records import Installation, Reply, Repository, Run
from bot.store.content_writes import reserve_write
from bot.store.installations import load_installation
from bot.store.reply_comments import (
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

EDIT_PERIOD: Final = timedelta(seconds=15)  # while a run is open; its end is shown immediately
LOOKBACK: Final = timedelta(hours=1)  # before the row was created, because clocks differ
MAX_DELAY: Final = timedelta(seconds=10)  # between counting a request and its arrival at GitHub


@dataclass(frozen=True)
class ReplyState:
    """A run with the comments that follow it, or one reply without a run."""

    installation: Installation
    repository: Repository
    replies: tuple[Reply, ...]
    run: Run | None = None
    shown: RunContext | None = None  # beside the run

    def body(self, reply: Reply) -> str:
        """Render the comment as it should be now."""
        text = reply.text
        if self.run is not None and self.shown is not None:
            text = render_run(self.run, replace(self.shown, joined=reply.comment_id != self.run.comment_id))
        return f"{text}\n\n{marker(reply.reply_id)}"

    @property
    def run_is_open(self) -> bool:
        return self.run is not None and self.run.state != "ended"


async def reply(context: JobContext) -> Outcome:
    """Create, edit or leave each comment that follows a run, or the one reply."""
    state = await _load(context, parse_reply(context.job.arguments))
    if state is None:
        return Done("there is nothing to reply to")
    if state.installation.state != "active":
        return await context.not_served(state.installation)
    if state.repository.archived or state.installation.permissions.get("issues") != "write":
        return Done("comments cannot be written here")
    pending = [(each, body) for each in state.replies if _differs(each, body := state.body(each))]
    if not pending:
        return Done("it is up to date")
    client = await context.client(comment_permissions(state.installation))
    waits = [await _update(context, state, client, each, body) for each, body in pending]
    return min((wait for wait in waits if wait is not None), key=lambda wait: wait.not_before, default=Done())


async def _load(context: JobContext, arguments: ReplyAboutRun | ReplyWithText) -> ReplyState | None:
    ids = context.installation_id, context.repository_id
    async with context.parts.database.read() as connection:
        installation = await load_installation(connection, context.installation_id)
        memory = await load_repository(connection, *ids)
        if installation is None or memory is None:
            return None
        match arguments:
            case ReplyWithText(reply_id):
                reply = await load_reply(connection, context.installation_id, reply_id)
                return None if reply is None else ReplyState(installation, memory.repository, (reply,))
            case ReplyAboutRun(run_id):
                run = await load_run(connection, context.installation_id, run_id)
                if run is None:
                    return None
                replies = tuple(await replies_of_run(connection, context.installation_id, run_id))
                shown = await load_run_context(connection, run, memory.repository.full_name, context.now())
                return ReplyState(installation, memory.repository, replies, run, shown)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _differs(reply: Reply, body: str) -> bool:
    return reply.posted_digest not in (_digest(body), GIVEN_UP)


async def _update(
    context: JobContext, state: ReplyState, client: InstallationClient, reply: Reply, body: str
) -> Later | None:
    """Create or edit one comment, or return when that will be allowed."""
    posted_id = reply.posted_id
    if (
        posted_id
        and state.run_is_open
        and reply.posted_at is not None
        and context.now() < reply.posted_at + EDIT_PERIOD
    ):
        return Later(reply.posted_at + EDIT_PERIOD, "edited a moment ago")
    if not posted_id and reply.posted_at is not None:  # a crashed attempt may have created it
        posted_id = await _find(state, client, reply)
    if later := await _reserve(context, reply, posted_id):
        return later
    try:
        if posted_id:
            await client.update_comment(state.repository.full_name, posted_id, body)
        else:
            posted_id = await client.create_comment(state.repository.full_name, reply.issue_number, body)
    except Moved:
        raise
    except (Forbidden, NotFound, Rejected) as error:
        await _refused(context, reply, posted_id, error)
        return None
    async with context.effect() as connection:
        await note_reply_posted(
            connection, context.installation_id, reply.reply_id, posted_id, _digest(body), context.now()
        )
    return None


async def _find(state: ReplyState, client: InstallationClient, reply: Reply) -> int:
    since = reply.made_at - LOOKBACK
    try:
        posted_id = await client.find_comment(
            state.repository.full_name, reply.issue_number, marker(reply.reply_id), since
        )
    except NotFound:  # the issue was deleted, which the write will report
        return 0
    return posted_id or 0


async def _reserve(context: JobContext, reply: Reply, posted_id: int) -> Later | None:
    """Count a write against the installation's rate limit, and note a first attempt; or return when to try again."""
    now = context.now()
    async with context.effect() as connection:
        pace = functools.partial(next_write, slack=MAX_DELAY)
        free_at = await reserve_write(connection, context.installation_id, now, pace)
        if free_at is not None:
            return Later(free_at, "GitHub's limit on writes")
        if not posted_id:
            await note_reply_tried(connection, context.installation_id, reply.reply_id, now)
    return None


async def _refused(context: JobContext, reply: Reply, posted_id: int, error: GitHubError) -> None:
    """Give up a comment that GitHub does not let us create, or that somebody deleted; check runs remain.

    An edit that was refused is not given up: a locked conversation may be unlocked by the next one.
    """
    log.info("no_reply", problem=type(error).__name__, reply_id=reply.reply_id)
    if posted_id and not isinstance(error, NotFound):
        return
    async with context.effect() as connection:
        await give_up_reply(connection, context.installation_id, reply.reply_id)
