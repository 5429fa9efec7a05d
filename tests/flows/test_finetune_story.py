"""`/finetune` from end to end: the real receiver, workers, store and GPU worker, a GitHub of our own, and no torch.

What trains learns nothing (tests/builders/finetune_gpu.py), but the outcome is judged on the pairs of the run, and all
that follows from it is the App's own doing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.records import Run
from bot.store.calibrations import calibrations_of
from bot.store.screenings import newest_screening
from pipeline.label_recipe import MESSAGES
from pipeline.records import Threshold
from pipeline.reports import numbers
from tests.builders.finetune_app import (
    BELOW,
    EDGE,
    POLICY,
    POOR,
    RICH,
    FinetuneApp,
    checks,
    finetune_app,
    our_comments,
    reactions,
    words,
)
from tests.builders.finetune_gpu import LOSES
from tests.builders.running_app import seed_set
from tests.simulator.apps import Installation
from tests.simulator.repositories import Repository

pytestmark = pytest.mark.faults


@pytest.fixture
def story(tmp_path: Path) -> Iterator[FinetuneApp]:
    with finetune_app(tmp_path) as story:
        yield story


def reply(repository: Repository) -> str:
    (comment,) = our_comments(repository)
    return comment.body


def thresholds(story: FinetuneApp, installation: Installation) -> list[float]:
    stored = story.app.ask(lambda c: calibrations_of(c, installation.installation_id))
    return [each.threshold["value"] for each in stored]


def ranked_by(story: FinetuneApp, installation: Installation, repository: Repository) -> tuple[str, str]:
    """Which commit is ranked, and what ranks it."""
    ids = installation.installation_id, repository.repository_id
    newest: Any = story.app.ask(lambda c: newest_screening(c, *ids))
    return newest.head_sha, newest.ranking["scorer"]


def shows(run: Run, said: str) -> list[str]:
    """The stored figures that are not said."""
    result = dict(run.result or {})
    figures = [numbers.rho(result[name]) for name in ("rho_adapter", "rho_baseline", "delta_low", "delta_high")]
    return [figure for figure in [*figures, f"{result['n']:,} held-out"] if figure not in said]


def seed_threshold() -> tuple[Threshold, float]:
    """The shipped threshold, and the strongest of the losers that lie below it."""
    calibration = seed_set().calibrate(MESSAGES.id)
    losers = [point.density for point in calibration.points if point.outcome != "WIN"]
    return calibration.threshold, max(losers)


def test_the_histories_stand_where_they_must_beside_the_shipped_threshold() -> None:
    threshold, strongest_loser = seed_threshold()
    after = (EDGE.density + strongest_loser) / 2  # by the rule: EDGE is the weakest winner then
    assert POOR.density < after < BELOW.density < threshold.value < EDGE.density < RICH.density


def test_from_an_installation_to_a_ranking_by_the_adapter(story: FinetuneApp) -> None:
    shop, near = story.repository("shop", EDGE), story.repository("near", BELOW)
    installation = story.install(shop, near)
    assert [run["conclusion"] for run in (*shop.check_runs, *near.check_runs)] == ["success", "neutral"]
    pinned = shop.head()

    # A maintainer asks: eyes at once, and one comment that follows the run.
    story.gates.hold("step-2")
    asked = story.says(shop, "ann", "/finetune")
    assert reactions(asked) == ["eyes", "rocket"]
    assert reply(shop).startswith("**Preparing.**")
    story.passes(16)
    assert reply(shop).startswith("**Queued.**")
    story.gpu_worker()
    story.reached(1, "step-2")
    pushed = story.pushes(shop)
    assert pushed == shop.head() != pinned
    story.app.until("a progress", lambda: "step" in story.run(1).progress)
    story.passes(16)
    assert reply(shop).startswith("**Running.**")
    assert "of 4" in reply(shop)
    story.gates.open("step-2")

    # The result: in the comment, and as a check run at the commit that was pinned, with the figures that are stored.
    judged, refitted = story.all_ended(2)
    assert (judged.ending, refitted.purpose, refitted.ending) == ("finished", "refit", "finished")
    (check,) = checks(shop)
    assert (check["conclusion"], check["head_sha"]) == ("success", pinned)
    assert shows(judged, words(check)) == []
    assert reply(shop).startswith("**WIN")

    # The threshold moves by the rule, the second repository flips and is posted again, and all of it is told.
    threshold, strongest_loser = seed_threshold()
    before, after = thresholds(story, installation)
    assert before == threshold.value
    assert after == pytest.approx((EDGE.density + strongest_loser) / 2, abs=1e-12)
    moved = f"moved from {numbers.density(before)} to {numbers.density(after)}; 1 of 2 verdicts flipped"
    assert moved in words(check)
    assert [run["conclusion"] for run in near.check_runs] == ["neutral", "success"]

    # The adapter ranks from now on, and a day later what was pushed meanwhile.
    assert ranked_by(story, installation, shop) == (pinned, "adapter")
    assert "Ranked by a language model" in words(checks(shop, "assay/screen")[-1])
    story.passes(timedelta(hours=25))
    *_, scored = story.all_ended(3)
    assert (scored.purpose, scored.ending, scored.head_sha) == ("score", "finished", pushed)
    assert ranked_by(story, installation, shop) == (pushed, "adapter")
    newest = checks(shop, "assay/screen")[-1]
    assert (newest["head_sha"], "Ranked by a language model" in words(newest)) == (pushed, True)

    # "Re-run" shows the stored result again and starts nothing.
    story.app.hear(check.rerequest("bob"))
    story.app.until("the run that was asked for again", lambda: len(checks(shop)) == 2)
    again = checks(shop)[1]
    assert (again["conclusion"], again["head_sha"], shows(judged, words(again))) == ("success", pinned, [])
    story.at_rest()
    assert len(story.runs()) == 3
    assert len(our_comments(shop)) == 1


def test_the_button_does_the_same_without_a_comment_and_force_is_marked(story: FinetuneApp) -> None:
    (story.gates.folder / "strength").write_text(str(LOSES))
    rich, poor = story.repository("rich", RICH), story.repository("poor", POOR)
    story.install(rich, poor)

    # The button: whoever may not gets nothing, and whoever may a check run that says what goes on.
    (verdict,) = rich.check_runs
    assert [action["identifier"] for action in poor.check_runs[0].actions] == ["rescreen"]
    story.app.hear(verdict.press("bob", "finetune"))
    story.app.until_idle()
    assert story.runs() == []
    story.app.hear(verdict.press("ann", "finetune"))
    story.app.until("a word that it waits", lambda: len(checks(rich)) == 1)
    assert checks(rich)[0]["status"] == "completed"

    # A SKIP: explained, and run all the same where somebody insists.
    asked = story.says(poor, "ann", "/finetune")
    assert reactions(asked) == ["eyes", "confused"]
    assert "SKIP" in reply(poor)
    assert "`/finetune --force`" in reply(poor)
    assert len(story.runs()) == 1
    story.says(poor, "ann", "/finetune --force", issue=2)

    story.gpu_worker()
    pressed, forced = story.all_ended(2)
    assert [(run.ending, run.forced) for run in (pressed, forced)] == [("finished", False), ("finished", True)]
    assert pressed.asked_by == story.github.account("ann").account_id
    assert [check["conclusion"] for check in checks(rich)] == ["neutral", "neutral"]
    assert "HARD LOSS" in words(checks(rich)[1])
    assert shows(pressed, words(checks(rich)[1])) == []
    assert "**Forced**" in words(checks(poor)[0])
    assert "Forced" in our_comments(poor)[1].body
    story.at_rest()
    assert our_comments(rich) == []


def test_an_audit_of_a_skip_is_labelled_and_answers_nobody(tmp_path: Path) -> None:
    with finetune_app(tmp_path, replace(POLICY, audit_share=1.0)) as story:
        (story.gates.folder / "strength").write_text(str(LOSES))
        shop, rich = story.repository("shop", POOR), story.repository("rich", RICH)
        story.install(shop, rich)
        story.gpu_worker()
        run = story.ended(1)
        assert (run.repository_id, run.audit, run.asked_by) == (shop.repository_id, True, None)
        assert "**Audit**" in words(checks(shop)[0])
        story.at_rest()
        assert [run.repository_id for run in story.runs()] == [shop.repository_id]
        assert (our_comments(shop), checks(rich)) == ([], [])
