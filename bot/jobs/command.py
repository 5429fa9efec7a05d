"""A comment or a button: somebody asks for something. Who it is and whether they may is asked of GitHub.

Limits come first, so that a flood of comments costs GitHub nothing. A comment is read again: what a delivery said it
was may have been edited, deleted or made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, Literal

import structlog

from bot.github.client import Comment, InstallationClient
from bot.github.pace import next_write
from bot.github.problems import Forbidden, NotFound, Rejected
from bot.ingress.command_line import command_of
from bot.ingress.dispatch import SCREEN_BUTTON
from bot.jobs.work import ASK, Done, Outcome, Work
from bot.records import Fact, Installation, Job, RepositoryMemory
from bot.store.content_writes import reserve_write
from bot.store.installations import load_installation
from bot.store.jobs import recent_jobs, request_job
from bot.store.repositories import load_repository

log = structlog.get_logger(__name__)

WINDOW: Final = timedelta(hours=1)
MOST_OF_A_USER: Final = 5
MOST_OF_A_REPOSITORY: Final = 20
REMEMBERED: Final = timedelta(days=30)  # as long as rows are kept
ROLES: Final[Mapping[str, frozenset[str]]] = {
    "maintain": frozenset({"maintain", "admin"}),
    "admin": frozenset({"admin"}),
}
SCREEN_COMMAND: Final = "/screen"

Answer = Literal["rocket", "confused"]


async def command(work: Work) -> Outcome:
    """Do what was asked for, or say in one word of a reaction that it is not done."""
    async with work.parts.database.read() as connection:
        installation = await load_installation(connection, work.installation_id)
        memory = await load_repository(connection, work.installation_id, work.repository_id)
        before = await recent_jobs(
            connection, work.installation_id, work.repository_id, "command", work.now() - REMEMBERED
        )
    if installation is None or memory is None or installation.state != "active":
        return Done("not served")
    if reason := why_dropped(work.job, before, work.now()):
        return Done(reason)
    if not _is_screen(work.job.arguments):
        return Done("not served yet")
    if "comment_id" in work.job.arguments:
        return await _comment(work, installation, memory)
    return await _button(work, memory)


def why_dropped(job: Job, others: Iterable[Job], now: datetime) -> str:
    """Why a command is dropped before anybody is asked anything; empty where it is not."""
    earlier = [other for other in others if other.job_id < job.job_id]
    comment_id = job.arguments.get("comment_id")
    answered = (other.arguments.get("comment_id") for other in earlier if other.state != "failed")
    if comment_id is not None and comment_id in answered:
        return "this comment was answered before"
    recent = [other for other in earlier if other.made_at > now - WINDOW]
    if len(recent) >= MOST_OF_A_REPOSITORY:
        return f"more than {MOST_OF_A_REPOSITORY} commands in an hour"
    sender_id = job.arguments.get("sender_id")
    if sum(other.arguments.get("sender_id") == sender_id for other in recent) >= MOST_OF_A_USER:
        return f"more than {MOST_OF_A_USER} commands of one user in an hour"
    return ""


def _is_screen(arguments: Mapping[str, Fact]) -> bool:
    return arguments.get("button") == SCREEN_BUTTON or arguments.get("command") == SCREEN_COMMAND


async def _button(work: Work, memory: RepositoryMemory) -> Outcome:
    client = await work.client(ASK)
    sender_id = _number(work.job.arguments, "sender_id")
    try:
        login = await client.user_login(sender_id)
    except NotFound:
        return Done("nobody is there who pressed it")
    if not await _may(work, client, memory, login, sender_id):
        return Done("the role does not permit it")
    return await _screen(work)


async def _comment(work: Work, installation: Installation, memory: RepositoryMemory) -> Outcome:
    issues = installation.permissions.get("issues", "")
    if issues not in ("read", "write"):
        return Done("comments cannot be read: the permission is missing")
    client = await work.client({**ASK, "issues": issues})
    arguments = work.job.arguments
    try:
        comment = await client.comment(memory.repository.full_name, _number(arguments, "comment_id"))
    except NotFound:
        return Done("the comment is not there")
    if reason := why_not(comment, arguments):
        return Done(reason)
    full_name = memory.repository.full_name
    allowed = await _may(work, client, memory, comment.author_login, comment.author_id)
    clear = not arguments.get("unclear")
    if issues == "write":
        await _react(work, client, full_name, "rocket" if allowed and clear else "confused")
    if not allowed:
        return Done("the role does not permit it")
    return await _screen(work) if clear else Done("the command is not clear")


def why_not(comment: Comment, arguments: Mapping[str, Fact]) -> str:
    """Why a comment as it is now is not the command that was delivered; empty where it is."""
    if comment.author_type == "Bot" or comment.author_id != arguments.get("sender_id"):
        return "the comment is somebody else's"
    if command_of(comment.body) != (arguments.get("command"), not arguments.get("unclear")):
        return "the comment says something else now"
    return ""


async def _may(work: Work, client: InstallationClient, memory: RepositoryMemory, login: str, account_id: int) -> bool:
    role = await client.role(memory.repository.full_name, login, account_id)
    return role in ROLES[work.parts.policy.permission]


async def _screen(work: Work) -> Outcome:
    async with work.conclusion("screens") as connection:
        await request_job(
            connection, work.installation_id, work.repository_id, "screen", work.now(), arguments={"force": True}
        )
    return Done()


async def _react(work: Work, client: InstallationClient, full_name: str, answer: Answer) -> None:
    """Only where there is room under GitHub's limits: verdicts come first, and no command fails for want of it."""
    async with work.effect() as connection:
        if await reserve_write(connection, work.installation_id, work.now(), next_write) is not None:
            return
    try:
        await client.react(full_name, _number(work.job.arguments, "comment_id"), answer)
    except (Forbidden, NotFound, Rejected) as problem:
        log.info("no_reaction", problem=type(problem).__name__)


def _number(arguments: Mapping[str, Fact], name: str) -> int:
    value = arguments.get(name, 0)
    return value if isinstance(value, int) else 0
