"""The text of `assay/finetune` for a run without a result: one that failed, and one that is still open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bot.messages.check_run import NEVER_BLOCKS
from bot.messages.finetune_context import FinetuneContext
from bot.messages.finetune_details import cost
from bot.messages.markdown import bullets, code, paragraphs, prose, section, uncapitalized
from bot.messages.run_text import ending_of, origin
from bot.records import Run, RunState
from pipeline.reports import numbers

_NOTHING_COUNTED: Final = "No outcome was counted: the threshold and the ranking are unchanged."
_STATES: Final[Mapping[RunState, str]] = {
    "waiting": "queued: collecting training pairs",
    "queued": "queued: waiting for a GPU worker",
    "running": "running on a GPU worker",
    "ended": "ended",
}


def render_ending(run: Run, context: FinetuneContext) -> str:
    """Return the summary of a run that ended without a result."""
    ending = ending_of(run)
    to_do = ending.to_do.format(again=context.try_again, then_again=uncapitalized(context.try_again))
    return paragraphs(
        f"**{_fine_tuning(context)} {ending.predicate}.**",
        bullets(origin(run)),
        ending.why,
        f"Reason: {prose(run.reason)}" if run.reason else "",
        _NOTHING_COUNTED,
        section("What to do", to_do),
        section("What it cost", f"{cost(run)}."),
        NEVER_BLOCKS,
    )


def render_started(run: Run, context: FinetuneContext) -> tuple[str, str]:
    """Return title and summary of a run that has not ended."""
    reserved = ""
    if run.estimated_minutes:
        reserved = f"Up to {numbers.minutes(run.estimated_minutes)} of GPU time are reserved for it."
    commands = "Comment `/finetune status` on an issue to see its progress, or `/finetune cancel` to stop it."
    return _STATES[run.state], paragraphs(
        f"**{_fine_tuning(context)} is under way.**",
        f"When this was posted, the run was {_STATES[run.state]}. {reserved}".rstrip(),
        "Its result will be a new check run of the same name on this commit.",
        commands if context.comments_enabled else "",
        NEVER_BLOCKS,
    )


def _fine_tuning(context: FinetuneContext) -> str:
    return f"Fine-tuning a language model on the bug fixes of {code(context.full_name)}"
