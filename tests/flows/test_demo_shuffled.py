"""The same demo where there is nothing to learn: no WIN, and nothing that would follow from one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.flows import demo_shown
from tests.flows.demo_checks import fitted, wrong_with
from tests.flows.demo_loop import Played, Plot, play_loop
from tests.flows.demo_scenes import CALM, CARELESS, CLOSE, LOOP_SCENES

pytestmark = pytest.mark.finetune


@pytest.fixture(autouse=True)
def kept_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_shown, "KEPT", tmp_path / "kept")


def verdicts(played: Played) -> dict[str, str]:
    return {row["repository"].partition("/")[2]: row["verdict"] for row in played.known_after}


def conclusions(played: Played, name: str) -> list[str]:
    return [run["conclusion"] for run in played.screens_after[name]]


def test_played_with_shuffled_labels_it_sees_no_win(tmp_path: Path) -> None:
    """A control never counts, whatever it finds; and by its figures it would be no WIN either."""
    played = play_loop(tmp_path, Plot(LOOP_SCENES, {"shuffled_labels": True}))
    result, (run,) = played.result, played.finetunes
    assert (result["outcome"], result["control"]) == ("INCONCLUSIVE", "shuffled labels")
    assert result["delta"] < -0.05
    assert run["conclusion"] == "neutral"
    assert "Control" in run["output"]["summary"]
    assert played.calibration_after["threshold"] == played.calibration_before["threshold"]
    assert verdicts(played) == {CARELESS.name: "RUN", CLOSE.name: "SKIP", CALM.name: "SKIP"}
    assert [conclusions(played, scene.story.name) for scene in LOOP_SCENES] == [["success"], ["neutral"], ["neutral"]]
    assert any("not to a WIN" in line for line in wrong_with(played, LOOP_SCENES))


def test_played_where_fixes_befell_functions_at_random_it_sees_a_loss_and_the_threshold_rises(tmp_path: Path) -> None:
    """The density is the same, so the same RUN is told before; by hand (0.20 + 161 / 1,104) / 2 = 0.1729 after it."""
    dealt = dataclasses.replace(LOOP_SCENES[0], story=dataclasses.replace(CARELESS, dealt=1))
    scenes = (dealt, *LOOP_SCENES[1:])
    played = play_loop(tmp_path, Plot(scenes))
    (run,) = played.finetunes
    assert (played.result["outcome"], run["conclusion"]) == ("HARD LOSS", "neutral")
    assert played.calibration_after["threshold"] == pytest.approx((0.20 + 161 / 1_104) / 2, abs=1e-9)
    assert played.calibration_after["threshold"] == pytest.approx(fitted(played.calibration_after), abs=1e-12)
    assert "The threshold moved from 0.1100 to 0.1729; 1 of 3 verdicts flipped." in run["output"]["summary"]
    assert "It was **wrong**" in run["output"]["summary"]
    assert verdicts(played) == {CARELESS.name: "SKIP", CLOSE.name: "SKIP", CALM.name: "SKIP"}
    assert conclusions(played, CARELESS.name) == ["success", "neutral"]
    assert conclusions(played, CLOSE.name) == ["neutral"]
