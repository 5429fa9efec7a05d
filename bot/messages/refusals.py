"""The table of refusals: why a request starts nothing, and what to do about it.

Comment replies and check runs render the same entry. A reply also knows the facts that the decision was made from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from bot.commands.decide import NEEDS, RefusalKey, lacking
from bot.commands.facts import Facts
from bot.messages.check_run import NEVER_BLOCKS
from bot.messages.markdown import bullets, capitalized, code, paragraphs, prose, section, uncapitalized
from pipeline.label_recipe import MIN_HELD_OUT, MIN_HELD_OUT_POSITIVES
from pipeline.reports import numbers

MAX_LISTED: Final = 20  # models, reasons
EXPORT_PAIRS: Final = (
    "`assay pairs PATH --out pairs.parquet`, run on a clone, exports the functions with their signals, so that you can "
    "train wherever you have a GPU."
)
_FORCE: Final = "To train anyway, comment `/finetune --force`; the run is then marked as forced."


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing was started. `to_do` may contain {rescreen}, {then_rescreen} and {force}."""

    title: str  # continues "not started: "
    why: str
    to_do: str
    details: Callable[[Facts], list[str]] = lambda facts: []

    @property
    def sentence(self) -> str:
        """Return title and reason as prose."""
        return f"{capitalized(self.title)}. {self.why}"

    def advice(self, *, comments_enabled: bool) -> str:
        """Return what to do, for people who can or cannot give commands in comments."""
        rescreen = "Comment `/screen`" if comments_enabled else "Press **Re-screen** on `assay/screen`"
        force = _FORCE if comments_enabled else ""
        return self.to_do.format(rescreen=rescreen, then_rescreen=uncapitalized(rescreen), force=force).rstrip()


def refusal_of(key: str) -> Refusal:
    """Return the entry of a refusal; a general one for keys of another release."""
    return REFUSALS.get(key, _UNKNOWN)  # type: ignore[call-overload, no-any-return]


def render_refusal_reply(key: str, facts: Facts | None = None) -> str:
    """Return the comment that refuses a command, without figures if there are no facts."""
    refusal = refusal_of(key)
    details = bullets(refusal.details(facts)) if facts else ""
    return paragraphs(f"**Not started: {refusal.title}.**", refusal.why, details, refusal.advice(comments_enabled=True))


def render_refusal_check(key: str, full_name: str, *, comments_enabled: bool) -> tuple[str, str]:
    """Return title and summary of the check run that refuses a button."""
    refusal = refusal_of(key)
    return f"not started: {refusal.title}", paragraphs(
        f"**Fine-tuning {code(full_name)} was not started: {refusal.title}.**",
        refusal.why,
        section("What to do", refusal.advice(comments_enabled=comments_enabled)),
        "No GPU minutes were used.",
        NEVER_BLOCKS,
    )


def minutes_left(facts: Facts) -> str:
    """Return what is left of an installation's budget. Raises AssertionError if it has none."""
    assert facts.budget is not None
    left, total = max(0.0, facts.minutes_left), facts.budget.monthly_minutes
    return f"Left of this month’s budget: {left:,.0f} of {total:,.0f} GPU minutes."


def _permissions(facts: Facts) -> list[str]:
    return [f"Missing: `{name}: {NEEDS[name][0]}`" for name in lacking(facts)]


def _models(facts: Facts) -> list[str]:
    names = ", ".join(code(name) for name in facts.models[:MAX_LISTED])
    return [f"Allowed: {names}"] if names else []


def _failure(facts: Facts) -> list[str]:
    failure = facts.screening.failure if facts.screening else ""
    return [f"Reason: {prose(failure)}"] if failure else []


def _reasons(facts: Facts) -> list[str]:
    verdict = facts.verdict()
    return [] if verdict is None else [prose(reason) for reason in verdict[1].reasons[:MAX_LISTED]]


