"""Decide when a verdict is posted and on which head. Pure, and evaluated before any request to GitHub.

After a push wait for 60 s of quiet, at most 10 min. Then measure again if the last measurement is a day old or the
history was rewritten; else carry the verdict to the new head, at most once an hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bot.receiver.dispatch import MAX_WAIT_S, QUIET_S
from bot.records import RepositoryMemory, StoredCheckRun, StoredScreening

CARRY_EVERY: Final = timedelta(hours=1)
MEASURE_EVERY: Final = timedelta(days=1)
ARCHIVED: Final = "archived"
OBSERVING: Final = "only observing"
NO_RESULT: Final = "there is no result to show again"
WITHOUT_EFFECT: Final = frozenset({ARCHIVED, OBSERVING, NO_RESULT, "suspended", "refused"})  # of a "re-run"


@dataclass(frozen=True, slots=True)
class Measure:
    """No verdict can be posted yet: screen first."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Skip:
    reason: str


@dataclass(frozen=True, slots=True)
class Post:
    reason: str


Decision = Measure | Wait | Skip | Post


@dataclass(frozen=True, slots=True)
class PostOptions:
    """Why a post job runs, and the operator's settings for posting."""

    again: bool = False  # somebody pressed "re-run": post the stored result again
    observe: bool = False  # measure, but post nothing
    quiet: bool = False  # post only changes


def settled_at(memory: RepositoryMemory) -> datetime | None:
    """Return when the pending pushes are due: after quiet, or long enough after the first. None without pending pushes.

    A burst that outlasts a posting counts from that posting, or it would be posted without a pause.
    """
    if memory.push_burst_since is None:
        return None
    covered = [at for at in (memory.measured_at, memory.posted_at) if at is not None]
    since = max([memory.push_burst_since, *covered])
    quiet = (memory.pushed_at or memory.push_burst_since) + timedelta(seconds=QUIET_S)
    return min(quiet, since + timedelta(seconds=MAX_WAIT_S))


def must_measure(memory: RepositoryMemory, newest: StoredScreening | None, now: datetime) -> str:
    """Return why the newest measurement is outdated; empty if it is not."""
    if newest is None:
        return "never measured"
    if memory.pushed_at is None or memory.pushed_at < newest.measured_at:
        return ""  # even if that failed: it would fail again
    if memory.history_changed:
        return "the history was rewritten"
    is_covered = memory.push_burst_since is None or newest.head_sha == memory.pushed_head
    if not is_covered and now - newest.measured_at >= MEASURE_EVERY:
        return "measured more than a day ago"
    return ""


def decide(
    memory: RepositoryMemory,
    newest: StoredScreening | None,
    posted: StoredCheckRun | None,
    posted_screening: StoredScreening | None,
    options: PostOptions,
    now: datetime,
) -> Decision:
    """Decide what a post job does. `posted_screening` is the screening that the newest check run shows, if known."""
    if memory.repository.archived:
        return Skip(ARCHIVED)
    if options.again:
        return _again(newest, options)
    due_at = settled_at(memory)
    if due_at is not None and now < due_at:
        return Wait(due_at, "waiting for quiet after a push")
    if reason := must_measure(memory, newest, now):
        return Measure(reason)
    assert newest is not None
    if options.observe:
        return Skip(OBSERVING)
    if posted is None:
        return Post("the first verdict")
    if options.quiet and posted_screening is not None and verdict_key(posted_screening) == verdict_key(newest):
        return Skip("the verdict is the same")
    if posted.screening_id != newest.screening_id:
        return Post("measured again")
    return _carry(memory, posted, now)


def verdict_key(screening: StoredScreening) -> tuple[object, ...]:
    """Return what has to differ for a change to be posted in quiet mode."""
    return bool(screening.failure), screening.judgement.get("verdict"), screening.judgement.get("measurable")


def _again(newest: StoredScreening | None, options: PostOptions) -> Decision:
    """Post the stored result on request; nothing is measured for that."""
    if options.observe:
        return Skip(OBSERVING)
    return Skip(NO_RESULT) if newest is None else Post("requested again")


def _carry(memory: RepositoryMemory, posted: StoredCheckRun, now: datetime) -> Decision:
    """Carry an unchanged verdict to a head that has moved."""
    if memory.push_burst_since is None or memory.pushed_head == posted.head_sha:
        return Skip("nothing new")
    free_at = (posted.posted_at or posted.made_at) + CARRY_EVERY
    if now < free_at:
        return Wait(free_at, "carried within the last hour")
    return Post("carried to the newest head")
