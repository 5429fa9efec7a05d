"""The comment that replies to a command and follows its run from beginning to end.

Every statement is true when written: figures come from stored rows, and upper limits are worded as such.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.commands.facts import NEITHER_PAUSED_NOR_BOUNDED, NOTHING_USED
from bot.messages.check_run import FINETUNE
from bot.messages.markdown import bullets, capitalized, code, paragraphs, prose, short_sha
from bot.messages.outcome_text import headline, render_figures
from bot.messages.run_text import ending_of, gpu_minutes, origin
from bot.records import Budget, GpuState, Run, Usage
from bot.run_progress import load_progress
from pipeline.reports import numbers

BAR_WIDTH: Final = 20  # characters


@dataclass(frozen=True)
class RunContext:
    """Everything that the comment shows besides the run's row."""

    now: datetime
    full_name: str
    budget: Budget | None = None
    usage: Usage = NOTHING_USED  # of the month whose budget pays for the run
    gpu: GpuState = NEITHER_PAUSED_NOR_BOUNDED
    ahead: int = 0  # queued runs of this server that have waited longer
    joined: bool = False  # another command requested the run before
    others: tuple[Run, ...] = ()  # open runs of this repository at other commits
    change: str = ""  # effect of the outcome on the threshold


def render_run(run: Run, context: RunContext) -> str:
    """Return the whole comment."""
    if run.state != "ended":
        return _open(run, context)
    return _finished(run, context) if run.ending == "finished" else _ended(run, context)


def _open(run: Run, context: RunContext) -> str:
    states = {"waiting": _waiting, "queued": _queued, "running": _running}
    heading, *lines = (_being_cancelled if run.cancel_asked else states[run.state])(run, context)
    return paragraphs(
        f"**{heading}**",
        bullets([_subject(run, context), *lines, *_marks(run, context), *_others(context)]),
        "This comment is updated as the run goes on. The result will be posted as the check run "
        f"`{FINETUNE}` on {short_sha(run.head_sha)}.",
        "" if run.cancel_asked else "To stop it, comment `/finetune cancel`.",
    )


def _finished(run: Run, context: RunContext) -> str:
    return paragraphs(
        f"**{headline(run.result)}**",
        bullets(
            [
                _subject(run, context),
                *render_figures(run.result),
                *_marks(run, context),
                context.change,
                _used(run),
            ]
        ),
        f"For all rankings and what to use from now on, see the check run `{FINETUNE}` on {short_sha(run.head_sha)}.",
    )


def _ended(run: Run, context: RunContext) -> str:
    ending, reason = ending_of(run), f"Reason: {prose(run.reason)}" if run.reason else ""
    return paragraphs(
        f"**{ending.sentence}**",
        bullets([_subject(run, context), reason, *_marks(run, context), _used(run)]),
        ending.to_do.format(again="Comment `/finetune`", then_again="comment `/finetune`"),
    )


def _subject(run: Run, context: RunContext) -> str:
    base_model = code(run.base_model)
    return f"Fine-tuning {code(context.full_name)} at {short_sha(run.head_sha)} with the base model {base_model}."


def _waiting(run: Run, context: RunContext) -> list[str]:
    return [
        "Preparing.",
        "Collecting training pairs from the history. The most that the run can take is then estimated, and reserved "
        "from this month’s budget before anything is trained.",
        _budget(context),
    ]


def _queued(run: Run, context: RunContext) -> list[str]:
    if run.started_at is None:
        lines = ["Queued.", _position(context)]
    else:
        reason = f" Reason: {prose(run.reason)}" if run.reason else ""
        lines = ["Waiting for a GPU worker to resume it.", f"It will resume from its last checkpoint.{reason}"]
    if context.gpu.paused_because:
        lines.append(
            "The operator has paused the GPUs; the run waits until they resume. "
            f"Reason: {prose(context.gpu.paused_because)}"
        )
    return [*lines, _reserved(run), _budget(context)]


def _running(run: Run, context: RunContext) -> list[str]:
    resumed = f"Attempt {run.attempts}, resumed from the last checkpoint." if run.attempts > 1 else ""
    return ["Running.", *_progress(run), resumed, _reserved(run), _budget(context)]


def _being_cancelled(run: Run, context: RunContext) -> list[str]:
    return [
        "Being cancelled.",
        "It stops as soon as its GPU worker receives the request. The time until then counts against the budget.",
    ]


def _progress(run: Run) -> list[str]:
    """Return what the GPU worker last reported."""
    progress = load_progress(run.progress)
    if progress is None:
        return ["It has started."]
    seed = f", seed {progress.seed:,} of {progress.seeds:,}" if 0 < progress.seed <= progress.seeds else ""
    lines = [f"{capitalized(prose(progress.phase))}{seed}.", _bar(progress.step, progress.steps)]
    if progress.minutes_left is not None:
        lines.append(f"About {numbers.counted(_minutes_left(run, progress.minutes_left), 'minute')} left.")
    if progress.rho is not None:
        lines.append(
            f"Validation ρ so far: {numbers.rho(progress.rho)}. It decides how long to train and says nothing about "
            "the outcome."
        )
    return lines


def _minutes_left(run: Run, expected: float) -> int:
    """Return the expected minutes, at most what is left of the reservation: the run is stopped there."""
    if run.estimated_minutes:
        expected = min(expected, run.estimated_minutes - run.spent_minutes)
    return max(1, math.ceil(expected))


def _bar(step: int, steps: int) -> str:
    if not 0 < step <= steps:
        return ""
    done = step * BAR_WIDTH // steps
    return f"`[{'#' * done}{'.' * (BAR_WIDTH - done)}]` step {step:,} of {steps:,}"


def _position(context: RunContext) -> str:
    if context.ahead == 0:
        return "No run on this server has been waiting longer."
    runs = "1 run on this server has" if context.ahead == 1 else f"{context.ahead:,} runs on this server have"
    return f"{runs} been waiting longer. Organizations take turns."


def _reserved(run: Run) -> str:
    if run.estimated_minutes <= 0:
        return ""
    return (
        f"It can take up to {gpu_minutes(run.estimated_minutes)}, for all seeds, scoring, and retraining after a win. "
        "They are reserved from the budget; unused minutes are returned."
    )


def _budget(context: RunContext) -> str:
    if context.budget is None:
        return "This account’s GPU budget was withdrawn: no GPU worker takes the run until there is one again."
    left = max(0.0, context.budget.monthly_minutes - context.usage.total)
    return (
        f"Left of the month’s budget after reservations: {left:,.0f} of {gpu_minutes(context.budget.monthly_minutes)}."
    )


def _marks(run: Run, context: RunContext) -> list[str]:
    joined = "Another command had already requested this run; each commit has at most one at a time."
    return [*origin(run), *([joined] if context.joined else [])]


def _others(context: RunContext) -> list[str]:
    return [f"An earlier run, at {short_sha(other.head_sha)}, is still open." for other in context.others]


def _used(run: Run) -> str:
    return f"It used {gpu_minutes(run.spent_minutes)}." if run.spent_minutes > 0 else ""
