"""Render rankings of the same functions or files as one table that fits 80 columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.reports.numbers import MINUS, NONE, percentage
from pipeline.reports.numbers import rho as number

_COLUMNS = ("ρ", "95 %", "Δρ", "95 %", "AUC", "p@10", "r@20 %")


def rankings_table(rows: Iterable[Mapping[str, Any]], bold: Collection[str] = ()) -> RenderableType:
    """Render one row per scorer, from its JSON fields and `name`; reasons for missing rankings follow below."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("ranking", overflow="fold", min_width=12)
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    reasons = []
    for row in rows:
        against = row["against_baseline"] or {"delta": None, "low": None, "high": None}
        cells = (
            row["name"],
            number(row["rho"]),
            _interval(row["rho_low"], row["rho_high"]),
            number(against["delta"], signed=True),
            _interval(against["low"], against["high"], signed=True),
            number(row["auc"]),
            percentage(row["precision_at_10"]),
            percentage(row["recall_at_20_percent"]),
        )
        table.add_row(*(Text(cell) for cell in cells), style="bold" if row["name"] in bold else None)
        if row["reason"]:
            reasons.append(Text(f"{row['name']}: {row['reason']}"))
    return Group(table, *reasons)


def _interval(low: float | None, high: float | None, signed: bool = False) -> str:
    """Render an interval with two digits, enough to judge the third digit of ρ."""
    if low is None or high is None:
        return NONE
    form = "+.2f" if signed else ".2f"
    return f"{low:{form}} to {high:{form}}".replace("-", MINUS)
