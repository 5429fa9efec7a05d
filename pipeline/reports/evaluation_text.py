"""State the conclusion of an evaluation in words, for the page and the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.ranking.evaluate import Evaluation, Row, Table
from pipeline.reports.numbers import NONE, counted, rho, rho_interval


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The conclusion from the function table, with the tone to display it in."""

    words: str
    tone: Literal["run", "skip", "quiet"]
    sentences: tuple[str, ...] = ()


def conclude(evaluation: Evaluation) -> Conclusion:
    """State whether the baseline ranks better than chance and whether another scorer beats it, unless inconclusive."""
    baseline = evaluation.functions.rows[0]
    low, high = baseline.quality.rho_low, baseline.quality.rho_high
    if not evaluation.conclusive:
        return Conclusion("Inconclusive", "quiet", evaluation.reasons)
    sentences = (_against_baseline(evaluation.functions),)
    if low is None or high is None:
        reason = f"{baseline.name}: {baseline.quality.reason}"
        return Conclusion("No interval, so no conclusion", "quiet", (reason, *sentences))
    if low > 0:
        return Conclusion("Yes, better than chance", "run", sentences)
    if high < 0:
        return Conclusion("No, worse than chance", "skip", sentences)
    return Conclusion("Not distinguishable from chance", "skip", sentences)


def _against_baseline(table: Table) -> str:
    """Name the scorers significantly ahead of the baseline, with a warning about picking the best of several."""
    others = [row for row in table.rows if row.against_baseline is not None]
    ahead = [row for row in others if _is_ahead(row)]
    if not others:
        return f"No other scorer was compared with the {table.rows[0].name}."
    compared = f"{counted(len(others), 'other scorer')} compared with the {table.rows[0].name}"
    if not ahead:
        return f"{compared}: none is significantly better."
    named = ", ".join(f"{row.name} (Δρ {_delta(row)})" for row in ahead)
    return f"{compared}; significantly better: {named}. The best of several tends to look better than it is."


def _is_ahead(row: Row) -> bool:
    against = row.against_baseline
    return against is not None and against.low is not None and against.low > 0


def _delta(row: Row) -> str:
    against = row.against_baseline
    if against is None:
        return NONE
    return f"{rho(against.delta, signed=True)}, {rho_interval(against.low, against.high, signed=True)}"
