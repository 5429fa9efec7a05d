"""The comment that replies to a command is created once, edited in place, and delayed or given up when it must be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bot.calibration.threshold_change import CalibrationChange, dump_change
from bot.messages.replies import marker
from bot.records import Reply, Run
from bot.run_progress import Progress, dump_progress
from bot.runs.end_run import finish_and_report
from bot.store.budgets import remove_budget
from bot.store.calibrations import save_calibration
from bot.store.jobs import request_job
from bot.store.reply_comments import GIVEN_UP, replies_of_run
from bot.store.runs import claim_run, note_progress, queue_run, settle_run
from pipeline.records import Threshold
from pipeline.reports.finetune_json import finetune_json
from tests.builders.command_harness import Harness, open_harness
from tests.builders.finetunings import result
from tests.simulator.faults import forbidden, lost, status
from tests.simulator.state import Comment

PROGRESS = dump_progress(Progress("choosing the steps", seed=1, seeds=3, step=30, steps=120, minutes_left=34.2))


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    with open_harness(tmp_path) as opened:
        opened.world.shop.roles.update(ann="maintain")
        opened.gives_budget()
        opened.is_measured()
        yield opened


def the_comment(harness: Harness) -> Comment:
    (comment,) = harness.our_comments()
    return comment


def the_row(harness: Harness) -> Reply:
    (run,) = harness.runs()
    (row,) = harness.read(lambda c: replies_of_run(c, run.installation_id, run.run_id))
    assert isinstance(row, Reply)
    return row


def asks_for_reply(harness: Harness) -> None:
    run, now = harness.runs()[0], harness.world.clock.now()
    of_it: dict[str, Any] = {"key": str(run.run_id), "arguments": {"run_id": run.run_id}}
    harness.write(lambda c: request_job(c, *harness.ids, "reply", now, **of_it))


def requests(harness: Harness, method: str, part: str) -> int:
    return sum(seen.method == method and part in seen.path for seen in harness.world.github.requests)


def runs(harness: Harness) -> Run:
    """A run that a GPU worker has."""
    harness.says("ann", "/finetune")
    harness.answers()
    now = harness.world.clock.now()
    (run,) = harness.runs()
    harness.write(lambda c: queue_run(c, run, pair_set_id="e" * 64, minutes=80, month="2026-03", now=now))
    claimed = harness.write(lambda c: claim_run(c, "gpu-1", now, now, lease_s=1e6))
    assert isinstance(claimed, Run)
    return claimed


def test_one_comment_is_edited_in_place_from_queue_to_result(harness: Harness) -> None:
    run = runs(harness)
    assert the_comment(harness).body.startswith("**Preparing.**")
    harness.world.clock.advance(60)
    harness.write(lambda c: note_progress(c, run, PROGRESS, harness.world.clock.now()))
    asks_for_reply(harness)
    harness.answers()
    said = the_comment(harness).body
    assert said.startswith("**Running.**")
    assert "step 30 of 120" in said
    assert "About 35 minutes left." in said
    finished = finetune_json(result())
    harness.write(
        lambda c: finish_and_report(
            c, run, "finished", "", harness.world.clock.now(), spent_minutes=41.5, result=finished
        )
    )
    asks_for_reply(harness)
    harness.answers()
    said = the_comment(harness).body
    assert said.startswith("**WIN:")
    assert "It used 42 GPU minutes." in said
    assert said.endswith(marker(the_row(harness).reply_id))


def test_the_change_of_the_threshold_is_shown_once_it_is_applied(harness: Harness) -> None:
    run, now, finished = runs(harness), harness.world.clock.now(), finetune_json(result())
    harness.write(lambda c: finish_and_report(c, run, "finished", "", now, spent_minutes=41.5, result=finished))
    asks_for_reply(harness)
    harness.answers()
    assert "threshold" not in the_comment(harness).body
    before, after = (Threshold(value, 0.02, 0.03, "seed", True) for value in (0.0264, 0.0271))
    change = dump_change(CalibrationChange(before, after, "v1", "v2", ((9, "RUN", "SKIP"),), 143))
    version = ("r1", "tiny", "v2", asdict(after))
    harness.write(lambda c: save_calibration(c, run.installation_id, *version, {}, change, run.run_id, now))
    harness.write(lambda c: settle_run(c, run))
    asks_for_reply(harness)
    harness.answers()
    assert "- The threshold moved from 0.0264 to 0.0271; 1 of 143 verdicts flipped." in the_comment(harness).body


def test_the_same_text_is_not_written_again(harness: Harness) -> None:
    harness.says("ann", "/finetune")
    harness.answers()
    harness.world.clock.advance(60)
    before = len(harness.world.github.requests)
    asks_for_reply(harness)
    harness.answers()
    assert len(harness.world.github.requests) == before


def test_a_running_run_is_shown_every_fifteen_seconds_at_most_and_its_end_at_once(harness: Harness) -> None:
    run = runs(harness)
    asks_for_reply(harness)
    harness.answers()
    assert requests(harness, "PATCH", "comments") == 0
    harness.world.clock.advance(14)
    harness.answers()
    assert requests(harness, "PATCH", "comments") == 0
    harness.world.clock.advance(1)
    harness.answers()
    assert requests(harness, "PATCH", "comments") == 1
    now = harness.world.clock.now()
    harness.write(lambda c: finish_and_report(c, run, "crashed", "the model is broken", now, spent_minutes=1))
    asks_for_reply(harness)
    harness.answers()
    assert requests(harness, "PATCH", "comments") == 2
    assert "Reason: the model is broken" in the_comment(harness).body


def test_a_comment_whose_response_was_lost_is_found_and_not_written_twice(harness: Harness) -> None:
    harness.world.github.fault("POST .*/issues/1/comments", lost())
    harness.says("ann", "/finetune")
    harness.answers()
    assert the_row(harness).posted_id == 0
    somebody = harness.world.shop.comment("eve", f"> {the_comment(harness).body}")  # quotes it, marker and all
    harness.world.clock.advance(60)
    harness.answers()
    assert the_row(harness).posted_id == the_comment(harness).comment_id != somebody.comment_id


def test_a_comment_that_github_never_got_is_written_by_the_next_attempt(harness: Harness) -> None:
    harness.world.github.fault("POST .*/issues/1/comments", status(502))
    harness.says("ann", "/finetune")
    harness.answers()
    assert harness.our_comments() == []
    harness.world.clock.advance(60)
    harness.answers()
    assert the_row(harness).posted_id == the_comment(harness).comment_id


def test_a_comment_that_somebody_deleted_is_not_written_again(harness: Harness) -> None:
    run = runs(harness)
    the_comment(harness).delete()
    harness.world.clock.advance(60)
    asks_for_reply(harness)
    harness.answers()
    now = harness.world.clock.now()
    harness.write(lambda c: finish_and_report(c, run, "crashed", "why", now, spent_minutes=1))
    asks_for_reply(harness)
    harness.answers()
    assert harness.our_comments() == []
    assert the_row(harness).posted_digest == GIVEN_UP
    assert requests(harness, "PATCH", "comments") == 1


def test_a_locked_conversation_refuses_the_comment_and_the_run_continues(harness: Harness) -> None:
    harness.world.shop.locked.add(1)
    harness.says("ann", "/finetune")
    harness.answers()
    assert (harness.our_comments(), len(harness.runs()), the_row(harness).posted_digest) == ([], 1, GIVEN_UP)


def test_a_conversation_unlocked_later_gets_the_end(harness: Harness) -> None:
    run = runs(harness)
    harness.world.shop.locked.add(1)
    harness.world.clock.advance(60)
    asks_for_reply(harness)
    harness.answers()
    assert the_comment(harness).body.startswith("**Preparing.**")
    harness.world.shop.locked.clear()
    now = harness.world.clock.now()
    harness.write(lambda c: finish_and_report(c, run, "timed_out", "", now, spent_minutes=1))
    asks_for_reply(harness)
    harness.answers()
    assert the_comment(harness).body.startswith("**Timed out")


def test_a_rate_limit_delays_it(harness: Harness) -> None:
    harness.world.github.fault("POST .*/issues/1/comments", forbidden(seconds=90))
    harness.says("ann", "/finetune")
    harness.answers()
    assert harness.our_comments() == []
    harness.world.clock.advance(91)
    harness.answers()
    assert len(harness.our_comments()) == 1


def test_exhausted_write_limits_delay_it(harness: Harness) -> None:
    harness.says("ann", "/finetune")
    harness.fills_writes()
    harness.answers()
    assert harness.our_comments() == []
    harness.forgets_writes()
    harness.world.clock.advance(3_700)
    harness.answers()
    assert len(harness.our_comments()) == 1


def test_nothing_is_written_to_a_suspended_installation(harness: Harness) -> None:
    harness.says("ann", "/finetune")
    harness.world.installation.suspend()
    harness.answers()
    assert harness.our_comments() == []


def test_a_removed_budget_is_shown(harness: Harness) -> None:
    harness.says("ann", "/finetune")
    harness.answers()
    (run,) = harness.runs()
    now = harness.world.clock.now()
    harness.write(lambda c: queue_run(c, run, pair_set_id="e" * 64, minutes=80, month="2026-03", now=now))
    harness.write(lambda c: remove_budget(c, harness.ids[0]))
    harness.world.clock.advance(60)
    asks_for_reply(harness)
    harness.answers()
    assert "This account’s GPU budget was withdrawn" in the_comment(harness).body
