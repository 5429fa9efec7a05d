"""What a finished run came to, in a few lines. Whatever its stored result does not say, or says in a way that makes no
sense, is left out; the check run tells the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bot.messages.markdown import prose
from pipeline.records import OutcomeKind
from pipeline.reports import numbers
from pipeline.reports.finetune_figures import FinetuneFigures, Measured, load_figures

OUTCOMES: Final[Mapping[OutcomeKind, str]] = {
    "WIN": "WIN: the adapter ranks this repository’s functions better than the ranking without a model does.",
    "SOFT LOSS": "SOFT LOSS: the adapter is hardly better than the ranking without a model. Use that one.",
    "HARD LOSS": "HARD LOSS: the adapter is worse than the ranking without a model. Use that one.",
    "INCONCLUSIVE": "INCONCLUSIVE: this run cannot tell whether the adapter is better. Use the one without a model.",
}
_UNKNOWN: Final = "The run is finished."


def headline(result: object) -> str:
    outcome = load_figures(result).outcome
    return OUTCOMES[outcome] if outcome else _UNKNOWN


def render_figures(result: object) -> list[str]:
    """Sentences: both ρ and their difference with intervals, how much they rest on, and what makes it less."""
    figures = load_figures(result)
    inconclusive = figures.outcome == "INCONCLUSIVE" and figures.reason
    said = [
        _ranks(figures),
        _with_interval("Δρ", figures.delta, "+.3f", "."),
        _rests_on(figures),
        f"Why it cannot be told: {prose(figures.reason)}" if inconclusive else "",
        *_marks(figures),
    ]
    return [sentence for sentence in said if sentence]


def render_change(before: float, after: float, flipped: int, judged: int) -> str:
    """What an outcome did to the threshold of its installation, and to the verdicts there."""
    was, now = numbers.density(before), numbers.density(after)
    moved = f"The threshold went from {was} to {now}" if was != now else f"The threshold stays at {now}"
    return f"{moved}; {flipped:,} of {numbers.counted(judged, 'repository', 'repositories')} flipped."


def _ranks(figures: FinetuneFigures) -> str:
    adapter = _with_interval("ρ of the adapter", figures.adapter, ".3f")
    baseline = _with_interval("of the baseline", figures.baseline, ".3f")
    return f"{adapter}, {baseline}." if adapter and baseline else ""


def _with_interval(name: str, measured: Measured, spelling: str, end: str = "") -> str:
    """`Δρ +0.549 (95 % interval +0.378 to +0.682)`; nothing where there is no such number."""
    value, low, high = measured.value, measured.low, measured.high
    if value is None:
        return ""
    interval = "" if low is None or high is None else f" (95 % interval {low:{spelling}} to {high:{spelling}})"
    return f"{name} {value:{spelling}}{interval}{end}"


def _rests_on(figures: FinetuneFigures) -> str:
    if figures.n is None or figures.positives is None:
        return ""
    functions = numbers.counted(figures.n, "held-out function")
    return f"Judged on {functions}, {figures.positives:,} of them with a fix after the training window."


def _marks(figures: FinetuneFigures) -> list[str]:
    """What makes this run less than an ordinary one."""
    planned, completed = len(figures.seeds_planned), len(figures.seeds_completed)
    said = []
    if figures.fewer_seeds:
        said.append(f"Only {completed} of {planned} seeds were completed within the time limit.")
    elif figures.shortened:
        said.append("The time limit cut it short.")
    if figures.control:
        said.append("It was a control and no real run: it counts for no threshold.")
    return said
