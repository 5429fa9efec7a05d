"""Text charts: the training curves of a run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.messages.charts import WIDTH, draw_training_curves
from pipeline.reports.finetune_figures import SeedCurve

ONE = SeedCurve("1", ((1, 0.8), (2, 0.4), (3, 0.2)), ((2, -0.05), (3, 0.2)), 3, 2, "")
OTHER = SeedCurve("2", ((1, 0.6), (2, 0.4), (3, 0.1)), ((2, 0.15), (3, 0.4)), 3, 3, "")

values = st.floats(allow_nan=False, allow_infinity=False, width=32)
points = st.lists(st.tuples(st.integers(0, 10**15), values), max_size=60).map(tuple)
curves = st.builds(
    SeedCurve,
    st.text(max_size=30),
    points,
    points,
    st.none() | st.integers(0, 10**15),
    st.none() | st.integers(0, 9),
    st.just(""),
)


def test_the_whole_chart() -> None:
    assert draw_training_curves([ONE]) == [
        "loss (lower is better)",
        "step 1  0.800  ########################################",
        "step 2  0.400  ####################",
        "step 3  0.200  ##########",
        "",
        "validation ρ (higher is better), on labels kept out of training",
        "step 2  −0.050  ----------",
        "step 3   0.200  ########################################",
        "",
        "seed 1: 2 of 3 steps chosen",
    ]


def test_seeds_are_averaged_and_their_steps_are_listed_one_by_one() -> None:
    lines = draw_training_curves([ONE, OTHER])
    assert lines[1:3] == [
        "step 1  0.700  ########################################",
        "step 2  0.400  #######################",
    ]
    assert "step 2  0.050  #######" in lines
    assert "step 3  0.300  ########################################" in lines
    assert lines[-2:] == ["seed 1: 2 of 3 steps chosen", "seed 2: 3 of 3 steps chosen"]


def test_many_steps_are_drawn_in_twelve_ranges() -> None:
    losses = tuple((step, 100.0 - step) for step in range(1, 101))
    lines = draw_training_curves([SeedCurve("1", losses, (), None, None, "")])
    assert [line.split()[1] for line in lines[1:]] == [
        "9",
        "18",
        "27",
        "36",
        "45",
        "54",
        "63",
        "72",
        "81",
        "90",
        "99",
        "100",
    ]
    assert lines[1].split()[2] == "95.000"  # the mean of steps 1 to 9
    assert lines[-1] == "step 100   0.000"


def test_seeds_beyond_the_limit_are_counted() -> None:
    assert draw_training_curves([ONE] * 8)[-1] == "3 more seeds"


def test_an_untrained_run_has_no_chart() -> None:
    assert draw_training_curves([]) == draw_training_curves([SeedCurve("1", (), (), 8, 4, "")]) == []


@given(st.lists(curves, max_size=4))
def test_no_line_is_wider_than_72_columns(some: list[SeedCurve]) -> None:
    assert all(len(line) <= WIDTH for line in draw_training_curves(some))
