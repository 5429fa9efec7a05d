from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.run_progress import EMBEDDING, HEAD, STARTING, Meter, Pace, Progress, dump_progress, load_progress
from pipeline.finetuning.events import (
    CheckpointSaved,
    EmbeddingStarted,
    JobEvent,
    MicroBatchHalved,
    PhaseStarted,
    Planned,
    Resumed,
    SeedCompleted,
    TrainingStep,
    Validated,
)

# Two seeds, each fitted twice: 60,000 tokens a fit, planned to take 10 minutes each.
PLAN = Planned(tokens=240_000, flops=1e15, minutes=40.0, device="NVIDIA H200", trained_on=400, scored=300, seeds=2)
REFIT = Planned(
    tokens=120_000, flops=1e15, minutes=20.0, device="NVIDIA H200", trained_on=400, scored=300, seeds=2, fits=1
)


def step(number: int, of: int = 10, *, tokens: int | None = None, seconds: float | None = None) -> TrainingStep:
    """Return a step of 6,000 tokens and one minute unless given otherwise."""
    return TrainingStep(
        number, of, 0.5, 1.0, 1e-4, tokens or number * 6_000, seconds or number * 60.0, 0.1, memory_mb=None
    )


CHOOSE, ALL = (PhaseStarted(1, 1, 2, phase) for phase in ("choosing the steps", "training on all labels"))
SCORE = PhaseStarted(1, 1, 2, "scoring the holdout")
SECOND = PhaseStarted(2, 2, 2, "choosing the steps")


def test_progress_shows_the_phase_and_estimates_the_time_left(subtests: pytest.Subtests) -> None:
    cases: list[tuple[list[JobEvent], str, int, tuple[int, int], float | None]] = [
        ([], STARTING, 0, (0, 0), None),
        ([PLAN], STARTING, 0, (0, 0), 40.0),
        ([PLAN, CHOOSE], "choosing the steps", 1, (0, 0), 40.0),
        ([PLAN, CHOOSE, step(4)], "choosing the steps", 1, (4, 10), 36.0),  # 6 of this fit, 10 + 20 of the others
        ([PLAN, CHOOSE, step(4, seconds=120.0)], "choosing the steps", 1, (4, 10), 18.0),  # twice as fast
        ([PLAN, CHOOSE, step(10), ALL], "training on all labels", 1, (0, 0), 30.0),
        ([PLAN, CHOOSE, step(10), ALL, step(2, 4)], "training on all labels", 1, (2, 4), 22.0),  # only 4 were chosen
        ([PLAN, CHOOSE, step(10), ALL, step(4, 4), SCORE], "scoring the holdout", 1, (0, 0), 20.0),
        ([PLAN, SeedCompleted(1, 1, 2, False), SECOND], "choosing the steps", 2, (0, 0), 20.0),
        ([PLAN, SeedCompleted(1, 1, 2, True), SECOND, step(10)], "choosing the steps", 2, (10, 10), 10.0),
        ([PLAN, EmbeddingStarted(700)], EMBEDDING, 0, (0, 0), None),
        ([PLAN, CHOOSE, Resumed(7)], "choosing the steps", 1, (7, 0), 40.0),
        ([PLAN, CHOOSE, CheckpointSaved(1, "m", "0" * 64), MicroBatchHalved(9)], "choosing the steps", 1, (0, 0), 40.0),
        ([REFIT, ALL], "training on all labels", 1, (0, 0), 20.0),
        ([REFIT, ALL, step(5)], "training on all labels", 1, (5, 10), 15.0),
        ([REFIT, ALL, step(10), PhaseStarted(1, 1, 2, HEAD)], HEAD, 1, (0, 0), 10.0),
    ]
    for events, phase, seed, at, minutes_left in cases:
        with subtests.test(events=events, phase=phase, seed=seed, at=at, minutes_left=minutes_left):
            meter = Meter()
            for event in events:
                meter.update(event)
            now = meter.progress
            assert (now.phase, now.seed, (now.step, now.steps), now.minutes_left) == (phase, seed, at, minutes_left)


def test_the_validation_of_a_fit_is_shown_until_the_next_fit_begins() -> None:
    meter = Meter()
    for event in (PLAN, CHOOSE, step(1), Validated(1, 0.25)):
        meter.update(event)
    assert meter.progress.rho == 0.25
    assert meter.update(ALL).rho is None


EVENTS = st.sampled_from([PLAN, REFIT, CHOOSE, ALL, SCORE, SECOND, Resumed(3), Validated(2, None)]) | st.builds(
    step, st.integers(1, 50), st.integers(50, 60), tokens=st.integers(0, 10**9), seconds=st.floats(0, 1e6)
)


@given(st.lists(EVENTS, max_size=20))
def test_progress_round_trips_after_any_events(events: list[JobEvent]) -> None:
    meter = Meter()
    for event in events:
        progress = meter.update(event)
        assert load_progress(json.loads(json.dumps(dump_progress(progress), allow_nan=False))) == progress
        assert progress.minutes_left is None or progress.minutes_left >= 0


def test_progress_of_another_release_is_ignored() -> None:
    cases: list[object] = [None, {}, [], "x", {"phase": "p"}, dump_progress(Progress()) | {"step": -1}, {"phase": 1}]
    wrong = [(value, got) for value in cases if (got := load_progress(value)) is not None]
    assert wrong == []


def test_reports_are_throttled_unless_the_phase_changes() -> None:
    pace = Pace(5.0)
    due = [
        pace.is_due({"phase": phase, "seed": seed}, now_s)
        for phase, seed, now_s in [
            ("a", 1, 0.0),
            ("a", 1, 4.9),
            ("a", 1, 5.0),
            ("b", 1, 5.1),
            ("b", 2, 5.2),
            ("b", 2, 6.0),
        ]
    ]
    assert due == [True, False, True, True, True, False]
