"""Replies to commands that are not about one run: help, status, what was cancelled, and what is not a command.

They quote nothing that a person wrote in a command; other foreign text is inert.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bot.commands.decide import why_off
from bot.commands.facts import Facts
from bot.commands.grammar import USAGES, Help, Status, Unclear
from bot.commands.permission import who_may
from bot.messages.check_run import FINETUNE
from bot.messages.markdown import bullets, capitalized, code, paragraphs, prose, short_sha, uncapitalized
from bot.messages.outcome_text import headline
from bot.messages.refusals import MAX_LISTED, minutes_left, refusal_of
from bot.messages.run_text import ending_of
from bot.messages.verdict_text import verdict_words
from bot.records import Run

_PURPOSES: Final = {
    "judge": "fine-tuning",
    "refit": "retraining after a win",
    "score": "ranking a newer commit with the adapter",
}
_STATES: Final = {"waiting": "being prepared", "queued": "queued", "running": "running"}
_MORE: Final = (
    "`/assay help` lists all commands. A command must be the first line of a new comment; edits are not read."
)


def marker(reply_id: int) -> str:
    """Return an invisible marker, by which a comment is found if we crash before its id is stored."""
    return f"<!-- assay:reply {reply_id} -->"


def render_reply(command: Status | Help | Unclear, facts: Facts) -> str:
    """Return the reply to a command that changes nothing."""
    match command:
        case Status():
            return render_status(facts)
        case Help():
            return render_help(facts)
        case Unclear(nearest):
            return paragraphs(
                "**Assay does not know this command, so nothing was done.**",
                f"The closest one is `{nearest}`: {uncapitalized(USAGES[nearest])}",
                _MORE,
            )


def render_help(facts: Facts) -> str:
    """Return the commands, who may use them and what is left of the budget."""
    return paragraphs(
        "**Write one of these commands in the first line of a new comment:**",
        bullets(f"`{usage}`: {effect}" for usage, effect in USAGES.items()),
        "Starting and cancelling runs and measuring again require the role "
        f"{who_may(facts.config.permission)}; the other commands require write.",
        _models(facts.models),
        _budget(facts),
    )


def render_status(facts: Facts) -> str:
    """Return the verdict, the open runs, the last result and the budget."""
    ended = [run for run in facts.runs if run.state == "ended" and run.purpose == "judge"]
    lines = [
        _verdict(facts),
        *map(_open_run, facts.open_runs),
        "" if facts.open_runs else "No run is open.",
        _last_run(ended[0]) if ended else "No run has ended yet.",
        _paused(facts),
        _budget(facts),
    ]
    stop = "To stop all open runs, comment `/finetune cancel`." if facts.open_runs else ""
    return paragraphs(
        f"**Status of {code(facts.full_name)}** on {facts.now:%Y-%m-%d at %H:%M} UTC:",
        bullets(lines),
        f"This comment will not be updated. {stop}".rstrip(),
    )


def render_cancelled(runs: Iterable[Run], facts: Facts) -> str:
    """Return what became of `runs`, which are as they were after the command to cancel them."""
    lines = [f"The run at {short_sha(run.head_sha)} ({_PURPOSES[run.purpose]}) {_how_it_ends(run)}" for run in runs]
    if not lines:
        return paragraphs("**Nothing to cancel:** no run is open.", "`/finetune status` shows the current state.")
    advice = "Minutes that were reserved and not used are returned to the budget. To run again, comment `/finetune`."
    return paragraphs("**Cancelled.**", bullets(lines), advice)


def _models(names: tuple[str, ...]) -> str:
    listed = ", ".join(code(name) for name in names[:MAX_LISTED])
    return f"Allowed base models, the default first: {listed}." if listed else ""


def _budget(facts: Facts) -> str:
    if off := why_off(facts):
        return f"No run can be started: {refusal_of(off).title}."
    return minutes_left(facts)


def _paused(facts: Facts) -> str:
    reason = facts.gpu.paused_because
    return f"The operator has paused the GPUs. Reason: {prose(reason)}" if reason else ""


def _verdict(facts: Facts) -> str:
    if facts.screening is None:
        return "Not measured yet."
    verdict, day = facts.verdict(), f"{facts.screening.measured_at:%Y-%m-%d}"
    return f"Measured on {day}: {prose(verdict_words(*verdict))}." if verdict else f"Could not be measured on {day}."


def _open_run(run: Run) -> str:
    state = "being cancelled" if run.cancel_asked else f"{_STATES[run.state]} since {_since(run)}"
    return f"{capitalized(_PURPOSES[run.purpose])} at {short_sha(run.head_sha)}: {state}."


def _since(run: Run) -> str:
    at = {"waiting": run.made_at, "queued": run.queued_at, "running": run.started_at}[run.state] or run.made_at
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _last_run(run: Run) -> str:
    at = short_sha(run.head_sha)
    if run.ending == "finished":
        return f"Last run, at {at}: {headline(run.result)} Details: the check run `{FINETUNE}` on that commit."
    reason = f" Reason: {prose(run.reason)}" if run.reason else ""
    return f"Last run, at {at}: {ending_of(run).title}.{reason}"


def _how_it_ends(run: Run) -> str:
    if run.state == "ended":
        return "was cancelled." if run.ending == "cancelled" else "had already ended."
    return "stops as soon as its GPU worker receives the request. The time until then counts against the budget."
