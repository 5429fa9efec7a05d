"""`make demo`, played to its end with real processes; and each of its checks seen to fail where something was faked."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.builders.demo_story import build, kinds_of
from tests.flows import demo_shown
from tests.flows.demo_checks import wrong_with
from tests.flows.demo_loop import Played, Plot, play_loop
from tests.flows.demo_scenes import CARELESS, CLOSE, LOOP_SCENES

pytestmark = pytest.mark.finetune

Faked = Callable[[Played], dict[str, Any]]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    root = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_shown, "KEPT", root / "kept")
        return play_loop(root, Plot(LOOP_SCENES))


def test_the_story_ends_as_it_must(played: Played) -> None:
    assert list(wrong_with(played, LOOP_SCENES)) == []


def test_the_outcome_is_the_jobs_own(played: Played) -> None:
    result = played.result
    assert (result["outcome"], result["control"]) == ("WIN", "")
    assert result["delta"] > 0.1
    assert result["delta_low"] > 0
    assert result["seeds_completed"] == [1, 2]
    assert result["n"] > 400


def change(mapping: Any, **fields: Any) -> dict[str, Any]:
    return {**mapping, **fields}


def retold(played: Played, old: str, new: str) -> list[dict[str, Any]]:
    """The check run of the job with another summary."""
    (run,) = played.finetunes
    summary = run["output"]["summary"]
    assert old in summary
    return [change(run, output=change(run["output"], summary=summary.replace(old, new)))]


FAKES: dict[str, tuple[Faked, str]] = {
    "another outcome": (lambda p: {"result": change(p.result, outcome="SOFT LOSS")}, "not to a WIN"),
    "a control": (lambda p: {"result": change(p.result, control="shuffled labels")}, "not to a WIN"),
    "another difference": (lambda p: {"result": change(p.result, delta=p.result["delta"] + 0.1)}, "by its own figures"),
    "too few": (lambda p: {"result": change(p.result, n=199)}, "too few to judge by"),
    "another commit": (lambda p: {"head_sha": "f" * 40}, "not of the commit"),
    "no check run": (lambda p: {"finetunes": []}, "0 check runs assay/finetune"),
    "another ρ posted": (
        lambda p: {"finetunes": retold(p, f"{p.result['rho_adapter']:.3f}", "0.999")},
        "rho_adapter is",
    ),
    "another threshold posted": (lambda p: {"finetunes": retold(p, "0.0829", "0.0828")}, "the check run does not say"),
    "another threshold": (
        lambda p: {"calibration_after": change(p.calibration_after, threshold=0.09)},
        "the threshold after is 0.09",
    ),
    "another ledger": (
        lambda p: {
            "calibration_after": change(p.calibration_after, outcomes=p.calibration_before["outcomes"]),
        },
        "what joined the ledger",
    ),
    "no flip": (
        lambda p: {"screens_after": change(p.screens_after, **{CLOSE.name: p.screens_after[CLOSE.name][:1]})},
        "even-keel was posted as",
    ),
    "no ranking by the adapter": (
        lambda p: {
            "screens_after": change(
                p.screens_after, **{CARELESS.name: [*p.screens_before[CARELESS.name], *p.screens_before[CARELESS.name]]}
            )
        },
        "the ranking is not the adapter's",
    ),
    "other verdicts": (lambda p: {"known_after": p.known_before}, "the verdicts after it"),
    "no eyes": (lambda p: {"reactions": ["rocket"]}, "the App reacted"),
    "two comments": (lambda p: {"comments": 2}, "2 comments of the App"),
    "never queued": (
        lambda p: {"replies": [text for text in p.replies if "Queued" not in text]},
        "no text of the reply says Queued",
    ),
    "a crash": (lambda p: {"exits": [0, -9]}, "ended with [0, -9]"),
}


@pytest.mark.parametrize("fake", FAKES)
def test_whatever_is_faked_is_told(played: Played, fake: str) -> None:
    doctored, words = FAKES[fake]
    lines = list(wrong_with(dataclasses.replace(played, **doctored(played)), LOOP_SCENES))
    assert any(words in line for line in lines), lines


def never_fixed(run: Any) -> tuple[list[str], list[str]]:
    """The functions to look at first; and those of them of which no fix of their own is told."""
    ranked = re.findall(r"^\d+\. `(\w+)` in `[^`]+`: (.*)$", run["output"]["text"], re.MULTILINE)
    unfixed = [name for name, why in ranked if not re.search(r"\d fix(es)? in two years(,|$)", why)]
    return [name for name, _ in ranked], unfixed


def test_the_adapter_names_careless_functions_that_nobody_had_to_fix_yet(played: Played) -> None:
    """The baseline only knows those that were fixed. Where to look first is what all of this is for."""
    kinds = kinds_of(build(CARELESS))
    first, last = (never_fixed(run) for run in played.screens_after[CARELESS.name])
    assert (len(first[0]), first[1]) == (20, [])
    assert len(last[1]) >= 2
    assert sum(kinds[name] for name in last[0]) >= 16  # a third of all functions are careless
    assert sum(kinds[name] for name in last[1]) >= len(last[1]) - 1


def test_the_first_verdicts_were_those_of_the_demo_set_alone(played: Played) -> None:
    before = played.calibration_before
    assert (before["published"], before["measured"]) == (0, 20)
    assert before["threshold"] == pytest.approx(0.11, abs=1e-12)
    assert {row["repository"]: row["density"] for row in played.known_before}[f"demo/{CARELESS.name}"] == (
        pytest.approx(161 / 1_104, abs=1e-9)
    )
