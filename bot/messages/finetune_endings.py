"""The words of a run that came to no result, of one that is on its way, and of a button that was pressed in vain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bot.messages.finetune_context import Shown
from bot.messages.finetune_details import cost
from bot.messages.markdown import code, prose
from bot.messages.sections import bullets, joined, section
from bot.records import Run, RunEnding, RunState
from pipeline.reports import numbers

ENDED: Final[Mapping[RunEnding | None, str]] = {
    None: "ended, and nothing says how",
    "finished": "finished",
    "crashed": "crashed before there was a result",
    "cancelled": "cancelled before there was a result",
    "timed_out": "ran out of time before there was a result",
    "out_of_budget": "not started: the budget of GPU minutes does not cover it",
    "refused": "not started",
}
_BECAUSE: Final[Mapping[RunEnding | None, str]] = {
    None: "Why is not known.",
    "finished": "",
    "crashed": "This says nothing about the repository: the run itself broke.",
    "cancelled": "Somebody ended it, or what it was started by is not there any more.",
    "timed_out": "A run may take so long and no longer; it was stopped at its limit.",
    "out_of_budget": "The most that a run can take is reserved from the month’s budget before it is queued, and that "
    "much was not left.",
    "refused": "Something stood in its way before it could begin.",
}
_TO_DO: Final[Mapping[RunEnding | None, str]] = {
    None: "{again} to start anew.",
    "finished": "",
    "crashed": "{again} to try once more. If it crashes again, tell whoever runs this server: the reason is above, and "
    "the log of the GPU worker has the rest.",
    "cancelled": "{again} whenever you want it after all.",
    "timed_out": "Whoever runs this server can allow more minutes (`ASSAY_FINETUNE_MINUTES`), fewer seeds or a "
    "smaller base model. `max_minutes` in `.github/assay.yml` may be the limit, too.",
    "out_of_budget": "Wait for the next month (UTC), take a smaller base model, or ask whoever runs this server for "
    "more minutes (`assay budget set`).",
    "refused": "Once that has changed: {again_later}.",
}
_NOTHING_MOVED: Final = "No outcome was counted: the threshold and the ranking are what they were."
_ADVICE: Final = "This holds no merge up. Please never make it a required check."


def render_ending(run: Run, shown: Shown) -> str:
    reason = f"The reason: {prose(run.reason)}" if run.reason else ""
    todo = _TO_DO[run.ending].format(again=shown.try_again, again_later=_lowered(shown.try_again))
    return joined(
        f"**Fine-tuning a language model on the bug fixes of {code(shown.full_name)}: {ENDED[run.ending]}.**",
        bullets(_marks(run)),
        _BECAUSE[run.ending],
        reason,
        _NOTHING_MOVED,
        section("What to do", todo),
        section("What it cost", f"{cost(run)}."),
        _ADVICE,
    )


def _marks(run: Run) -> list[str]:
    audit = ["**Audit**: drawn at random to test a SKIP. Nobody asked for it."] if run.audit else []
    forced = ["**Forced**: the verdict was SKIP, and somebody wanted the run all the same."] if run.forced else []
    return [*audit, *forced]


_STATES: Final[Mapping[RunState, str]] = {
    "waiting": "its training pairs are being gathered",
    "queued": "it waits for a GPU worker",
    "running": "a GPU worker is at it",
    "ended": "it has ended",
}


def render_started(run: Run, shown: Shown) -> tuple[str, str]:
    """Title and summary of a run that has not ended."""
    title = "queued" if run.state in ("waiting", "queued") else "running"
    reserved = ""
    if run.estimated_minutes:
        reserved = f"At most {numbers.minutes(run.estimated_minutes)} of GPU time are reserved for it."
    follow = "`/finetune status` on an issue tells how far it is, `/finetune cancel` ends it."
    return f"{title}: {_STATES[run.state]}", joined(
        f"**Fine-tuning a language model on the bug fixes of {code(shown.full_name)} is on its way.**",
        f"When this was written, {_STATES[run.state]}. {reserved}".rstrip(),
        "Its result will be a new check run of this name on this commit.",
        follow if shown.hears_comments else "",
        _ADVICE,
    )


_REFUSED: Final[Mapping[str, tuple[str, str, str]]] = {
    "archived": (
        "the repository is archived",
        "An archived repository takes no new work.",
        "Unarchive it first.",
    ),
    "observing": (
        "this server only observes",
        "Whoever runs it lets it measure and start nothing.",
        "Ask whoever runs this server.",
    ),
    "no_models": (
        "this server does not fine-tune",
        "No base model is set up here.",
        "`assay pairs PATH --out pairs.parquet`, run on a clone, writes what to train on wherever you have a GPU.",
    ),
    "no_budget": (
        "there is no budget of GPU minutes",
        "Fine-tuning is off until whoever runs this server gives this account GPU minutes.",
        "Ask whoever runs this server (`assay budget set`).",
    ),
    "switched_off": (
        "fine-tuning is switched off here",
        "The configuration of this repository or of its organization says so.",
        "Change `finetune` in `.github/assay.yml` on the default branch.",
    ),
    "lacks_permission": (
        "the App lacks a permission",
        "It needs to read the code and to write check runs.",
        "An owner of the account has to accept the App’s permissions in its settings.",
    ),
    "unknown_model": (
        "that base model is not offered here",
        "Only what whoever runs this server allows can be trained.",
        "Leave the base model out to get the usual one.",
    ),
    "empty": ("there is no commit", "The default branch is empty.", "Push something first."),
    "not_screened": (
        "this repository was not screened yet",
        "A run is judged against the verdict from before it, and there is none yet.",
        "Press **Re-screen** on `assay/screen` or wait for the first verdict.",
    ),
    "screening_failed": (
        "the newest screening failed",
        "A run is judged against the verdict from before it, and there is none.",
        "Press **Re-screen** on `assay/screen` once the cause is gone.",
    ),
    "cannot_train": (
        "there is too little to train on",
        "Too few functions or too few fixes were found in the training window.",
        "Commits that say what they fix (`fix: ...`) are what is counted.",
    ),
    "not_measurable": (
        "a run could not be judged",
        "Too few functions, or too few with a fix, could be held out.",
        "Wait until there is more history, or insist with `/finetune --force` in a comment.",
    ),
    "skip": (
        "the verdict is SKIP",
        "The screening says that fine-tuning is not worth the GPU time here.",
        "Insist with `/finetune --force` in a comment; the run is then marked as forced.",
    ),
    "out_of_budget": (
        "the budget of this month is used up",
        "No GPU minutes are left.",
        "It renews with the next month (UTC); whoever runs this server can raise it (`assay budget set`).",
    ),
    "server_out_of_budget": (
        "the GPU minutes of this server are used up",
        "All accounts on it together have reached its ceiling for this month.",
        "It renews with the next month (UTC); whoever runs this server can raise it.",
    ),
}
_UNKNOWN_REFUSAL: Final = (
    "that cannot be done now",
    "Why was not stored in words that this release knows.",
    "Try again, or ask whoever runs this server.",
)


def render_refusal(key: str, shown: Shown) -> tuple[str, str]:
    """Title and summary of why a button that was pressed started nothing."""
    title, why, todo = _REFUSED.get(key, _UNKNOWN_REFUSAL)
    return f"not started: {title}", joined(
        f"**Fine-tuning {code(shown.full_name)} was not started: {title}.**",
        why,
        section("What to do", todo),
        "Nothing was spent.",
        _ADVICE,
    )


def _lowered(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]
