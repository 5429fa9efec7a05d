from pathlib import Path
from typing import Any

import pytest

from pipeline.screening.seed import load_seed
from tests.flows.demo import BUSY, CALM, EVEN, SCENES, Scene, check

SCENE = SCENES[0]


def result(**other: Any) -> dict[str, Any]:
    good = {"measurable": True, "verdict": "RUN", "near_boundary": False, "density": SCENE.story.density, "reasons": []}
    return good | other


@pytest.fixture
def report(tmp_path: Path) -> Path:
    (tmp_path / "report.html").write_text("<p>RUN</p>")
    return tmp_path / "report.html"


def test_a_result_as_the_history_was_built_for_passes(report: Path) -> None:
    assert check(SCENE, result(), report) == []


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"verdict": "SKIP"}, "SKIP, not RUN"),
        ({"measurable": False, "reasons": ["too few"]}, "not measurable: ['too few']"),
        ({"near_boundary": True}, "near_boundary is True"),
        ({"density": 0.1}, "as worked out beforehand"),
    ],
)
def test_any_other_result_is_told(report: Path, other: dict[str, Any], words: str) -> None:
    (line,) = check(SCENE, result(**other), report)
    assert line.startswith(f"{SCENE.story.name}: ")
    assert words in line


def test_a_missing_report_is_told(tmp_path: Path) -> None:
    (line,) = check(SCENE, result(), tmp_path / "none.html")
    assert "no report" in line


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
