"""What an evaluation says in words and numbers: one spelling for the page and the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.ranking.evaluate import Evaluation, Row, Table
from pipeline.reports.numbers import NONE, counted, rho, rho_interval

number, interval = rho, rho_interval  # every statistic is spelled as a ρ is


@dataclass(frozen=True, slots=True)
class Answer:
    """What the table of functions comes to, in a few words, and whether that is good."""

    words: str
    tone: Literal["run", "skip", "quiet"]
    sentences: tuple[str, ...] = ()


def answer(evaluation: Evaluation) -> Answer:
    """Does the baseline find what is fixed, and does another scorer find it better? Silent where it is inconclusive."""
    baseline = evaluation.functions.rows[0]
    low, high = baseline.quality.rho_low, baseline.quality.rho_high
    if not evaluation.conclusive:
        return Answer("Inconclusive", "quiet", evaluation.reasons)
    sentences = (_against_baseline(evaluation.functions),)
    if low is None or high is None:
        return Answer("No interval, so no answer", "quiet", (f"{baseline.name}: {baseline.quality.reason}", *sentences))
    if low > 0:
        return Answer("Yes, better than chance", "run", sentences)
    if high < 0:
        return Answer("No, worse than chance", "skip", sentences)
    return Answer("No better than chance, as far as this can tell", "skip", sentences)


def _against_baseline(table: Table) -> str:
    """Who is ahead of the baseline for certain; of several, the one ahead looks better than it is."""
    others = [row for row in table.rows if row.against_baseline is not None]
    ahead = [row for row in others if _is_ahead(row)]
    if not others:
        return f"No other scorer was compared with the {table.rows[0].name}."
    compared = f"{counted(len(others), 'other scorer')} compared with the {table.rows[0].name}"
    if not ahead:
        return f"{compared}: none is ahead of it by more than chance explains."
    named = ", ".join(f"{row.name} (Δρ {_delta(row)})" for row in ahead)
    return (
        f"{compared}, ahead of it by more than chance explains: {named}. The best of several looks better than it is."
    )


def _is_ahead(row: Row) -> bool:
    against = row.against_baseline
    return against is not None and against.low is not None and against.low > 0


def _delta(row: Row) -> str:
    against = row.against_baseline
    if against is None:
        return NONE
    return f"{number(against.delta, signed=True)}, {interval(against.low, against.high, signed=True)}"


def percentage(value: float | None) -> str:
    """A whole number of percent: `8 %`."""
    return NONE if value is None else f"{100 * value:.0f} %"
