"""Check with GitHub, before a run is prepared, that its command still stands and its requester is still permitted."""

from __future__ import annotations

from bot.commands.grammar import Finetune
from bot.commands.parse import parse_comment
from bot.commands.permission import may
from bot.github.client import InstallationClient
from bot.github.errors import NotFound
from bot.jobs.context import ASK, JobContext
from bot.messages.reasons import (
    ACCOUNT_DELETED,
    COMMENT_DELETED,
    COMMENT_EDITED,
    COMMENTS_UNREADABLE,
    NOT_SERVED,
    ROLE_LOST,
)
from bot.records import Installation, RepositoryMemory, Run
from bot.repo_config.precedence import EffectiveConfig


async def why_not_allowed(
    context: JobContext,
    run: Run,
    installation: Installation | None,
    memory: RepositoryMemory | None,
    config: EffectiveConfig,
) -> str:
    """Return why a run must not continue; empty if it may. A run without a requester may. Raises GitHubError."""
    if not run.asked_by:
        return ""
    if installation is None or memory is None or installation.state != "active":
        return NOT_SERVED
    issues = installation.permissions.get("issues", "")
    if run.comment_id and issues not in ("read", "write"):
        return COMMENTS_UNREADABLE
    client = await context.client({**ASK, "issues": "read"} if run.comment_id else ASK)
    full_name = memory.repository.full_name
    login, why = await _login(client, full_name, run, run.asked_by)
    if why:
        return why
    role = await client.role(full_name, login, run.asked_by)
    return "" if may(role, Finetune(), config.permission) else ROLE_LOST


async def _login(client: InstallationClient, full_name: str, run: Run, asked_by: int) -> tuple[str, str]:
    """Return the requester's login as it is now, and why there is none."""
    try:
        if not run.comment_id:
            return await client.user_login(asked_by), ""
        comment = await client.comment(full_name, run.comment_id)
    except NotFound:
        return "", COMMENT_DELETED if run.comment_id else ACCOUNT_DELETED
    if comment.author_id != run.asked_by:  # GitHub hands the comments of deleted accounts to `ghost`
        return "", ACCOUNT_DELETED
    return (comment.author_login, "") if asks_for(comment.body, run) else ("", COMMENT_EDITED)


def asks_for(body: str, run: Run) -> bool:
    """Return whether a comment as it is now is the command that opened the run."""
    command = parse_comment(body)
    if not isinstance(command, Finetune):
        return False
    return (command.force or not run.forced) and command.base_model in ("", run.base_model)
