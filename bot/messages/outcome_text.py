"""The outcome of a finished run in a few lines; the check run has the rest.

Missing or malformed values of a stored result are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bot.calibration.ledger_records import NotCounted, Obstacle
from bot.messages.markdown import prose
from bot.messages.run_text import with_interval
from pipeline.records import OutcomeKind
from pipeline.reports import numbers
from pipeline.reports.finetune_figures import FinetuneFigures, load_figures

OUTCOMES: Final[Mapping[OutcomeKind, str]] = {
    "WIN": "WIN: the adapter ranks this repository’s functions better than the baseline.",
    "SOFT LOSS": "SOFT LOSS: the adapter is hardly better than the baseline. Use the baseline.",
    "HARD LOSS": "HARD LOSS: the adapter is worse than the baseline. Use the baseline.",
    "INCONCLUSIVE": "INCONCLUSIVE: this run cannot tell whether the adapter beats the baseline. Use the baseline.",
}
_NOT_COUNTED: Final[Mapping[Obstacle, str]] = {
    "not_judged": "it was not judged on a holdout",
    "unfinished": "it did not finish",
    "control": "it was a control, whose labels or prompts were changed on purpose",
    "no_density": "no density had been measured before it",
    "label_recipe_differs": "its labels and the density before it follow different label recipes",
    "config_differs": "the repository's own configuration has changed since its density was measured",
    "unreadable": ("its result or the measurement before it was stored by another release, which this one cannot read"),
    "inconclusive": "an INCONCLUSIVE outcome is kept in the ledger and never moves a threshold",
    "superseded": "a newer outcome of this repository counts",
}
_UNKNOWN: Final = "The run has finished."


def headline(result: object) -> str:
    """Return the outcome of a stored result in one sentence or two."""
    outcome = load_figures(result).outcome
    return OUTCOMES[outcome] if outcome else _UNKNOWN


def render_figures(result: object) -> list[str]:
    """Return sentences: ρ and Δρ with intervals, the size of the holdout, and what limits the result."""
    figures = load_figures(result)
    inconclusive = figures.outcome == "INCONCLUSIVE" and figures.reason
    sentences = [
        _rho(figures),
        "" if figures.delta.value is None else f"Δρ {with_interval(figures.delta, signed=True)}.",
        _holdout(figures),
        f"Why: {prose(figures.reason)}" if inconclusive else "",
        *_limits(figures),
    ]
    return [sentence for sentence in sentences if sentence]


def render_change(before: float, after: float, flipped: int, judged: int) -> str:
    """Return the effect of an outcome on its installation's threshold and verdicts."""
    was, now = numbers.density(before), numbers.density(after)
    moved = f"The threshold moved from {was} to {now}" if was != now else f"The threshold stays at {now}"
    return f"{moved}; {flipped:,} of {numbers.counted(judged, 'verdict')} flipped."


def why_not_counted(not_counted: NotCounted) -> str:
    """Return why an outcome does not move the threshold, as a clause that follows "because"."""
    if not_counted.why == "excluded":
        return f"an operator excluded this repository: {not_counted.operator_reason}"
    if not_counted.why == "family_differs":
        return (
            f"the threshold is that of the base model family {not_counted.threshold_family}, and this run used "
            f"{not_counted.family}"
        )
    return _NOT_COUNTED[not_counted.why]


def _rho(figures: FinetuneFigures) -> str:
    adapter, baseline = figures.adapter, figures.baseline
    if adapter.value is None or baseline.value is None:
        return ""
    return f"Adapter: ρ {with_interval(adapter)}; baseline: ρ {with_interval(baseline)}."


def _holdout(figures: FinetuneFigures) -> str:
    if figures.n is None or figures.positives is None:
        return ""
    functions = numbers.counted(figures.n, "held-out function")
    return f"Judged on {functions}, {figures.positives:,} of them with a fix after the training window."


def _limits(figures: FinetuneFigures) -> list[str]:
    planned, completed = len(figures.seeds_planned), len(figures.seeds_completed)
    sentences = []
    if figures.fewer_seeds:
        sentences.append(f"Only {completed} of {planned} seeds were completed within the time limit.")
    elif figures.shortened:
        sentences.append("The time limit cut training short.")
    if figures.control:
        sentences.append("This run was a control: it counts for no threshold.")
    return sentences
