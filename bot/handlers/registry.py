"""The one place that registers handlers: by job kind, for deliveries, and for every sweep."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from bot.handlers.catch_up import catch_up
from bot.handlers.commands.command import command
from bot.handlers.commands.reply_comment import reply
from bot.handlers.finetuning.prepare import prepare
from bot.handlers.finetuning.result import result
from bot.handlers.finetuning.stale_runs import sweep_runs
from bot.handlers.installations.cleanup import purge, remove_orphans
from bot.handlers.installations.delivery import deliver
from bot.handlers.installations.reconcile import reconcile
from bot.handlers.installations.remove import remove_installation
from bot.handlers.installations.sync import sync_installation, sync_repository
from bot.handlers.recalibrate import recalibrate
from bot.handlers.screening.post_check import post
from bot.handlers.screening.screen import screen
from bot.handlers.server_calibration import follow_server_calibration
from bot.jobs.context import Handlers, SweepTask

HANDLERS: Final = Handlers(
    jobs=MappingProxyType(
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
    ),
    deliver=deliver,
    sweep=(
        SweepTask(sweep_runs),
        SweepTask(catch_up),  # keeps its own period
        SweepTask(follow_server_calibration, every_s=60.0),
        SweepTask(remove_orphans, every_s=600.0),  # each worker cleans its own disk
    ),
)
