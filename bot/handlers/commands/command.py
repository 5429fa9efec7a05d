"""Handle a command from a comment or a button.

    1. load everything from the store, and drop what exceeds the limits, before any request to GitHub
    2. ask GitHub for the comment as it is now, the sender's role and the head        conversation.py
    3. decide from plain values                                                       bot.commands.decide
    4. apply the decision in the transaction that finishes the job                    execute.py

A comment is read again because the delivery may be stale or forged; a button counts only on a check run of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from bot.commands.decide import decide
from bot.commands.facts import Facts
from bot.commands.grammar import Command, Finetune, Screen
from bot.commands.parse import command_of, parse_comment
from bot.github.client import Comment
from bot.github.errors import NotFound
from bot.handlers.commands.conversation import Conversation, open_conversation
from bot.handlers.commands.execute import Requester, execute, is_refused
from bot.handlers.commands.load_facts import load_facts
from bot.jobs.arguments import ButtonCommand, CommentCommand, parse_command
from bot.jobs.context import Done, JobContext, Outcome
from bot.receiver.dispatch import CHECKS, FINETUNE_BUTTON, SCREEN_BUTTON
from bot.records import Installation, Job, Repository, StoredCheckRun
from bot.store.check_runs import pressed_check_run
from bot.store.installations import load_installation
from bot.store.jobs import recent_jobs
from bot.store.repositories import load_repository

WINDOW: Final = timedelta(hours=1)
MAX_PER_USER: Final = 5
MAX_PER_REPOSITORY: Final = 20
REMEMBERED_FOR: Final = timedelta(days=30)  # as long as job rows are kept
NOT_SERVED: Final = "not served"
ARCHIVED: Final = "archived"
NO_ROLE: Final = "the role does not permit it"
TOO_MANY: Final = f"more than {MAX_PER_REPOSITORY} commands in an hour"
TOO_MANY_OF_USER: Final = f"more than {MAX_PER_USER} commands of one user in an hour"
WITHOUT_EFFECT: Final = frozenset({NOT_SERVED, ARCHIVED, NO_ROLE, TOO_MANY, TOO_MANY_OF_USER})
OTHER_AUTHOR: Final = "the comment has another author"
BUTTON_COMMANDS: Final[Mapping[str, Command]] = {SCREEN_BUTTON: Screen(), FINETUNE_BUTTON: Finetune()}


@dataclass(frozen=True)
class CommandState:
    """Everything in the store that a command depends on."""

    installation: Installation
    repository: Repository
    recent: tuple[Job, ...]  # commands of this repository
    facts: Facts
    check_run: StoredCheckRun | None  # the one with the button


async def command(context: JobContext) -> Outcome:
    """Execute a command and reply to it, or drop it with a reason."""
    arguments = parse_command(context.job.arguments)
    state = await _load(context, arguments)
    if state is None:
        if later := await context.until_listed():
            return later
        state = await _load(context, arguments)  # it may just have been listed
    if state is None or state.installation.state != "active":
        return Done(NOT_SERVED)
    if state.repository.archived:
        return Done(ARCHIVED)  # GitHub accepts no writes there
    if reason := why_dropped(context.job, state.recent, context.now()):
        return Done(reason)
    match arguments:
        case CommentCommand():
            return await _comment(context, state, arguments)
        case ButtonCommand():
            return await _button(context, state, arguments)


async def _load(context: JobContext, arguments: CommentCommand | ButtonCommand) -> CommandState | None:
    ids, now = (context.installation_id, context.repository_id), context.now()
    async with context.parts.database.read() as connection:
        installation = await load_installation(connection, context.installation_id)
        memory = await load_repository(connection, *ids)
        if installation is None or memory is None:
            return None
        check_run_id = arguments.check_run_id if isinstance(arguments, ButtonCommand) else 0
        return CommandState(
            installation=installation,
            repository=memory.repository,
            recent=tuple(await recent_jobs(connection, *ids, "command", now - REMEMBERED_FOR)),
            facts=await load_facts(connection, context.parts.policy, installation, memory.repository, now),
            check_run=await pressed_check_run(connection, *ids, check_run_id),
        )


def why_dropped(job: Job, others: Iterable[Job], now: datetime) -> str:
    """Return why a command is dropped before any request to GitHub; empty if it is not."""
    command = parse_command(job.arguments)
    earlier = [(other, parse_command(other.arguments)) for other in others if other.job_id < job.job_id]
    if isinstance(command, CommentCommand) and any(
        isinstance(other, CommentCommand) and other.comment_id == command.comment_id and row.state != "failed"
        for row, other in earlier
    ):
        return "this comment was handled before"
    recent = [other for row, other in earlier if row.made_at > now - WINDOW]
    if len(recent) >= MAX_PER_REPOSITORY:
        return TOO_MANY
    if sum(other.sender_id == command.sender_id for other in recent) >= MAX_PER_USER:
        return TOO_MANY_OF_USER
    return ""


async def _button(context: JobContext, state: CommandState, pressed: ButtonCommand) -> Outcome:
    requested, check_run = BUTTON_COMMANDS.get(pressed.button), state.check_run
    if requested is None or check_run is None or check_run.name not in CHECKS:
        return Done("the button is on no check run of ours")
    talk = await open_conversation(context, state.installation, state.repository)
    try:
        login = await talk.client.user_login(pressed.sender_id)
    except NotFound:
        return Done("the account that pressed it is gone")
    if not await talk.may(requested, login, pressed.sender_id, state.facts.config.permission):
        return Done(NO_ROLE)
    return await _decide(talk, requested, state.facts, Requester(pressed.sender_id, head_sha=check_run.head_sha))


async def _comment(context: JobContext, state: CommandState, commented: CommentCommand) -> Outcome:
    if state.installation.permissions.get("issues", "") not in ("read", "write"):
        return Done("comments cannot be read: the permission is missing")
    talk = await open_conversation(context, state.installation, state.repository, commented.comment_id)
    try:
        comment = await talk.client.comment(state.repository.full_name, commented.comment_id)
    except NotFound:
        return Done("the comment is gone")
    requested, reason = parse_comment(comment.body), why_not(comment, commented)
    if requested is None or reason == OTHER_AUTHOR:
        return Done(reason)
    if not await talk.may(requested, comment.author_login, comment.author_id, state.facts.config.permission):
        await talk.react("confused")
        return Done(NO_ROLE)
    if reason:  # edited into another command, which is not executed: who may give it is not left without an answer
        await talk.react("confused")
        return Done(reason)
    await talk.react("eyes")
    issue_number = comment.issue_number or commented.issue_number
    requester = Requester(comment.author_id, commented.comment_id, issue_number)
    return await _decide(talk, requested, state.facts, requester)


def why_not(comment: Comment, delivered: CommentCommand) -> str:
    """Return why a comment as it is now is not the command that was delivered; empty if it is."""
    if comment.author_type == "Bot" or comment.author_id != delivered.sender_id:
        return OTHER_AUTHOR
    if command_of(comment.body) != (delivered.command, not delivered.unclear):
        return "the comment was edited"
    return ""


async def _decide(talk: Conversation, requested: Command, facts: Facts, requester: Requester) -> Outcome:
    """Decide and execute. The head is pinned here, so that later pushes do not change what was requested."""
    if isinstance(requested, Finetune):
        facts = replace(facts, head_sha=await talk.head())
    action = decide(requested, facts)
    await talk.react("confused" if is_refused(action) else "rocket")
    return await execute(talk.context, requester, action, facts)
