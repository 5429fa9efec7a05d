from typing import Any

import pytest

from pipeline.screening.seed import load_seed
from tests.flows.demo import BUSY, CALM, EVEN, SCENES, Scene, differences

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


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.story.name)
def test_every_history_is_large_enough_to_be_measured(scene: Scene) -> None:
    assert 0.4 * scene.story.functions >= 200
    assert 0.4 * scene.story.fixed_later >= 20


def test_the_histories_lie_where_their_verdicts_are_plain_under_the_shipped_threshold() -> None:
    threshold = load_seed().calibrate().threshold
    assert CALM.density < 0.6 * threshold.band_low
    assert abs(EVEN.density / threshold.value - 1) < 0.05
    assert threshold.band_low <= EVEN.density <= threshold.band_high
    assert BUSY.density > 1.6 * threshold.band_high
