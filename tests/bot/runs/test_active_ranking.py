"""What ranks a repository, and when a run is opened to rank it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.records import Run
from bot.runs.active_ranking import ActiveRanking, active_ranking, request_scores, shortlist_in, why_no_run
from bot.store.budgets import remove_budget
from bot.store.configs import save_repository_config
from bot.store.repositories import save_repository
from bot.store.runs import queue_run
from bot.store.screenings import newest_screening
from pipeline.reports.finetune_figures import BLEND
from tests.bot.messages.finetune_runs import ASKED_AT, SHORTLIST, ended_run, ranker, stored_result
from tests.bot.messages.screenings import HEAD, NEWER_HEAD
from tests.builders.command_harness import POLICY
from tests.builders.result_harness import BASELINE_RANKING, ResultHarness, open_result_harness

WON = stored_result()
LOST = WON | {"outcome": "SOFT LOSS"}
LATER = ASKED_AT + timedelta(days=2)
JUDGED = ended_run(result=WON)
REFIT = ranker()
OPEN: dict[str, Any] = {"state": "queued", "result": None}


def judged(run_id: int, days: float, result: Any) -> Run:
    return ended_run(run_id=run_id, made_at=ASKED_AT + timedelta(days=days), result=result)


def test_the_newest_conclusive_outcome_decides(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, list[Run], int | None, bool]] = [
        ("none", [], None, False),
        ("win", [judged(1, 0, WON)], 1, True),
        ("loss", [judged(1, 0, LOST)], 1, False),
        ("lost since", [judged(1, 0, WON), judged(2, 1, LOST)], 2, False),
        ("won since", [judged(1, 0, LOST), judged(2, 1, WON)], 2, True),
        ("late", [judged(2, 0, WON), judged(1, 1, LOST)], 1, False),  # by when they were asked for, not by number
        ("unsure", [judged(1, 0, WON), judged(2, 1, WON | {"outcome": "INCONCLUSIVE"})], 1, True),
        ("control", [judged(1, 0, WON), judged(2, 1, LOST | {"control": "shuffled labels"})], 1, True),
        ("unreadable", [judged(1, 0, WON), judged(2, 1, {"outcome": 5})], 1, True),
        ("crashed", [judged(1, 0, WON), replace(judged(2, 1, None), ending="crashed")], 1, True),
    ]
    for case, runs, decides, by_adapter in cases:
        with subtests.test(case):
            for order in (runs, runs[::-1]):
                found = active_ranking(order)
                assert (found.judged and found.judged.run_id, found.by_adapter) == (decides, by_adapter)


def test_the_blend_ranks_if_it_was_better() -> None:
    result = WON | {"scorers": WON["scorers"] | {BLEND: {"rho": 0.9}}}
    adapter = active_ranking([ended_run(result=result)]).adapter_at(HEAD)
    assert adapter is not None
    assert (adapter.scorer, adapter.delta.value) == ("blend", WON["delta"])


def test_an_adapters_state_at_a_commit() -> None:
    cases: list[tuple[list[Run], str, tuple[str, str]]] = [
        ([], HEAD, ("waits", "")),
        ([ranker(ending=None, **OPEN)], HEAD, ("coming", "")),
        ([ranker(ending=None, **OPEN)], NEWER_HEAD, ("coming", "")),
        ([REFIT], HEAD, ("ranks", "")),
        ([REFIT], NEWER_HEAD, ("waits", "")),
        ([REFIT, ranker("score", "", run_id=9, head_sha=NEWER_HEAD, **OPEN)], NEWER_HEAD, ("coming", "")),
        ([REFIT, ranker("score", run_id=9, head_sha=NEWER_HEAD)], NEWER_HEAD, ("ranks", "")),
        (
            [REFIT, ranker("score", "crashed", run_id=9, head_sha=NEWER_HEAD, reason="no disk")],
            NEWER_HEAD,
            ("failed", "no disk"),
        ),
        ([ranker(ending="out_of_budget", reason="no minutes")], HEAD, ("failed", "no minutes")),
        ([ranker(ending="out_of_budget", reason="no minutes")], NEWER_HEAD, ("failed", "no minutes")),
        ([ranker(ending="crashed")], HEAD, ("failed", "the reason is not known")),
        ([ranker(judged_run_id=6)], HEAD, ("waits", "")),  # of an older win
        ([ranker(result={"shortlist": {"scorer": 5}})], HEAD, ("failed", "the ranking that it stored cannot be read")),
    ]
    wrong = [
        (rankers, head_sha, got, state)
        for rankers, head_sha, state in cases
        if (got := active_ranking([JUDGED, *rankers]).state_at(head_sha)) != state
    ]
    assert wrong == []


def test_a_malformed_ranking_is_none() -> None:
    cases: list[Any] = [None, {}, {"shortlist": None}, {"shortlist": []}, {"shortlist": {"scorer": "x"}}]
    wrong = [(result, got) for result in cases if (got := shortlist_in(ranker(result=result))) is not None]
    assert wrong == []


def test_a_run_is_opened_once_per_day_and_commit() -> None:
    cases: list[tuple[list[Run], str]] = [
        ([], ""),
        ([REFIT], ""),
        ([replace(REFIT, artifacts=None)], ""),
        ([replace(REFIT, made_at=LATER)], ""),  # a refit that is done stands in nobody's way
        ([ranker(ending=None, **OPEN)], "a run is already open"),
        ([ranker("score", run_id=9, head_sha=NEWER_HEAD)], "this commit was tried before"),
        ([ranker(ending="crashed", head_sha=NEWER_HEAD)], "this commit was tried before"),
        (
            [REFIT, ranker("score", run_id=9, made_at=LATER - timedelta(hours=23))],
            "a run was requested within the last day",
        ),
        ([ranker(ending="crashed", made_at=LATER - timedelta(hours=23))], "a run was requested within the last day"),
        ([REFIT, ranker("score", run_id=9, made_at=LATER - timedelta(hours=25))], ""),
    ]
    wrong = [
        (rankers, got, why)
        for rankers, why in cases
        if (got := why_no_run(active_ranking([JUDGED, *rankers]), NEWER_HEAD, LATER)) != why
    ]
    assert wrong == []


def test_without_a_run_no_adapter_is_shown() -> None:
    assert ActiveRanking().adapter_at(HEAD) is None
    assert active_ranking([ended_run(result=LOST)]).adapter_at(HEAD) is None


# With a store


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[ResultHarness]:
    """After a win whose adapter was trained once more and ranks."""
    with open_result_harness(tmp_path) as harness:
        harness.run_ends()
        harness.results()
        harness.ends(queued(harness), "finished", {"shortlist": SHORTLIST})
        harness.results()
        yield harness


def queued(harness: ResultHarness) -> Run:
    """The newest run, prepared."""
    run: Run = harness.runs()[0]
    harness.write(lambda c: queue_run(c, run, pair_set_id="c" * 64, minutes=10.0, month="2026-03", now=harness.now))
    return run


def asked(harness: ResultHarness) -> tuple[bool, list[str]]:
    """Whether the ranking changed at once, and the runs that are open now."""
    changed = harness.write(lambda c: request_scores(c, harness.harness.policy, *harness.ids, harness.now))
    return changed, [run.purpose for run in harness.runs() if run.state != "ended"]


def pushed(harness: ResultHarness) -> None:
    """A newer head is measured, and ranked by the baseline."""
    newer = harness.world.ask("GET", f"/repos/{harness.world.shop.full_name}/commits/feature/x").json()["sha"]
    harness.world.shop.default_branch = "feature/x"
    assert harness.world.head == newer
    harness.is_measured()


def ranking(harness: ResultHarness) -> Any:
    newest = harness.read(lambda c: newest_screening(c, *harness.ids))
    assert newest is not None
    return newest.ranking


def test_a_commit_measured_again_reuses_its_ranking(harness: ResultHarness) -> None:
    harness.is_measured()
    assert ranking(harness) == BASELINE_RANKING
    assert asked(harness) == (True, [])
    assert ranking(harness) == SHORTLIST


def test_a_newer_commit_is_scored_once(harness: ResultHarness) -> None:
    pushed(harness)
    assert asked(harness) == (False, ["score"])
    assert asked(harness) == (False, ["score"])
    score = queued(harness)
    assert (score.head_sha, score.judged_run_id) == (harness.world.head, harness.runs()[-1].run_id)
    assert len(harness.jobs("prepare")) == 2  # of the refit, and of the score
    harness.ends(score, "finished", {"shortlist": SHORTLIST})
    harness.results()
    assert ranking(harness) == SHORTLIST


def test_a_ranking_of_a_commit_that_is_no_longer_the_newest_is_not_shown(harness: ResultHarness) -> None:
    pushed(harness)
    asked(harness)
    score = queued(harness)
    harness.world.shop.default_branch = "main"
    harness.is_measured()
    harness.ends(score, "finished", {"shortlist": SHORTLIST | {"scorer": "adapter", "ranked_files": 3}})
    harness.results()
    assert ranking(harness) == SHORTLIST  # that of the commit which is the newest again


@pytest.mark.parametrize("why", ["no budget", "switched off", "observes", "model gone", "public"])
def test_no_run_is_opened_if_the_ranking_is_not_shown_or_fine_tuning_is_off(harness: ResultHarness, why: str) -> None:
    pushed(harness)
    if why == "no budget":
        harness.write(lambda c: remove_budget(c, harness.ids[0]))
    elif why == "switched off":
        off = {"head_sha": HEAD, "found": True, "config": {"finetune_enabled": False}, "problems": []}
        harness.write(lambda c: save_repository_config(c, *harness.ids, off))
    elif why == "observes":
        harness.becomes(mode="observe")
    elif why == "model gone":
        harness.becomes(
            base_models={name: model for name, model in POLICY.base_models.items() if name != POLICY.base_model}
        )
    else:
        harness.write(lambda c: save_repository(c, replace(harness.repository, private=False)))
    assert asked(harness) == (False, [])
    assert ranking(harness) in (BASELINE_RANKING, None)
