"""The check run `assay/finetune`: conclusion, title and text for a run or a button."""

from __future__ import annotations

from typing import Final

from bot.messages.check_run import FINETUNE, Conclusion, build_check_run
from bot.messages.finetune_context import FinetuneContext
from bot.messages.finetune_details import render_finetune_details
from bot.messages.finetune_endings import render_ending, render_started
from bot.messages.finetune_summary import render_outcome
from bot.messages.refusals import render_refusal_check
from bot.messages.run_text import ending_of
from bot.records import CheckRunFields, Run
from pipeline.reports.finetune_figures import FinetuneFigures, load_figures
from pipeline.reports.numbers import counted, rho

_CUT: Final = "*Truncated at GitHub’s limit.*"


def finetune_check(run: Run, context: FinetuneContext) -> CheckRunFields:
    """Return the check run of a run that ended. Never raises, whatever is stored as its result."""
    if run.ending != "finished":
        conclusion: Conclusion = "cancelled" if run.ending == "cancelled" else "neutral"
        return _check(context, conclusion, ending_of(run).title, render_ending(run, context))
    figures = load_figures(run.result)
    return _check(
        context,
        "success" if figures.outcome == "WIN" and not figures.control else "neutral",
        _title(run, figures),
        render_outcome(run, figures, context),
        render_finetune_details(run, figures),
    )


def refusal_check(key: str, context: FinetuneContext) -> CheckRunFields:
    """Return the check run that refuses a button, which has no comment to reply to."""
    title, summary = render_refusal_check(key, context.full_name, comments_enabled=context.comments_enabled)
    return _check(context, "neutral", title, summary)


def started_check(run: Run, context: FinetuneContext) -> CheckRunFields:
    """Return the check run that replies to a button while its run is open; the result becomes a new check run."""
    title, summary = render_started(run, context)
    return _check(context, "neutral", title, summary)


def nothing_check(context: FinetuneContext) -> CheckRunFields:
    """Return the check run that replies to "re-run" if the commit has no run."""
    summary = f"There is no fine-tuning run of this commit. {context.try_again} to start one."
    return _check(context, "neutral", "no result is stored", summary)


def _check(
    context: FinetuneContext, conclusion: Conclusion, title: str, summary: str, text: str = ""
) -> CheckRunFields:
    return build_check_run(FINETUNE, context, conclusion, title, summary, text, cut=_CUT)


def _title(run: Run, figures: FinetuneFigures) -> str:
    if figures.outcome is None:
        return "finished, but the result cannot be read"
    marks = [
        *(["control"] if figures.control else []),
        *(["forced"] if run.forced else []),
        *(["audit"] if run.audit else []),
        *(["time limit"] if figures.shortened else []),
        *(["fewer seeds"] if figures.fewer_seeds else []),
    ]
    outcome = f"{figures.outcome} ({', '.join(marks)})" if marks else figures.outcome
    compared = f"ρ {rho(figures.adapter.value)} with the adapter, {rho(figures.baseline.value)} with the baseline"
    held_out = "" if figures.n is None else f", {counted(figures.n, 'held-out function')}"
    return f"{outcome}: {compared}{held_out}"
