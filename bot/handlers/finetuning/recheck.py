"""Asked of GitHub once more when a run's turn comes: is the command still there, and may whoever gave it still give it?

The one module of this folder that asks anybody anything.
"""

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
from bot.records import Run
from bot.repo_config.effective import load_effective_config
from bot.store.installations import load_installation
from bot.store.repositories import load_repository


async def still_allowed(context: JobContext, run: Run) -> str:
    """Why a run must not go on, in words; empty where it may. Runs that nobody asked for may. Raises GitHubError."""
    if not run.asked_by:
        return ""
    async with context.parts.database.read() as connection:
        installation = await load_installation(connection, run.installation_id)
        memory = await load_repository(connection, run.installation_id, run.repository_id)
        config = await load_effective_config(connection, context.parts.policy, run.installation_id, run.repository_id)
    if installation is None or memory is None or installation.state != "active":
        return NOT_SERVED
    issues = installation.permissions.get("issues", "")
    if run.comment_id and issues not in ("read", "write"):
        return COMMENTS_UNREADABLE
    client = await context.client({**ASK, "issues": "read"} if run.comment_id else ASK)
    full_name = memory.repository.full_name
    login, why = await _login(client, full_name, run)
    if why:
        return why
    role = await client.role(full_name, login, run.asked_by)
    return "" if may(role, Finetune(), config.permission) else ROLE_LOST


async def _login(client: InstallationClient, full_name: str, run: Run) -> tuple[str, str]:
    """The login that whoever asked has now; or why there is nobody to ask for."""
    try:
        if not run.comment_id:
            return await client.user_login(run.asked_by), ""
        comment = await client.comment(full_name, run.comment_id)
    except NotFound:
        return "", COMMENT_DELETED if run.comment_id else ACCOUNT_DELETED
    if comment.author_id != run.asked_by:  # GitHub gives the comments of accounts that are gone to one of its own
        return "", ACCOUNT_DELETED
    return (comment.author_login, "") if asks_for(comment.body, run) else ("", COMMENT_EDITED)


def asks_for(body: str, run: Run) -> bool:
    """Whether a comment as it is now is the command that a run was opened for."""
    command = parse_comment(body)
    if not isinstance(command, Finetune):
        return False
    return (command.force or not run.forced) and command.base_model in ("", run.base_model)
