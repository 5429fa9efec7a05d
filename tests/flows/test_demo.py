"""How the demo checks what it was shown. The whole story is played in test_demo_loop.py."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.calibration.seed import load_seed
from pipeline.calibration.threshold import Calibration, fit
from pipeline.label_recipe import MESSAGES
from tests.builders.demo_calibration import demo_outcomes, threshold_after_a_win
from tests.flows.demo_scenes import (
    BUSY,
    CALM,
    CARELESS,
    CLOSE,
    EVEN,
    LOOP_SCENES,
    SCENES,
    Scene,
    check_verdicts,
    differences,
)

SCENE = SCENES[0]
RUNS = [{"conclusion": "success"}]


def row(**other: Any) -> dict[str, Any]:
    return {"verdict": "RUN", "near_boundary": False, "density": SCENE.story.density, "reason": ""} | other


def test_a_verdict_as_the_history_was_built_for_passes() -> None:
    assert list(differences(SCENE, row(), RUNS)) == []


@pytest.mark.parametrize(
    ("other", "runs", "words"),
    [
        ({"verdict": "SKIP", "reason": "too few"}, RUNS, "SKIP, not RUN (too few)"),
        ({"verdict": None}, RUNS, "None, not RUN"),
        ({"near_boundary": True}, RUNS, "near_boundary is True"),
        ({"density": 0.1}, RUNS, "as worked out beforehand"),
        ({}, [*RUNS, *RUNS], "2 check runs, not one"),
        ({}, [], "0 check runs, not one"),
        ({}, [{"conclusion": "neutral"}], "RUN was posted as neutral"),
    ],
)
def test_any_other_is_told(other: dict[str, Any], runs: list[dict[str, Any]], words: str) -> None:
    (line,) = differences(SCENE, row(**other), runs)
    assert words in line


def test_a_repository_that_was_never_screened_is_told() -> None:
    (line,) = differences(SCENE, {}, [])
    assert "None, not RUN" in line
    assert list(check_verdicts((SCENE,), [], {SCENE.story.name: []})) == [f"{SCENE.story.name}: {line}"]


@pytest.mark.parametrize("scene", [*SCENES, *LOOP_SCENES], ids=lambda scene: scene.story.name)
def test_every_history_is_large_enough_to_be_measured(scene: Scene) -> None:
    story = scene.story
    later = story.again + story.anew + story.unlucky if story is CARELESS else story.fixed_later  # type: ignore[union-attr]
    assert 0.4 * story.functions >= 200
    assert 0.4 * later >= 20


def test_the_histories_lie_where_their_verdicts_are_plain_under_the_shipped_threshold() -> None:
    threshold = load_seed().calibrate().threshold
    assert CALM.density < 0.6 * threshold.band_low
    assert abs(EVEN.density / threshold.value - 1) < 0.05
    assert threshold.band_low <= EVEN.density <= threshold.band_high
    assert BUSY.density > 1.6 * threshold.band_high


def of_the_demo_set(*more: Any) -> Calibration:
    return fit((*demo_outcomes("tiny"), *more), label_recipe_id=MESSAGES.id, base_model_family="tiny")


def test_under_the_demo_set_they_lie_where_a_win_turns_the_close_one_and_no_other() -> None:
    """Worked out by hand: 0.11 before; (161 / 1,104 + 0.02) / 2 = 0.0829 after; 72 / 720 = 0.1 between them."""
    threshold, after = of_the_demo_set().threshold, threshold_after_a_win(CARELESS.density)
    assert CLOSE.density == pytest.approx(0.1, abs=1e-12)
    assert after < CLOSE.density < threshold.value < CARELESS.density
    assert threshold.band_low <= CLOSE.density
    assert CARELESS.density > threshold.band_high
    assert CALM.density < 0.6 * threshold.band_low
    assert CALM.density < 0.6 * after
