from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import DAY_S
from pipeline.reports.plots import MAX_ROWS, LogScale, density_axis, histogram, mix, timeline
from tests.builders import screenings as build

POSITIVE = st.floats(1e-6, 1.0)


def test_a_log_scale_gives_equal_width_to_equal_ratios() -> None:
    scale = LogScale(0.01, 1.0)
    assert scale.position(0.01) == 0.0
    assert scale.position(0.1) == pytest.approx(0.5)
    assert scale.position(1.0) == 1.0


def test_values_outside_the_axis_are_clamped() -> None:
    scale = LogScale(0.01, 1.0)
    assert scale.position(0.0) == 0.0
    assert scale.position(7.0) == 1.0


@given(st.lists(POSITIVE, min_size=1, max_size=20))
def test_an_axis_contains_all_values_in_order(values: list[float]) -> None:
    scale = LogScale.around(values)
    positions = [scale.position(value) for value in sorted(values)]
    assert positions == sorted(positions)
    assert positions[0] > 0
    assert positions[-1] < 1
    assert scale.high / scale.low >= 3.999


@given(POSITIVE, POSITIVE)
def test_ticks_are_few_round_and_on_the_axis(one: float, other: float) -> None:
    scale = LogScale.around([one, other])
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 7
    assert all(scale.low <= tick <= scale.high for tick in ticks)
    assert list(ticks) == sorted(ticks)


def test_an_axis_without_positive_values_has_a_width() -> None:
    assert LogScale.around([0.0, 0.0]).ticks()


def test_the_axis_has_every_repository_densest_first_and_this_one_with_its_interval() -> None:
    axis = density_axis("mine", build.density(), build.threshold(), build.standing())
    assert [(row.name, row.mark) for row in axis.rows] == [
        ("ore/rich", "winner"),
        ("ore/plain", "winner"),
        ("mine", "here"),
        ("ore/barely", "winner"),
        ("rock/nearly", "loser"),
        ("rock/bare", "loser"),
    ]
    own = axis.rows[2]
    assert own.left < own.at < own.right
    assert axis.band[0] < axis.threshold < axis.band[1]
    assert axis.unnamed == 0


def test_without_a_density_only_the_calibration_set_is_shown() -> None:
    axis = density_axis("mine", None, build.threshold(), build.standing())
    assert "here" not in {row.mark for row in axis.rows}


def test_of_many_outcomes_the_ones_nearest_the_threshold_are_shown() -> None:
    far = tuple((f"far/{i}", 0.9 + i / 1_000) for i in range(10))
    near = tuple((f"near/{i}", 0.04 + i / 10_000) for i in range(MAX_ROWS))
    axis = density_axis("mine", build.density(), build.threshold(), build.standing(winners=far + near, losers=()))
    assert axis.unnamed == 10
    assert {row.name for row in axis.rows} == {name for name, _ in near} | {"mine"}


def test_labels_go_where_there_is_more_room() -> None:
    axis = density_axis("mine", build.density(), build.threshold(), build.standing())
    assert axis.rows[0].label_left
    assert not axis.rows[-1].label_left


def test_a_bin_includes_its_upper_edge(subtests: pytest.Subtests) -> None:
    cases: list[tuple[float, int]] = [(0.0001, 0), (0.1, 0), (0.1001, 1), (0.3, 2), (0.7, 6), (0.95, 9), (1.0, 9)]
    for signal, bin_index in cases:
        with subtests.test(signal=signal, bin_index=bin_index):
            counts = [bar.count for bar in histogram([signal])]
            assert counts == [int(i == bin_index) for i in range(10)]


@given(st.lists(st.floats(0, 1)))
def test_the_histogram_counts_every_positive_signal_once(signals: list[float]) -> None:
    bars = histogram(signals)
    assert sum(bar.count for bar in bars) == sum(signal > 0 for signal in signals)
    assert max(bar.height for bar in bars) == (1.0 if any(signals) else 0.0)


def test_the_default_windows_are_drawn_two_to_one() -> None:
    line = timeline(build.windows(), build.counted_fixes())
    assert (line.eval_start - line.train_start) == pytest.approx(2 * (1 - line.eval_start))
    assert line.earlier_days == 3_650 - 1_095
    assert sum(bar.count for bar in line.fixes) == 12


def test_fixes_are_counted_in_the_slice_where_they_landed() -> None:
    windows = build.windows()
    fixes = [
        build.counted_fix(landed_at=windows.train_start + 1),
        build.counted_fix(landed_at=windows.eval_start),
        build.counted_fix(landed_at=windows.train_start - 5 * DAY_S),
    ]
    counts = [bar.count for bar in timeline(windows, fixes).fixes]
    assert (counts[0], counts[-1], sum(counts)) == (2, 1, 3)


def test_empty_windows_can_be_laid_out() -> None:
    moment = build.AS_OF
    line = timeline(build.windows(train_start=moment, eval_start=moment, history_days=0.0), ())
    assert 0 <= line.train_start <= line.eval_start <= 1
    assert line.earlier_days == 0


def test_the_evidence_mix_is_stacked_strongest_first() -> None:
    parts = mix({"keyword": 0.25, "novel": 0.1, "issue": 0.65})
    assert [(part.name, part.at) for part in parts] == [
        ("issue", 0.0),
        ("keyword", 0.65),
        ("novel", pytest.approx(0.9)),
    ]
    assert mix({}) == ()