def _held_out(facts: Facts) -> list[str]:
    verdict = facts.verdict()
    if verdict is None:
        return []
    held_out, positives = verdict[0].held_out, verdict[0].held_out_positives
    return [f"Here about {numbers.counted(held_out, 'function')} would be held out, {positives:,} of them with a fix."]


def _budget(facts: Facts) -> list[str]:
    return [*([minutes_left(facts)] if facts.budget else []), *_renewal(facts)]


def _renewal(facts: Facts) -> list[str]:
    return [f"It renews on {facts.renews_on:%Y-%m-%d} (UTC)."]


REFUSALS: Final[Mapping[RefusalKey, Refusal]] = {
    "archived": Refusal(
        "the repository is archived",
        "Assay does no work on archived repositories.",
        "Unarchive it first.",
    ),
    "observing": Refusal(
        "this server only observes",
        "Its operator lets it measure repositories, but start no runs.",
        "Ask the operator of this server.",
    ),
    "no_models": Refusal(
        "this server does not offer fine-tuning",
        "Its operator has not set up a base model.",
        EXPORT_PAIRS,
    ),
    "no_budget": Refusal(
        "this account has no GPU budget",
        "Fine-tuning is off until the operator of this server grants one.",
        "Ask the operator of this server for GPU minutes (`assay budget set`).",
    ),
    "switched_off": Refusal(
        "fine-tuning is disabled",
        "The configuration of this repository or of its organization disables it.",
        "Change `finetune.enabled` in `.github/assay.yml` on the default branch.",
    ),
    "lacks_permission": Refusal(
        "the App lacks a permission",
        "A run needs to read the code and to write check runs.",
        "An owner of the account can grant the permission in the settings of the App’s installation.",
        _permissions,
    ),
    "unknown_model": Refusal(
        "that base model is not allowed here",
        "The operator of this server decides which base models may be trained.",
        "Leave out `--base-model` to use the default.",
        _models,
    ),
    "empty": Refusal(
        "the default branch has no commits",
        "There is nothing to train on.",
        "Push some code first.",
    ),
    "not_screened": Refusal(
        "this repository has not been measured yet",
        "A run is judged against the verdict that was made before it.",
        "{rescreen}, wait for the check run `assay/screen`, then try again.",
    ),
    "screening_failed": Refusal(
        "this repository could not be measured",
        "A run is judged against the verdict that was made before it.",
        "Once the cause is fixed, {then_rescreen}, then try again.",
        _failure,
    ),
    "cannot_train": Refusal(
        "there is too little to train on",
        "The training window has too little history or code.",
        "The check run `assay/screen` says what would change that.",
        lambda facts: _reasons(facts)[:1],
    ),
    "not_measurable": Refusal(
        "there is too little data to judge a run",
        f"That takes at least {MIN_HELD_OUT} held-out functions, {MIN_HELD_OUT_POSITIVES} of them with a fix; "
        "with fewer, the result is INCONCLUSIVE.",
        "Wait until there is more history. {force}",
        _held_out,
    ),
    "skip": Refusal(
        "the verdict is SKIP",
        "Fine-tuning is not expected to be worth the GPU time here.",
        "Use the ranking instead: the check run `assay/screen`, or `assay rank PATH` on a clone, shows where to look "
        "first. {force}",
        _reasons,
    ),
    "out_of_budget": Refusal(
        "this month’s GPU budget is used up",
        "All of its minutes are spent or reserved.",
        "Wait for the next month (UTC), or ask the operator of this server for more minutes (`assay budget set`). "
        "Minutes that a run reserved and did not use are returned when it ends.",
        _budget,
    ),
    "server_out_of_budget": Refusal(
        "this server’s GPU minutes for the month are used up",
        "All accounts together have reached the server’s ceiling.",
        "Wait for the next month (UTC), or ask the operator of this server to raise the ceiling.",
        _renewal,
    ),
}
_UNKNOWN: Final = Refusal(
    "that is not possible now",
    "The reason was stored by another release of Assay.",
    "Try again, or ask the operator of this server.",
)
