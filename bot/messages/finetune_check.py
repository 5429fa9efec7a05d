"""A fine-tuning run that ended as the fields of the check run `assay/finetune`: conclusion, title and words."""

from __future__ import annotations

from typing import Final, Literal

from bot.messages.finetune_context import Shown
from bot.messages.finetune_details import render_finetune_details
from bot.messages.finetune_endings import ENDED, render_ending, render_refusal, render_started
from bot.messages.finetune_summary import render_outcome
from bot.messages.markdown import fit
from bot.records import CheckRunFields, Run
from pipeline.reports.escape import inert
from pipeline.reports.finetune_figures import FinetuneFigures, load_figures
from pipeline.reports.numbers import counted, rho

FINETUNE: Final = "assay/finetune"
LONGEST_TITLE: Final = 255

_CUT: Final = "*The rest is left out: GitHub takes no more here.*"
_NOT_FOUND: Final = "nothing is stored to show again"

Conclusion = Literal["success", "neutral", "cancelled"]


def finetune_check(run: Run, shown: Shown) -> CheckRunFields:
    """The check run of a run that ended, however it did. Nothing that is stored makes it raise."""
    if run.ending != "finished":
        conclusion: Conclusion = "cancelled" if run.ending == "cancelled" else "neutral"
        return _fields(shown, conclusion, ENDED[run.ending], render_ending(run, shown))
    figures = load_figures(run.result)
    return _fields(
        shown,
        "success" if figures.outcome == "WIN" and not figures.control else "neutral",
        _title(run, figures),
        render_outcome(run, figures, shown),
        render_finetune_details(run, figures),
    )


def refusal_check(key: str, shown: Shown) -> CheckRunFields:
    """What answers a button that was pressed in vain: there is no comment to answer it by."""
    title, summary = render_refusal(key, shown)
    return _fields(shown, "neutral", title, summary)


def started_check(run: Run, shown: Shown) -> CheckRunFields:
    """What answers a button whose run has not ended: its result is a new check run of the same name."""
    title, summary = render_started(run, shown)
    return _fields(shown, "neutral", title, summary)


def nothing_check(shown: Shown) -> CheckRunFields:
    """What answers "re-run" where there is no run to tell of."""
    return _fields(shown, "neutral", _NOT_FOUND, f"There is no fine-tuning run of this commit. {shown.try_again}.")


def _fields(shown: Shown, conclusion: Conclusion, title: str, summary: str, text: str = "") -> CheckRunFields:
    return CheckRunFields(
        name=FINETUNE,
        head_sha=shown.head_sha,
        external_id=shown.external_id,
        conclusion=conclusion,
        title=inert(title, LONGEST_TITLE - 1),
        summary=fit(summary, _CUT),
        text=fit(text, _CUT),
    )


def _title(run: Run, figures: FinetuneFigures) -> str:
    if figures.outcome is None:
        return "finished, with a result that cannot be read"
    marks = [
        *(["control"] if figures.control else []),
        *(["forced"] if run.forced else []),
        *(["audit"] if run.audit else []),
        *(["time limit"] if figures.shortened else []),
        *(["fewer seeds"] if figures.fewer_seeds else []),
    ]
    named = f"{figures.outcome} ({', '.join(marks)})" if marks else figures.outcome
    compared = f"ρ {rho(figures.adapter.value)} with the adapter, {rho(figures.baseline.value)} by the baseline"
    held_out = "" if figures.n is None else f", {counted(figures.n, 'held-out function')}"
    return f"{named}: {compared}{held_out}"
