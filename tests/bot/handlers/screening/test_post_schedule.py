"""When a verdict is posted, carried, measured again, or left alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.handlers.screening.post_schedule import (
    Measure,
    Post,
    PostOptions,
    Skip,
    Wait,
    decide,
    must_measure,
    settled_at,
    verdict_key,
)
from bot.records import Repository, RepositoryMemory, StoredCheckRun, StoredScreening

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
OLD, NEW, NEWER = "a" * 40, "b" * 40, "c" * 40


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


SHOP = Repository(10, 100, "acme/shop", "main", private=False, archived=False)
MEASURED = StoredScreening(1, 10, 100, OLD, T0, {"commits": 9}, {"verdict": "RUN", "measurable": True}, "", "l", "")
POSTED = StoredCheckRun(1, 10, 100, "assay/screen", OLD, 1, 77, "success", T0, T0)
QUIET = RepositoryMemory(SHOP, measured_at=T0, posted_at=T0)
DAY = 24 * 60.0
BECAUSE_OF_THE_QUEUE = PostOptions()


def pushed(minutes: float, head_sha: str = NEW, since: float | None = None, forced: bool = False) -> RepositoryMemory:
    """After a push; `since`: the first of its burst."""
    return replace(
        QUIET,
        pushed_head=head_sha,
        pushed_at=at(minutes),
        push_burst_since=at(minutes if since is None else since),
        history_changed=forced,
    )


def decided(
    memory: RepositoryMemory,
    minutes: float,
    *,
    newest: StoredScreening | None = MEASURED,
    posted: StoredCheckRun | None = POSTED,
    options: PostOptions = BECAUSE_OF_THE_QUEUE,
) -> object:
    posted_screening = MEASURED if posted is not None and posted.screening_id == 1 else None
    return decide(memory, newest, posted, posted_screening, options, at(minutes))


def test_pushes_are_answered_after_quiet() -> None:
    cases: list[tuple[RepositoryMemory, float | None]] = [
        (QUIET, None),
        (pushed(100), 101),  # a minute of quiet
        (pushed(105, since=100), 106),
        (pushed(109.5, since=100), 110),  # at most ten minutes after the first
        (pushed(200, since=100), 110),
        (replace(pushed(200, since=100), posted_at=at(195)), 201),  # ten minutes from the last answer on
        (replace(pushed(204.5, since=100), measured_at=at(195)), 205),
    ]
    wrong = [
        (memory, minutes, got, wanted)
        for memory, minutes in cases
        if (got := settled_at(memory)) != (wanted := None if minutes is None else at(minutes))
    ]
    assert wrong == []


def test_a_measurement_is_valid_until_it_is_old_or_its_history_rewritten() -> None:
    cases: list[tuple[RepositoryMemory, StoredScreening | None, float, str]] = [
        (QUIET, None, 0, "never measured"),
        (QUIET, MEASURED, 10 * DAY, ""),  # without a push nothing is measured again, however old
        (pushed(100), MEASURED, 102, ""),
        (pushed(DAY + 1), MEASURED, DAY + 2, "measured more than a day ago"),
        (pushed(DAY - 3), MEASURED, DAY - 2, ""),
        (pushed(100, forced=True), MEASURED, 102, "the history was rewritten"),
        (pushed(100, forced=True), replace(MEASURED, measured_at=at(101)), 102, ""),  # measured since
        (
            pushed(100, forced=True),
            replace(MEASURED, measured_at=at(101), failure="no"),
            102,
            "",
        ),  # it would fail again
        (pushed(DAY + 1, OLD), MEASURED, DAY + 2, ""),  # back on the head that was measured
    ]
    wrong = [
        (memory, newest, minutes, got, why)
        for memory, newest, minutes, why in cases
        if (got := must_measure(memory, newest, at(minutes))) != why
    ]
    assert wrong == []


FAILED = replace(MEASURED, screening_id=2, judgement={}, failure="took longer than 60 minutes")
CHANGED = replace(MEASURED, screening_id=2, judgement={"verdict": "SKIP", "measurable": True})
SAME = replace(MEASURED, screening_id=2)


def test_a_post_job_decides_by_its_state_and_request(subtests: pytest.Subtests) -> None:
    cases: list[tuple[object, object]] = [
        (decided(QUIET, 5), Skip("nothing new")),
        (decided(QUIET, 5, posted=None), Post("the first verdict")),
        (decided(QUIET, 5, newest=None, posted=None), Measure("never measured")),
        (decided(QUIET, 5, newest=SAME), Post("measured again")),
        (decided(QUIET, 5, newest=FAILED), Post("measured again")),
        (decided(replace(QUIET, repository=replace(SHOP, archived=True)), 5, posted=None), Skip("archived")),
        # after a push
        (decided(pushed(100), 100.5), Wait(at(101), "waiting for quiet after a push")),
        (decided(pushed(100), 101), Post("carried to the newest head")),
        (decided(pushed(30), 31), Wait(at(60), "carried within the last hour")),
        (decided(pushed(100, OLD), 101), Skip("nothing new")),
        (decided(pushed(DAY), DAY + 1), Measure("measured more than a day ago")),
        (decided(pushed(30, forced=True), 31), Measure("the history was rewritten")),
        (decided(pushed(30), 31, newest=SAME), Post("measured again")),  # the hour is for what is carried
        # only observing: measured like everything, never posted
        (decided(QUIET, 5, posted=None, options=PostOptions(observe=True)), Skip("only observing")),
        (decided(pushed(30, forced=True), 31, options=PostOptions(observe=True)), Measure("the history was rewritten")),
        (decided(QUIET, 5, options=PostOptions(again=True, observe=True)), Skip("only observing")),
        # only changes
        (decided(QUIET, 5, posted=None, options=PostOptions(quiet=True)), Post("the first verdict")),
        (decided(QUIET, 5, newest=SAME, options=PostOptions(quiet=True)), Skip("the verdict is the same")),
        (decided(pushed(100), 101, options=PostOptions(quiet=True)), Skip("the verdict is the same")),
        (decided(QUIET, 5, newest=CHANGED, options=PostOptions(quiet=True)), Post("measured again")),
        (decided(QUIET, 5, newest=FAILED, options=PostOptions(quiet=True)), Post("measured again")),
        # somebody asked to see it again
        (decided(QUIET, 5, options=PostOptions(again=True)), Post("requested again")),
        (decided(pushed(100), 100.5, options=PostOptions(again=True)), Post("requested again")),
        (
            decided(pushed(DAY), DAY + 1, options=PostOptions(again=True)),
            Post("requested again"),
        ),  # never a measurement
        (
            decided(QUIET, 5, newest=None, posted=None, options=PostOptions(again=True)),
            Skip("there is no result to show again"),
        ),
        (decided(QUIET, 5, newest=SAME, options=PostOptions(again=True, quiet=True)), Post("requested again")),
    ]
    for decision, expected in cases:
        with subtests.test(decision=decision, expected=expected):
            assert decision == expected


def test_a_reworded_reason_is_no_change_of_verdict() -> None:
    assert verdict_key(MEASURED) == verdict_key(
        replace(MEASURED, judgement={**MEASURED.judgement, "reasons": ["other words"]})
    )
    assert verdict_key(FAILED) == verdict_key(replace(FAILED, failure="no space left"))
    assert verdict_key(MEASURED) != verdict_key(FAILED)


@pytest.mark.parametrize("forced", [False, True])
def test_five_hundred_pushes_in_an_hour_give_at_most_six_check_runs_the_last_on_the_final_head(forced: bool) -> None:
    """The rules played through by the second, with a screening and a post that take no time."""
    memory, newest, posted = QUIET, MEASURED, POSTED
    runs: list[str] = []
    heads = [f"{n:040x}" for n in range(500)]
    for second in range(3 * 3600):
        now = T0 + timedelta(days=2 if forced else 0.5, seconds=second)
        if second % 7 == 0 and second // 7 < len(heads):
            memory = replace(
                memory,
                pushed_head=heads[second // 7],
                pushed_at=now,
                push_burst_since=memory.push_burst_since or now,
                history_changed=memory.history_changed or forced,
            )
        head = memory.pushed_head
        decision = decide(memory, newest, posted, newest, PostOptions(), now)
        if isinstance(decision, Measure):
            newest = replace(newest, screening_id=newest.screening_id + 1, head_sha=head, measured_at=now)
            memory = replace(memory, history_changed=False, measured_at=now)
            decision = Post("measured again")
        if isinstance(decision, Post):
            runs.append(head)
            posted = replace(posted, head_sha=head, screening_id=newest.screening_id, posted_at=now)
            memory = replace(memory, posted_at=now, push_burst_since=None)
    assert 1 <= len(runs) <= 6
    assert runs[-1] == heads[-1]
