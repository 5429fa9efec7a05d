"""When a verdict is written on a repository, and on which head: decided from values, before GitHub is asked anything.

After a push: 60 s of quiet, at most 10 min. Then measure again where the last measurement is a day old or the history
was rewritten; else carry the verdict to the new head, at most once an hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bot.receiver.dispatch import MAX_WAIT_S, QUIET_S
from bot.records import RepositoryMemory, StoredCheckRun, StoredScreening

CARRY_EVERY: Final = timedelta(hours=1)
MEASURE_EVERY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Measure:
    """There is no verdict that could be posted: screen first."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Nothing:
    reason: str


@dataclass(frozen=True, slots=True)
class Post:
    reason: str


Decision = Measure | Wait | Nothing | Post


@dataclass(frozen=True, slots=True)
class Ask:
    """Why a post job runs, and what the operator wants."""

    again: bool = False  # somebody pressed "re-run": the stored result, whatever was posted already
    observe: bool = False  # measure and post nothing
    quiet: bool = False  # post only what changed


def settled_at(memory: RepositoryMemory) -> datetime | None:
    """When the pushes not answered yet may be: after quiet, or long enough after the first. None: there are none.

    A burst that goes on while it is answered counts from that answer, or it would be answered without a pause.
    """
    if memory.push_burst_since is None:
        return None
    answers = [at for at in (memory.measured_at, memory.posted_at) if at is not None]
    since = max([memory.push_burst_since, *answers])
    quiet = (memory.pushed_at or memory.push_burst_since) + timedelta(seconds=QUIET_S)
    return min(quiet, since + timedelta(seconds=MAX_WAIT_S))


def must_measure(memory: RepositoryMemory, newest: StoredScreening | None, now: datetime) -> str:
    """Why the newest measurement does not do any more; empty where it does."""
    if newest is None:
        return "never measured"
    if memory.pushed_at is None or memory.pushed_at < newest.measured_at:
        return ""  # also where that failed: it would fail again
    if memory.history_changed:
        return "the history was rewritten"
    answered = memory.push_burst_since is None or newest.head_sha == memory.pushed_head
    if not answered and now - newest.measured_at >= MEASURE_EVERY:
        return "measured more than a day ago"
    return ""


def decide(
    memory: RepositoryMemory,
    newest: StoredScreening | None,
    posted: StoredCheckRun | None,
    posted_screening: StoredScreening | None,
    ask: Ask,
    now: datetime,
) -> Decision:
    """What a post job does. `posted_screening` is what the newest check run said, None where it is unknown."""
    if memory.repository.archived:
        return Nothing("archived")
    if ask.again:
        return _again(newest, ask)
    due_at = settled_at(memory)
    if due_at is not None and now < due_at:
        return Wait(due_at, "waiting for quiet after a push")
    if reason := must_measure(memory, newest, now):
        return Measure(reason)
    assert newest is not None
    if ask.observe:
        return Nothing("only observing")
    if posted is None:
        return Post("the first verdict")
    if ask.quiet and posted_screening is not None and says(posted_screening) == says(newest):
        return Nothing("the verdict is the same")
    if posted.screening_id != newest.screening_id:
        return Post("measured anew")
    return _carry(memory, posted, now)


def says(screening: StoredScreening) -> tuple[object, ...]:
    """What counts as a change for who wants to hear of changes only."""
    return bool(screening.failure), screening.judgement.get("verdict"), screening.judgement.get("measurable")


def _again(newest: StoredScreening | None, ask: Ask) -> Decision:
    """Somebody asked for the result that is stored: it is shown, and nothing is measured for it."""
    if ask.observe:
        return Nothing("only observing")
    return Nothing("there is no result to show again") if newest is None else Post("asked for again")


def _carry(memory: RepositoryMemory, posted: StoredCheckRun, now: datetime) -> Decision:
    """The verdict stands, the head may have moved."""
    if memory.push_burst_since is None or memory.pushed_head == posted.head_sha:
        return Nothing("nothing new")
    free_at = (posted.posted_at or posted.made_at) + CARRY_EVERY
    if now < free_at:
        return Wait(free_at, "carried within the last hour")
    return Post("carried to the newest head")
