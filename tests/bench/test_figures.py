"""The arithmetic of the benchmark and what it prints."""

from __future__ import annotations

import pytest

from bench.figures import (
    MARKDOWN_HEAD,
    AgainstPyDriller,
    ColdRuns,
    Figures,
    SecondRun,
    Spread,
    geometric_mean,
    lines,
    markdown_row,
    summary,
)


def against(**changes: float) -> AgainstPyDriller:
    fields = {
        "commits": 1_000,
        "visited": 100,
        "failed": 0,
        "ours_cpu_s": 2.0,
        "startup_cpu_s": 1.0,
        "visiting_cpu_s": 6.0,
        "left_out_cpu_s": 2.0,
    }
    return AgainstPyDriller(**(fields | changes))  # type: ignore[arg-type]


def figures(density: float | None = 0.25, **changes: float) -> Figures:
    return Figures(
        name="owner/name",
        head_sha="0123456789abcdef",
        commits=5_000,
        pairs=700,
        cold=ColdRuns((1.0, 2.0, 1.0), (3.0, 2.0, 2.0), jobs=2),
        pydriller=against(**changes),
        second=SecondRun(50, 60, Spread.of([0.5]), density, 0.25),
        peak_mb=123.4,
        each_peak_mb=(120.0, 50.0, 49.0),
    )


def test_a_spread_is_the_median_between_the_extremes() -> None:
    assert Spread.of([5.0, 1.0, 2.0]) == Spread(median=2.0, low=1.0, high=5.0)


def test_a_spread_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        Spread.of([])


def test_cold_runs_are_compared_pair_by_pair() -> None:
    assert ColdRuns((1.0, 2.0, 4.0), (3.0, 2.0, 8.0), jobs=2).ratio == Spread(median=2.0, low=1.0, high=3.0)


def test_a_sample_is_extrapolated_by_the_commit_and_the_startup_is_not() -> None:
    # 1 s to start, then 6 s for 100 of 1,000 commits: 61 s, and 41 s without the files that Assay leaves out.
    found = against()
    assert (found.theirs_cpu_s, found.ratio, found.same_files_ratio) == pytest.approx((61.0, 30.5, 20.5))
    assert found.is_sample


def test_where_all_commits_were_visited_nothing_is_extrapolated() -> None:
    found = against(visited=1_000)
    assert (found.theirs_cpu_s, found.is_sample) == (7.0, False)


def test_windows_without_a_commit_leave_the_startup() -> None:
    assert against(commits=0, visited=0).theirs_cpu_s == 1.0


def test_the_geometric_mean_of_ratios() -> None:
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "EXTRAPOLATED from a random sample of 100"),
        ({"visited": 1_000}, "for 1,000 commits, all 1,000 visited"),
        ({"failed": 3}, "gave up on 3"),
    ],
)
def test_the_terminal_says_what_pydriller_was_compared_on(changes: dict[str, float], words: str) -> None:
    assert words in "\n".join(lines(figures(**changes)))


@pytest.mark.parametrize(
    ("density", "words"), [(0.25, "same density as cold"), (0.250000001, "DENSITY 0.250000001, COLD 0.25")]
)
def test_a_density_that_differs_in_the_last_digit_is_told(density: float, words: str) -> None:
    assert words in "\n".join(lines(figures(density)))
    assert ("DIFFERS" in "\n".join(summary([figures(density)]))) == (words != "same density as cold")


def test_a_markdown_row_has_as_many_cells_as_the_head() -> None:
    row = markdown_row(figures())
    assert {line.count("|") for line in (*MARKDOWN_HEAD, row)} == {row.count("|")}
    assert "| owner/name | 5,000 | 1.0 s | 2.0 s | 2.00 (1.00–3.00) | 30 × | 100 of 1,000 (sample) |" in row
