"""A comment or a button: somebody asks for something. Who it is and whether they may is asked of GitHub.

Limits come first, so that a flood of comments costs GitHub nothing. A comment is read again: what a delivery said it
was may have been edited, deleted or made up. A button counts where its check run is a row of ours. What comes of it is
decided from our rows (bot.commands.decide) and carried out in one transaction (bot.handlers.commands.execute).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from bot.commands.decide import decide
from bot.commands.grammar import Command, Finetune, Screen
from bot.commands.parse import command_of, parse_comment
from bot.github.client import Comment
from bot.github.errors import NotFound
from bot.handlers.commands.conversation import Conversation, begin, number
from bot.handlers.commands.execute import Asker, carry_out, is_refused
from bot.jobs.context import Done, JobContext, Outcome
from bot.receiver.dispatch import CHECKS, FINETUNE_BUTTON, SCREEN_BUTTON
from bot.records import Fact, Installation, Job, Repository
from bot.store.check_runs import pressed_check_run
from bot.store.installations import load_installation
from bot.store.jobs import recent_jobs
from bot.store.repositories import load_repository

WINDOW: Final = timedelta(hours=1)
MOST_OF_A_USER: Final = 5
MOST_OF_A_REPOSITORY: Final = 20
REMEMBERED: Final = timedelta(days=30)  # as long as rows are kept
PRESSED: Final[Mapping[str, Command]] = {SCREEN_BUTTON: Screen(), FINETUNE_BUTTON: Finetune()}


async def command(context: JobContext) -> Outcome:
    """Do what was asked for, and say that it is done, or why not."""
    async with context.parts.database.read() as connection:
        installation = await load_installation(connection, context.installation_id)
        memory = await load_repository(connection, context.installation_id, context.repository_id)
        before = await recent_jobs(
            connection, context.installation_id, context.repository_id, "command", context.now() - REMEMBERED
        )
    if installation is None or memory is None or installation.state != "active":
        return Done("not served")
    if memory.repository.archived:
        return Done("archived")  # nothing may be written there
    if reason := why_dropped(context.job, before, context.now()):
        return Done(reason)
    if "comment_id" in context.job.arguments:
        return await _comment(context, installation, memory.repository)
    return await _button(context, installation, memory.repository)


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


async def _button(context: JobContext, installation: Installation, repository: Repository) -> Outcome:
    arguments = context.job.arguments
    sender_id, asked = number(arguments, "sender_id"), PRESSED.get(str(arguments.get("button")))
    async with context.parts.database.read() as connection:
        row = await pressed_check_run(
            connection, context.installation_id, context.repository_id, number(arguments, "check_run_id")
        )
    if asked is None or row is None or row.name not in CHECKS:
        return Done("the button is on no check run of ours")
    talk = await begin(context, installation, repository)
    try:
        login = await talk.client.user_login(sender_id)
    except NotFound:
        return Done("nobody is there who pressed it")
    if not await talk.may(asked, login, sender_id):
        return Done("the role does not permit it")
    return await _answer(talk, asked, Asker(sender_id, head_sha=row.head_sha))


async def _comment(context: JobContext, installation: Installation, repository: Repository) -> Outcome:
    if installation.permissions.get("issues", "") not in ("read", "write"):
        return Done("comments cannot be read: the permission is missing")
    arguments = context.job.arguments
    comment_id = number(arguments, "comment_id")
    talk = await begin(context, installation, repository)
    try:
        comment = await talk.client.comment(repository.full_name, comment_id)
    except NotFound:
        return Done("the comment is not there")
    asked, reason = parse_comment(comment.body), why_not(comment, arguments)
    if asked is None or reason:
        return Done(reason)
    if not await talk.may(asked, comment.author_login, comment.author_id):
        await talk.react("confused")
        return Done("the role does not permit it")
    await talk.react("eyes")
    issue_number = comment.issue_number or number(arguments, "issue_number")
    return await _answer(talk, asked, Asker(comment.author_id, comment_id, issue_number))


def why_not(comment: Comment, arguments: Mapping[str, Fact]) -> str:
    """Why a comment as it is now is not the command that was delivered; empty where it is."""
    if comment.author_type == "Bot" or comment.author_id != arguments.get("sender_id"):
        return "the comment is somebody else's"
    if command_of(comment.body) != (arguments.get("command"), not arguments.get("unclear")):
        return "the comment says something else now"
    return ""


async def _answer(talk: Conversation, asked: Command, asker: Asker) -> Outcome:
    """Decide, and do it. The head is pinned here: what is pushed afterwards is not what was asked for."""
    head_sha = await talk.head() if isinstance(asked, Finetune) else ""
    action = decide(asked, facts := await talk.facts(head_sha))
    await talk.react("confused" if is_refused(action) else "rocket")
    return await carry_out(talk.context, asker, action, facts)
