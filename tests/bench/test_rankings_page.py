"""docs/results/rankings.md follows from its figures; checked by hand on small histories too."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.rankings import JSON_FILE, PAGE
from bench.rankings_page import differences, render_rankings


def row(name: str, rho: float | None) -> dict[str, Any]:
    return {"name": name, "rho": rho, "rho_low": None, "rho_high": None, "recall_at_20_percent": rho}


def history(name: str, which: str = "report", *, conclusive: bool = True, **rhos: float | None) -> dict[str, Any]:
    table = {
        "n": 250,
        "prevalence": 0.1,
        "rho_max": 0.52,
        "scorers": [row(n.replace("_", " "), r) for n, r in rhos.items()],
    }
    hits = {"ranked": 100, "fixed": 10, "first_10": 4, "first_20": 5}
    return {
        "repository": name,
        "language": "Go",
        "set": which,
        "head_sha": "0" * 40,
        "as_of": "2026-01-02T00:00:00Z",
        "eval_start": "2025-01-02T00:00:00Z",
        "conclusive": conclusive,
        "reasons": [] if conclusive else ["12 held-out functions"],
        "functions": table,
        "files": table,
        "year_back": {"as_of": "2025-01-02T00:00:00Z", "functions": hits, "files": hits},
    }


TWO = [
    history("a/won", baseline=0.3, size=0.2),
    history("b/lost", baseline=0.1, size=0.15),
    history("c/tuned", "tune", baseline=0.9, size=0.1),
    history("d/thin", conclusive=False, baseline=0.8, size=0.0),
]


def test_the_page_follows_from_its_figures():
    assert PAGE.read_text(encoding="utf-8") == render_rankings(json.loads(JSON_FILE.read_text(encoding="utf-8")))


def test_only_conclusive_histories_of_the_report_set_are_compared():
    assert "| size | single signal | +0.025 | −0.050 to +0.100 | 1 of 2 |" in render_rankings(TWO)


def test_the_mean_excludes_inconclusive_histories():
    page = render_rankings(TWO)
    assert "| **mean of 2** | | | | **0.200** | **0.175** |" in page
    assert "| *d/thin* | 250 | 10.0% | 0.52 | 0.800 | 0.000 |" in page


def test_a_history_in_which_the_baseline_loses_is_named():
    assert "- b/lost (report set), functions: size (+0.050)" in render_rankings(TWO)


def test_a_scorer_without_a_ranking_is_left_out_of_its_comparison():
    assert differences([history("a", baseline=0.3, size=None), TWO[0]], "functions", "size") == [pytest.approx(0.1)]


def test_the_hit_rate_of_the_top_ten_is_compared_with_chance():
    assert "| a/won | 2025-01-02 | 40% | 25% | 10.0% | 40% | 25% | 10.0% |" in render_rankings(TWO)


def test_recall_by_lines_is_the_mean_over_conclusive_histories():
    assert "| baseline | 20% | 20% |\n| size | 18% | 18% |" in render_rankings(TWO)


def test_a_page_needs_a_conclusive_history_in_the_report_set():
    with pytest.raises(ValueError, match="report set"):
        render_rankings([TWO[2]])
