"""A run as the comment that answers a command tells it, from beginning to end. Markdown; what is foreign is inert.

Whatever is said is true when it is said: numbers come from the rows, and what only may be is told as that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.commands.facts import NEITHER_PAUSED_NOR_BOUNDED, NOTHING_USED
from bot.messages.markdown import code, prose
from bot.messages.outcome_text import headline, render_figures
from bot.records import Budget, GpuState, Run, RunEnding, Usage
from bot.run_progress import load_progress
from pipeline.reports import numbers

BAR: Final = 20  # characters
FINETUNE_CHECK: Final = "assay/finetune"


@dataclass(frozen=True)
class Told:
    """What is told of a run beside what its row holds."""

    now: datetime
    full_name: str
    budget: Budget | None = None
    usage: Usage = NOTHING_USED  # of the month whose budget pays for it
    gpu: GpuState = NEITHER_PAUSED_NOR_BOUNDED
    ahead: int = 0  # queued runs of this server that have waited longer
    joined: bool = False  # another command had asked for it before
    others: tuple[Run, ...] = ()  # of this repository, open, at other commits
    change: str = ""  # what its outcome did to the threshold


def render_run(run: Run, told: Told) -> str:
    """The whole comment."""
    if run.state == "ended":
        return _ENDINGS.get(run.ending, _crashed)(run, told)
    return _open(run, told)


def _open(run: Run, told: Told) -> str:
    states = {"waiting": _waiting, "queued": _queued, "running": _running}
    opening = (_being_cancelled if run.cancel_asked else states[run.state])(run, told)
    lines = [*opening[1:], *_marks(run, told), *_others(told)]
    return sections(f"**{opening[0]}**", bullets([_what(run, told), *lines]), _how_to_stop(run))


def _what(run: Run, told: Told) -> str:
    return f"Fine-tuning of {code(told.full_name)} at {_sha(run)}, base model {code(run.base_model)}."


def _waiting(run: Run, told: Told) -> list[str]:
    return [
        "Preparing.",
        "The training pairs are being gathered from the history. What the run can take at most is estimated then, and "
        "reserved from this month’s budget before anything is trained.",
        _left(told),
    ]


def _queued(run: Run, told: Told) -> list[str]:
    if run.started_at is None:
        said = ["Queued.", _position(told)]
    else:
        why = f" What happened: {prose(run.reason)}" if run.reason else ""
        said = ["Waiting for a GPU worker to go on.", f"It was begun, and goes on from its last checkpoint.{why}"]
    if told.gpu.paused_because:
        said.append(
            f"An operator has paused the GPUs; it waits until they go on. Reason: {prose(told.gpu.paused_because)}"
        )
    return [*said, _reserved(run), _left(told)]


def _running(run: Run, told: Told) -> list[str]:
    again = f"Attempt {run.attempts}: it went on from its last checkpoint." if run.attempts > 1 else ""
    return ["Running.", *_progress(run), again, _reserved(run), _left(told)]


def _being_cancelled(run: Run, told: Told) -> list[str]:
    return ["Being cancelled.", "It ends as soon as its GPU worker hears of it. What it took until then counts."]


def _progress(run: Run) -> list[str]:
    """What the GPU worker said last."""
    progress = load_progress(run.progress)
    if progress is None:
        return ["It has begun."]
    number = f", seed {progress.seed:,} of {progress.seeds:,}" if 0 < progress.seed <= progress.seeds else ""
    said = [f"{_raised(prose(progress.phase))}{number}.", _bar(progress.step, progress.steps)]
    if progress.minutes_left is not None:
        said.append(f"About {numbers.counted(_minutes_left(run, progress.minutes_left), 'minute')} left.")
    if progress.rho is not None:
        said.append(
            f"Validation ρ so far {progress.rho:.3f}. It chooses how long to train, and says nothing about the outcome."
        )
    return said


def _minutes_left(run: Run, expected: float) -> int:
    """On a slow machine more may be expected than is allowed: what is left of the reservation is the end of it."""
    if run.estimated_minutes:
        expected = min(expected, run.estimated_minutes - run.spent_minutes)
    return max(1, math.ceil(expected))


def _bar(step: int, steps: int) -> str:
    if not 0 < step <= steps:
        return ""
    done = step * BAR // steps
    return f"`[{'#' * done}{'.' * (BAR - done)}]` step {step:,} of {steps:,}"


def _position(told: Told) -> str:
    if told.ahead == 0:
        return "No run of this server has waited longer."
    runs = "1 run of this server has" if told.ahead == 1 else f"{told.ahead:,} runs of this server have"
    return f"{runs} waited longer. Organizations take turns."


def _reserved(run: Run) -> str:
    if run.estimated_minutes <= 0:
        return ""
    return (
        f"It can take {_minutes(run.estimated_minutes)} at most: all seeds, scoring, and training once more after a "
        "win. So much is reserved from the budget; what it does not take is given back."
    )


def _left(told: Told) -> str:
    if told.budget is None:
        return "The budget of this organization was taken back: no GPU worker takes a run until there is one again."
    left = max(0.0, told.budget.monthly_minutes - told.usage.total)
    return (
        f"Left of the month’s budget beside what is reserved: {left:,.0f} of {_minutes(told.budget.monthly_minutes)}."
    )


def _marks(run: Run, told: Told) -> list[str]:
    said = []
    if run.forced:
        said.append("Forced: the verdict is SKIP, which advises against it.")
    if run.audit:
        said.append("Drawn at random among the SKIPs, to test whether they are right.")
    if told.joined:
        said.append("Another command had asked for it first: there is one run at a time for a commit.")
    return said


def _others(told: Told) -> list[str]:
    return [f"An earlier run, at {_sha(other)}, goes on beside it." for other in told.others]


def _how_to_stop(run: Run) -> str:
    goes_on = (
        f"This comment follows the run. What comes out is posted as the check run `{FINETUNE_CHECK}` on {_sha(run)}."
    )
    return goes_on if run.cancel_asked else f"{goes_on}\n\nTo stop it, comment `/finetune cancel`."


def _finished(run: Run, told: Told) -> str:
    lines = [*render_figures(run.result), *_marks(run, told), told.change, _spent(run)]
    details = f"All rankings and what to use from now on: the check run `{FINETUNE_CHECK}` on {_sha(run)}."
    return sections(f"**{headline(run.result)}**", bullets([_what(run, told), *lines]), details)


def _ended(opening: str, advice: str) -> Callable[[Run, Told], str]:
    """An ending without an outcome."""

    def render(run: Run, told: Told) -> str:
        why = f"Reason: {prose(run.reason)}" if run.reason else ""
        return sections(f"**{opening}**", bullets([_what(run, told), why, *_marks(run, told), _spent(run)]), advice)

    return render


_AGAIN = "To try again, comment `/finetune`."
_crashed = _ended("Crashed: the run ended without an outcome.", f"The operator’s log says more. {_AGAIN}")
_ENDINGS: Final[Mapping[RunEnding | None, Callable[[Run, Told], str]]] = {
    "finished": _finished,
    "crashed": _crashed,
    "cancelled": _ended("Cancelled: the run ended without an outcome.", f"It is not running any more. {_AGAIN}"),
    "timed_out": _ended(
        "Timed out: the run took longer than it may and ended without an outcome.",
        "A smaller base model or fewer seeds take less time; an operator can allow more.",
    ),
    "out_of_budget": _ended(
        "Out of budget: the run ended without an outcome.",
        "The budget is of a calendar month (UTC). An operator can raise it, and `/finetune` asks again.",
    ),
    "refused": _ended("Refused: the run ended without an outcome.", "`/finetune` asks again once the reason is gone."),
}


def _spent(run: Run) -> str:
    return f"It took {_minutes(run.spent_minutes)}." if run.spent_minutes > 0 else ""


def _minutes(value: float) -> str:
    """GPU minutes, rounded up so that nobody is told less than there is."""
    return numbers.counted(math.ceil(value), "GPU minute")


def _sha(run: Run) -> str:
    return code(run.head_sha[:7])


def _raised(words: str) -> str:
    return words[:1].upper() + words[1:]


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines if line)


def sections(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)
