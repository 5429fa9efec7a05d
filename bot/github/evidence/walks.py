"""Track how far one list has been read, and where to resume. Pure: a restart continues from the last stored state.

Issues come oldest change first, from a given time on. Pull requests come newest change first, down to that time. A
walk through either can be interrupted after any page. A finished walk is followed by a short one, an update, which
begins a little before the last one ended, because GitHub reads from replicas that lag behind each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from bot.github.evidence.graphql_response import Page
from bot.github.evidence.queries import Kind

DAY_S: Final = 86_400
OVERLAP_S: Final = 120
MARGIN_S: Final = 30 * DAY_S  # read further back than requested, so that a window can move back a little


@dataclass(frozen=True, slots=True)
class WalkState:
    """The state of a walk. Times are seconds since 1970.

    Everything that changed from `since` to `until` is known; nothing for sure while `until` is None. The other fields
    say where the current walk resumes; `cursor` is empty if there is none.
    """

    since: int = 0
    until: int | None = None
    cursor: str = ""
    floor: int = 0  # the walk covers what changed from here on
    newest: int = 0  # the latest change that it has read


UNREAD: Final = WalkState()


def begin(walk: WalkState, since: int) -> WalkState:
    """Resume the current walk, begin an update, or start over if `since` is before anything ever read."""
    if (walk.until is None and not walk.cursor) or since < walk.since:
        first = max(0, since - MARGIN_S)
        return WalkState(since=first, floor=first, newest=first)
    return walk if walk.cursor else update(walk, OVERLAP_S)


def update(walk: WalkState, overlap_s: int = 0) -> WalkState:
    """Begin a walk through what changed since the last one ended."""
    until = walk.until or 0
    return replace(walk, cursor="", floor=max(walk.since, until - overlap_s), newest=until)


def advance(walk: WalkState, kind: Kind, page: Page) -> WalkState:
    """Return the state after a page: in progress (with a `cursor`), or finished (no `cursor`, a later `until`)."""
    newest = max(walk.newest, page.newest or 0)
    is_past_floor = kind == "pull_requests" and page.oldest is not None and page.oldest < walk.floor
    if page.cursor and not is_past_floor:
        return replace(walk, cursor=page.cursor, newest=newest)
    return replace(walk, cursor="", newest=newest, until=max(newest, walk.until or 0))


def without_cursor(walk: WalkState, kind: Kind) -> WalkState:
    """Return the state to resume from once GitHub rejects the cursor: issues resume at the last change read."""
    if kind == "issues":
        return replace(walk, cursor="", floor=max(walk.floor, walk.newest - OVERLAP_S))
    return replace(walk, cursor="")
