"""Which handler does which kind of job: the one place where all are registered."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bot.jobs.command import command
from bot.jobs.post import post
from bot.jobs.prepare import prepare
from bot.jobs.purge import purge
from bot.jobs.recalibrate import recalibrate
from bot.jobs.reconcile import reconcile
from bot.jobs.remove import remove_installation
from bot.jobs.reply import reply
from bot.jobs.result import result
from bot.jobs.screen import screen
from bot.jobs.sync import sync_installation, sync_repository
from bot.jobs.work import Handler
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
