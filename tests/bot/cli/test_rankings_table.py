"""The table of rankings on a terminal."""

from __future__ import annotations

from io import StringIO
from typing import Any

from rich.console import Console

from bot.cli.rankings_table import rankings_table

NOTHING = {
    "rho": None, "rho_low": None, "rho_high": None, "against_baseline": None, "auc": None,
    "precision_at_10": None, "recall_at_20_percent": None, "reason": "",
}  # fmt: skip


def row(name: str, **known: Any) -> dict[str, Any]:
    return {**NOTHING, "name": name, **known}


def shown(*rows: dict[str, Any], width: int = 80) -> str:
    console = Console(width=width, file=StringIO())
    console.print(rankings_table(rows))
    return console.file.getvalue()  # type: ignore[attr-defined]


FULL = row(
    "blend of adapter and activity", rho=0.18, rho_low=0.0686, rho_high=0.285, auc=0.61, precision_at_10=0.3,
    recall_at_20_percent=0.14, against_baseline={"delta": -0.17, "low": -0.296, "high": -0.05},
)  # fmt: skip


def test_no_number_is_cut_at_80_columns():
    told = shown(FULL)
    for number in ("0.180", "0.07 to 0.28", "−0.170", "−0.30 to −0.05", "0.610", "30 %", "14 %"):
        assert number in told
    assert "…" not in told
    assert max(map(len, told.splitlines())) <= 80


def test_a_long_name_is_folded_not_cut():
    told = shown(FULL)
    assert all(word in told for word in ["blend", "of", "adapter", "and", "activity"])
    assert "blend of adapter and activity" in shown(FULL, width=120)


def test_reasons_for_missing_rankings_follow_below():
    told = shown(row("past fixes", reason="all scores are equal"))
    assert told.splitlines()[-1].rstrip() == "past fixes: all scores are equal"
    assert "–" in told
