"""The end of a run is counted, posted and replied to exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.records import Run, RunEnding
from bot.store.budgets import remove_budget
from bot.store.check_runs import create_check_run, unposted_check_runs
from bot.store.configs import save_repository_config
from bot.store.installations import set_installation_state
from bot.store.repositories import save_repository
from bot.store.runs import queue_run
from bot.store.screenings import newest_screening
from tests.bot.messages.finetune_runs import SHORTLIST
from tests.builders.result_harness import BASELINE_RANKING, WON, ResultHarness, open_result_harness
from tests.simulator import faults

LOST = WON | {"outcome": "SOFT LOSS", "rho_adapter": 0.15, "delta": 0.004}
UNSURE = WON | {"outcome": "INCONCLUSIVE"}
GONE = "d" * 40


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[ResultHarness]:
    with open_result_harness(tmp_path) as harness:
        yield harness


@pytest.fixture
def public_harness(tmp_path: Path) -> Iterator[ResultHarness]:
    with open_result_harness(tmp_path, private=False) as harness:
        yield harness


def ranking(harness: ResultHarness) -> Any:
    newest = harness.read(lambda c: newest_screening(c, *harness.ids))
    assert newest is not None
    return newest.ranking


def purposes(harness: ResultHarness) -> list[str]:
    """Of all runs, oldest first."""
    return [run.purpose for run in reversed(harness.runs())]


class TestWin:
    def test_it_is_posted_where_it_was_pinned_and_counted_and_trained_once_more(self, harness: ResultHarness) -> None:
        run = harness.run_ends()
        harness.results()
        (told,) = harness.told()
        assert (told["head_sha"], told["conclusion"]) == (harness.world.head, "success")
        assert told["output"]["title"].startswith("WIN: ρ 0.696 with the adapter, 0.147 with the baseline")
        assert "It joined the calibration set. " in told["output"]["summary"]
        assert "is being retrained" in told["output"]["summary"]
        assert harness.run(run).settled
        _, refit = reversed(harness.runs())
        assert (refit.purpose, refit.judged_run_id, refit.head_sha) == ("refit", run.run_id, harness.world.head)
        assert (refit.base_model, refit.recipe, refit.asked_by) == (run.base_model, run.recipe, None)
        assert [job.arguments for job in harness.jobs("prepare")] == [{"run_id": refit.run_id}]
        assert [job.arguments for job in harness.jobs("reply")] == [{"run_id": run.run_id}]

    def test_the_same_job_again_changes_nothing(self, harness: ResultHarness) -> None:
        run = harness.run_ends()
        harness.results()
        harness.asks_for("result", {"run_id": run.run_id}, key=str(run.run_id))
        (job,) = harness.results()
        assert job.reason == "written before"
        assert len(harness.told()) == 1
        assert purposes(harness) == ["judge", "refit"]

    def test_a_public_repository_is_trained_for_nobody(self, public_harness: ResultHarness) -> None:
        public_harness.run_ends()
        public_harness.results()
        assert purposes(public_harness) == ["judge"]
        assert "its ranking is not shown" in public_harness.told()[0]["output"]["summary"]

    def test_without_a_budget_it_is_not_trained_once_more(self, harness: ResultHarness) -> None:
        run = harness.run_ends()
        harness.write(lambda c: remove_budget(c, run.installation_id))
        harness.results()
        assert purposes(harness) == ["judge"]
        assert "It is not retrained, because there are no GPU minutes" in harness.told()[0]["output"]["summary"]


@pytest.mark.parametrize(
    ("ending", "conclusion", "title"),
    [
        ("crashed", "neutral", "crashed without a result"),
        ("cancelled", "cancelled", "cancelled without a result"),
        ("timed_out", "neutral", "timed out without a result"),
        ("out_of_budget", "neutral", "not started: the GPU budget does not cover it"),
        ("refused", "neutral", "not started"),
    ],
)
def test_every_ending_is_posted_and_replied_to_and_changes_nothing(
    harness: ResultHarness, ending: RunEnding, conclusion: str, title: str
) -> None:
    run = harness.ends(harness.asks(), ending, reason="it broke")
    harness.results()
    (told,) = harness.told()
    assert (told["conclusion"], told["output"]["title"]) == (conclusion, title)
    assert "Reason: it broke" in told["output"]["summary"]
    assert harness.run(run).settled
    assert [job.arguments for job in harness.jobs("reply")] == [{"run_id": run.run_id}]
    assert harness.jobs("recalibrate") == harness.jobs("prepare") == []


def test_an_inconclusive_outcome_changes_nothing(harness: ResultHarness) -> None:
    harness.run_ends(result=UNSURE)
    harness.results()
    assert "Nothing: an inconclusive outcome is kept in the ledger" in harness.told()[0]["output"]["summary"]
    assert purposes(harness) == ["judge"]


def test_a_malformed_result_is_posted_too(harness: ResultHarness) -> None:
    harness.run_ends(result={"outcome": 7})
    harness.results()
    assert harness.told()[0]["output"]["title"] == "finished, but the result cannot be read"


def test_a_late_result_of_an_older_command_overrules_nothing(harness: ResultHarness) -> None:
    older = harness.asks(made_at=harness.now - timedelta(days=1))
    late = harness.ends(older, "finished", LOST)
    harness.harness.world.clock.advance(60)
    newer = harness.run_ends()
    harness.results()
    first, second = harness.told()
    assert first["output"]["title"].startswith("SOFT LOSS")
    assert "this run was requested before that one" in first["output"]["summary"]
    assert "is being retrained" in second["output"]["summary"]
    refit = harness.runs()[0]
    assert (refit.purpose, refit.judged_run_id, late.run_id < newer.run_id) == ("refit", newer.run_id, True)


class TestFaults:
    def test_a_worker_that_died_after_writing_writes_no_second_one(self, harness: ResultHarness) -> None:
        run = harness.run_ends()
        row = harness.write(
            lambda c: create_check_run(
                c, *harness.ids, "assay/finetune", harness.world.head, 1, "success", harness.now, run_id=run.run_id
            )
        )
        body = {"name": row.name, "head_sha": row.head_sha, "status": "completed", "conclusion": "success"}
        harness.world.ask(
            "POST", f"/repos/{harness.world.shop.full_name}/check-runs", body | {"external_id": row.external_id}
        )
        (job,) = harness.results()
        assert job.reason == "written before"
        assert len(harness.told()) == 1
        assert harness.run(run).settled

    def test_a_worker_that_died_before_writing_leaves_it_to_the_next(self, harness: ResultHarness) -> None:
        run = harness.run_ends()
        harness.write(
            lambda c: create_check_run(
                c, *harness.ids, "assay/finetune", harness.world.head, 1, "success", harness.now, run_id=run.run_id
            )
        )
        harness.results()
        assert len(harness.told()) == 1
        assert harness.read(lambda c: unposted_check_runs(c, *harness.ids, "assay/finetune")) == []

    def test_without_an_answer_it_is_looked_for_and_settled_once(self, harness: ResultHarness) -> None:
        run = harness.run_ends()
        harness.world.github.fault(
            f"POST /repos/{harness.world.shop.full_name}/check-runs", faults.status(502), times=1
        )
        harness.results()
        assert harness.run(run).settled
        harness.harness.world.clock.advance(timedelta(hours=1))
        harness.results()
        assert len(harness.told()) == 1
        assert purposes(harness) == ["judge", "refit"]

    def test_a_commit_that_is_gone_is_answered_in_the_comment_alone(self, harness: ResultHarness) -> None:
        run = harness.run_ends(head_sha=GONE)
        (job,) = harness.results()
        assert job.reason == "that commit is not of this repository"
        assert harness.told() == []
        assert harness.run(run).settled
        assert [job.arguments for job in harness.jobs("reply")] == [{"run_id": run.run_id}]
        assert harness.read(lambda c: unposted_check_runs(c, *harness.ids, "assay/finetune")) == []

    def test_it_waits_for_room_under_the_limits_on_writes(self, harness: ResultHarness) -> None:
        harness.run_ends()
        harness.fills_writes()
        harness.results()
        assert harness.told() == []
        harness.forgets_writes()
        harness.harness.world.clock.advance(timedelta(hours=2))
        harness.results()
        assert len(harness.told()) == 1

    def test_a_suspended_installation_is_told_afterwards(self, harness: ResultHarness) -> None:
        run = harness.run_ends()
        harness.write(lambda c: set_installation_state(c, run.installation_id, "suspended"))
        harness.results()
        assert (harness.told(), harness.run(run).settled) == ([], True)
        harness.write(lambda c: set_installation_state(c, run.installation_id, "active"))
        harness.harness.world.clock.advance(timedelta(hours=2))
        harness.results()
        assert len(harness.told()) == 1


@pytest.mark.parametrize("why", ["only observing", "archived"])
def test_an_outcome_counts_even_if_nothing_is_posted(harness: ResultHarness, why: str) -> None:
    run = harness.run_ends(result=LOST)
    if why == "archived":
        harness.write(lambda c: save_repository(c, replace(harness.repository, archived=True)))
    else:
        harness.becomes(mode="observe")
    (job,) = harness.results()
    assert (job.reason, harness.told(), harness.run(run).settled) == (why, [], True)


class TestRanking:
    def test_what_was_trained_once_more_ranks_and_is_posted(self, harness: ResultHarness) -> None:
        harness.run_ends()
        harness.results()
        assert ranking(harness) == BASELINE_RANKING
        refit = harness.runs()[0]
        harness.write(lambda c: _queued(c, harness, refit))
        made = SHORTLIST | {"retrained": SHORTLIST["retrained"] | {"run_id": str(refit.judged_run_id)}}
        harness.ends(refit, "finished", {"shortlist": made})
        harness.results()
        assert ranking(harness) == made
        assert len(harness.told()) == 1  # it has no check run of its own
        harness.does("post")
        (posted,) = harness.verdicts()
        said = posted["output"]["text"]
        assert "Ranked by a language model that was fine-tuned on this repository’s bug fixes." in said
        assert "Δρ against the baseline +0.549" in said
        assert "and not judged again" in said
        harness.asks_for("result", {"run_id": refit.run_id}, key=str(refit.run_id))
        harness.results()
        assert harness.does("post") is None  # once

    def test_what_could_not_be_trained_once_more_leaves_the_baseline_and_says_so(self, harness: ResultHarness) -> None:
        harness.run_ends()
        harness.results()
        harness.ends(harness.runs()[0], "out_of_budget", reason="it would take 90 minutes")
        harness.results()
        assert ranking(harness) == BASELINE_RANKING
        harness.does("post")
        said = harness.verdicts()[0]["output"]["text"]
        assert "It could not rank this commit, so the baseline is shown. Reason: it would take 90 minutes" in said
        assert "a fixed formula" in said

    def test_until_it_ranks_the_baseline_is_shown_and_that_is_said(self, harness: ResultHarness) -> None:
        harness.run_ends()
        harness.results()
        harness.asks_for("post", {"again": True})
        harness.does("post")
        said = harness.verdicts()[0]["output"]["text"]
        assert (
            "A fine-tuned model did better here when it was judged: Δρ against the baseline +0.549 (95 %: +0.378"
            in said
        )
        assert "It is about to rank this commit; until then the baseline is shown." in said

    def test_a_newer_loss_gives_the_ranking_back_to_the_baseline(self, harness: ResultHarness) -> None:
        harness.run_ends()
        harness.results()
        harness.ranks(SHORTLIST)
        harness.harness.world.clock.advance(60)
        harness.run_ends(result=LOST)
        harness.results()
        assert [job.arguments for job in harness.jobs("screen")] == [{"force": True}]


class TestVerdict:
    def posted(self, harness: ResultHarness) -> Any:
        harness.asks_for("post", {"again": True})
        harness.does("post")
        return harness.verdicts()[-1]

    def test_where_fine_tuning_is_on_it_has_the_button(self, harness: ResultHarness) -> None:
        posted = self.posted(harness)
        assert [action["identifier"] for action in posted.actions] == ["finetune", "rescreen"]
        assert "Press **Fine-tune** above, or comment `/finetune` on an issue." in posted["output"]["summary"]

    @pytest.mark.parametrize(
        ("why", "said"),
        [
            ("server", "This server does not offer fine-tuning."),
            ("budget", "This account has no GPU budget."),
            ("configuration", "Fine-tuning is disabled. The configuration"),
        ],
    )
    def test_where_it_is_off_it_says_why_and_has_none(self, harness: ResultHarness, why: str, said: str) -> None:
        if why == "server":
            harness.becomes(base_models={})
        elif why == "budget":
            harness.write(lambda c: remove_budget(c, harness.ids[0]))
        else:
            off = {"head_sha": "", "found": True, "config": {"finetune_enabled": False}, "problems": []}
            harness.write(lambda c: save_repository_config(c, *harness.ids, off))
        posted = self.posted(harness)
        assert [action["identifier"] for action in posted.actions] == ["rescreen"]
        assert said in posted["output"]["summary"]


class TestButtonsAndReruns:
    def test_a_button_that_was_refused_is_told_why(self, harness: ResultHarness) -> None:
        harness.asks_for("result", {"refused": "skip", "head_sha": harness.world.head}, key="refused")
        harness.results()
        (told,) = harness.told()
        assert (told["conclusion"], told["output"]["title"]) == ("neutral", "not started: the verdict is SKIP")

    def test_a_button_that_was_heard_is_told_so_and_the_result_is_a_new_check_run(self, harness: ResultHarness) -> None:
        run = harness.asks(comment_id=None)
        harness.asks_for("result", {"queued": run.run_id}, key=f"queued/{run.run_id}")
        harness.results()
        harness.ends(run)
        harness.results()
        titles = [told["output"]["title"] for told in harness.told()]
        assert titles[0] == "queued: waiting for a GPU worker"
        assert titles[1].startswith("WIN: ")

    def test_re_run_shows_the_stored_result_and_starts_nothing(self, harness: ResultHarness) -> None:
        harness.run_ends()
        harness.results()
        before = purposes(harness)
        (first,) = harness.told()
        harness.hears(first.rerequest("ann"))
        harness.results()
        second = harness.told()[1]
        assert second["output"]["summary"] == first["output"]["summary"]
        assert second["external_id"] != first["external_id"]
        assert second.suite.status == "completed"
        assert purposes(harness) == before

    def test_re_run_of_a_refusal_says_that_there_is_nothing(self, harness: ResultHarness) -> None:
        harness.asks_for("result", {"refused": "skip", "head_sha": harness.world.head}, key="refused")
        harness.results()
        harness.hears(harness.told()[0].rerequest("ann"))
        harness.results()
        assert harness.told()[1]["output"]["title"] == "no result is stored"

    def test_re_run_of_what_is_on_its_way_says_how_far_it_is(self, harness: ResultHarness) -> None:
        run = harness.asks(comment_id=None)
        harness.asks_for("result", {"queued": run.run_id}, key=f"queued/{run.run_id}")
        harness.results()
        harness.hears(harness.told()[0].rerequest("ann"))
        harness.results()
        assert harness.told()[1]["output"]["title"] == "queued: waiting for a GPU worker"

    def test_a_suite_is_answered_with_both(self, harness: ResultHarness) -> None:
        harness.run_ends()
        harness.results()
        harness.asks_for("post", {"again": True})
        harness.does("post")
        suite = harness.told()[0].suite
        harness.hears(suite.rerequest("ann"))
        harness.does("post")
        harness.results()
        assert (len(harness.told()), len(harness.verdicts())) == (2, 2)
        assert suite.status == "completed"

    def test_a_suite_without_a_result_is_answered_with_the_verdict_alone(self, harness: ResultHarness) -> None:
        harness.asks_for("post", {"again": True})
        harness.does("post")
        harness.hears(harness.verdicts()[0].suite.rerequest("ann"))
        harness.does("post")
        assert (len(harness.verdicts()), harness.jobs("result")) == (2, [])


async def _queued(connection: Any, harness: ResultHarness, run: Run) -> None:
    await queue_run(connection, run, pair_set_id="c" * 64, minutes=10.0, month="2026-03", now=harness.now)
