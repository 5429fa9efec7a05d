"""Which handler does which kind of job: the one place where all are registered."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bot.handlers.commands.command import command
from bot.handlers.commands.reply_comment import reply
from bot.handlers.finetuning.prepare import prepare
from bot.handlers.finetuning.result import result
from bot.handlers.installations.cleanup import purge
from bot.handlers.installations.reconcile import reconcile
from bot.handlers.installations.remove import remove_installation
from bot.handlers.installations.sync import sync_installation, sync_repository
from bot.handlers.recalibrate import recalibrate
from bot.handlers.screening.post_check import post
from bot.handlers.screening.screen import screen
from bot.jobs.context import Handler
from bot.records import JobKind

HANDLERS: Final[Mapping[JobKind, Handler]] = MappingProxyType(
    {
        "sync_installation": sync_installation,
        "remove_installation": remove_installation,
        "sync_repository": sync_repository,
        "screen": screen,
        "post": post,
        "command": command,
        "prepare": prepare,
        "reply": reply,
        "result": result,
        "recalibrate": recalibrate,
        "reconcile": reconcile,
        "purge": purge,
    }
)
