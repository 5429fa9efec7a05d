"""What a command is answered with where the answer is no run: refusals, help, how things stand, what was cancelled.

Markdown; nothing that a person wrote in a command stands in it, and what is foreign otherwise is inert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from bot.commands.decide import NEEDS, RefusalKey, lacking, why_off
from bot.commands.facts import Facts
from bot.commands.grammar import USAGES, Help, Status, Unclear
from bot.commands.permission import who_may
from bot.messages.markdown import code, prose
from bot.messages.outcome_text import headline
from bot.messages.run_comment import FINETUNE_CHECK, bullets, sections
from bot.records import Run
from pipeline.label_recipe import MIN_HELD_OUT, MIN_HELD_OUT_POSITIVES
from pipeline.reports import numbers

MOST_NAMED: Final = 20  # models, reasons
NOTHING_STARTED: Final = "Nothing was started."
_PURPOSES: Final = {
    "judge": "fine-tuning",
    "refit": "training once more after a win",
    "score": "ranking a newer commit by the adapter",
}
_STATES: Final = {"waiting": "being prepared", "queued": "queued", "running": "running"}


def marker(reply_id: int) -> str:
    """Unseen in the comment; what it is found by after a crash between writing it and noting its number."""
    return f"<!-- assay:reply {reply_id} -->"


def render_answer(command: Status | Help | Unclear, facts: Facts) -> str:
    match command:
        case Status():
            return render_status(facts)
        case Help():
            return render_help(facts)
        case Unclear(nearest):
            said = "This is no command that Assay knows, so nothing was done."
            return sections(f"**{said}**", f"The nearest is `{nearest}`: {_lowered(USAGES[nearest])}", _MORE)


_MORE: Final = "`/assay help` lists all of them. A command is the first line of a new comment; an edit is not read."


def render_help(facts: Facts) -> str:
    return sections(
        "**What can be asked for in the first line of a new comment:**",
        bullets(f"`{usage}`: {does}" for usage, does in USAGES.items()),
        f"Runs are started and ended, and repositories measured again, by whoever has the role "
        f"{who_may(facts.config.permission)} here; the other commands answer whoever has write.",
        _models(facts.models),
        _budget(facts),
    )


def render_status(facts: Facts) -> str:
    ended = [run for run in facts.runs if run.state == "ended" and run.purpose == "judge"]
    lines = [
        _verdict(facts),
        *map(_open_run, facts.open_runs),
        "" if facts.open_runs else "No run is open.",
        _last(ended[0]) if ended else "No run has ended yet.",
        _paused(facts),
        _budget(facts),
    ]
    stop = "To stop what is open, comment `/finetune cancel`." if facts.open_runs else ""
    return sections(
        f"**How {code(facts.full_name)} stands** on {facts.now:%Y-%m-%d at %H:%M} UTC:",
        bullets(lines),
        f"This comment stays as it is. {stop}".rstrip(),
    )


def render_cancelled(runs: Iterable[Run], facts: Facts) -> str:
    """`runs`: as they are after they were told to end."""
    told = [f"The run at {_sha(run)} ({_PURPOSES[run.purpose]}) {_how_it_ends(run)}" for run in runs]
    if not told:
        return sections("**Nothing to cancel:** no run is open.", "`/finetune status` says how things stand.")
    advice = "Minutes that were reserved and not spent are given back. To run again, comment `/finetune`."
    return sections("**Cancelled.**", bullets(told), advice)


def render_refusal(key: str, facts: Facts | None = None) -> str:
    """Why nothing was started, and what to do. Without facts it tells no numbers."""
    words = _REFUSALS.get(key)  # type: ignore[call-overload]  # a key may be of another release
    opening, lines, advice = words(facts) if words else ("This run is not started.", [], "`/assay help` says more.")
    return sections(f"**{opening}**", bullets(lines), f"{NOTHING_STARTED} {advice}".rstrip())


_Words = tuple[str, list[str], str]  # opening, points, what to do


def _plain(opening: str, advice: str) -> Callable[[Facts | None], _Words]:
    return lambda facts: (opening, [], advice)


def _lacks_permission(facts: Facts | None) -> _Words:
    needed = [f"`{name}`: {NEEDS[name][0]}" for name in (lacking(facts) if facts else NEEDS)]
    return "The App lacks permissions that a run takes.", needed, "An owner can grant them in the App’s installation."


def _unknown_model(facts: Facts | None) -> _Words:
    named = [code(name) for name in (facts.models if facts else ())[:MOST_NAMED]]
    advice = "An operator decides which may be used. Without `--base-model` the usual one is taken."
    return "That base model may not be used here.", [f"{name} may be used" for name in named], advice


def _screening_failed(facts: Facts | None) -> _Words:
    failure = facts.screening.failure if facts and facts.screening else ""
    why = [f"Reason: {prose(failure)}"] if failure else []
    advice = "Once the cause is gone, comment `/screen`, then `/finetune`."
    return "This repository could not be measured, so nothing is known of what a run would bring.", why, advice


def _cannot_train(facts: Facts | None) -> _Words:
    advice = "The check run `assay/screen` says what would change it."
    return "There is too little history or code to train on.", _reasons(facts)[:1], advice


def _not_measurable(facts: Facts | None) -> _Words:
    found = facts.verdict() if facts else None
    few = f"at least {MIN_HELD_OUT} held-out functions, {MIN_HELD_OUT_POSITIVES} of them with a fix"
    lines = [f"To judge a run takes {few}."]
    if found is not None:
        held_out, positives = found[0].held_out, found[0].held_out_positives
        lines.append(f"Here about {numbers.counted(held_out, 'function')} would be held out, {positives:,} with a fix.")
    advice = "`/finetune --force` trains all the same; expect no answer (INCONCLUSIVE)."
    return "A run could not be judged here, so its outcome would tell nothing.", lines, advice


def _skip(facts: Facts | None) -> _Words:
    advice = (
        "Use the ranking instead: the check run `assay/screen`, or `assay rank PATH` on a clone, says where to look "
        "first. `/finetune --force` trains all the same, marked as forced."
    )
    return "The verdict is SKIP: fine-tuning is not expected to be worth the GPU time.", _reasons(facts), advice


def _out_of_budget(facts: Facts | None) -> _Words:
    lines = [_budget(facts), f"It renews on {facts.renews_on:%Y-%m-%d} (UTC)."] if facts else []
    advice = "Runs that end before their time give minutes back, and an operator can raise the budget."
    return "This month’s budget of GPU minutes is spent or reserved.", lines, advice


def _server_out_of_budget(facts: Facts | None) -> _Words:
    lines = [f"It renews on {facts.renews_on:%Y-%m-%d} (UTC)."] if facts else []
    return "This server’s own ceiling of GPU minutes for the month is reached.", lines, "An operator can raise it."


_REFUSALS: Final[Mapping[RefusalKey, Callable[[Facts | None], _Words]]] = {
    "archived": _plain("This repository is archived.", ""),
    "observing": _plain("This server only observes.", "Its operator has it measure, and start and post nothing."),
    "no_models": _plain(
        "This server does not fine-tune: its operator allows no base model.",
        "`assay pairs PATH --out pairs.parquet`, run on a clone, writes the functions with their signals, and you can "
        "train on that file wherever you have a GPU.",
    ),
    "no_budget": _plain(
        "Fine-tuning is off here: there is no budget of GPU minutes for this installation.",
        "Whoever operates this server can give it one: `assay budget set`.",
    ),
    "switched_off": _plain(
        "Fine-tuning is switched off in the configuration of this repository or its organization.",
        "`finetune.enabled` in `.github/assay.yml` says so.",
    ),
    "lacks_permission": _lacks_permission,
    "unknown_model": _unknown_model,
    "empty": _plain("The default branch has no commit.", "There is nothing to train on."),
    "not_screened": _plain(
        "This repository has not been measured yet, so nothing is known of what a run would bring.",
        "Comment `/screen`, wait for the check run `assay/screen`, then comment `/finetune`.",
    ),
    "screening_failed": _screening_failed,
    "cannot_train": _cannot_train,
    "not_measurable": _not_measurable,
    "skip": _skip,
    "out_of_budget": _out_of_budget,
    "server_out_of_budget": _server_out_of_budget,
}


def _reasons(facts: Facts | None) -> list[str]:
    found = facts.verdict() if facts else None
    return [] if found is None else [prose(reason) for reason in found[1].reasons[:MOST_NAMED]]


def _models(names: tuple[str, ...]) -> str:
    named = ", ".join(code(name) for name in names[:MOST_NAMED])
    return f"Base models that may be used, the usual one first: {named}." if named else ""


def _budget(facts: Facts) -> str:
    if off := why_off(facts):
        return f"No run can be started: {_lowered(_REFUSALS[off](facts)[0])}"
    assert facts.budget is not None  # else it is off
    left, whole = max(0.0, facts.minutes_left), facts.budget.monthly_minutes
    return f"Left of this month’s budget: {left:,.0f} of {whole:,.0f} GPU minutes."


def _paused(facts: Facts) -> str:
    why = facts.gpu.paused_because
    return f"An operator has paused the GPUs. Reason: {prose(why)}" if why else ""


def _verdict(facts: Facts) -> str:
    if facts.screening is None:
        return "It has not been measured yet."
    found, on = facts.verdict(), f"{facts.screening.measured_at:%Y-%m-%d}"
    return f"Measured on {on}: {prose(found[1].words)}." if found else f"It could not be measured on {on}."


def _open_run(run: Run) -> str:
    state = "being cancelled" if run.cancel_asked else f"{_STATES[run.state]} since {_since(run)}"
    return f"{_PURPOSES[run.purpose].capitalize()} at {_sha(run)}: {state}."


def _since(run: Run) -> str:
    at = {"waiting": run.made_at, "queued": run.queued_at, "running": run.started_at}[run.state] or run.made_at
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _last(run: Run) -> str:
    if run.ending == "finished":
        return f"The last run, at {_sha(run)}: {headline(run.result)} Details: the check run `{FINETUNE_CHECK}` there."
    why = f" Reason: {prose(run.reason)}" if run.reason else ""
    return f"The last run, at {_sha(run)}, ended without an outcome ({(run.ending or '').replace('_', ' ')}).{why}"


def _how_it_ends(run: Run) -> str:
    if run.state == "ended":
        return "has ended." if run.ending == "cancelled" else "had ended before."
    return "ends as soon as its GPU worker hears of it. What it took until then counts."


def _lowered(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _sha(run: Run) -> str:
    return code(run.head_sha[:7])
