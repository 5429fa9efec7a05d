"""How far one list was read, and what to ask for next. Pure: a restart goes on from the value that was kept last.

Issues come oldest change first, from a given time on. Pull requests come newest change first, until one is older than
that. A walk through either may be broken off behind any page. One that has come to its end is followed by a short one,
an update, that begins where the last one ended, less a little: GitHub answers from copies that lag behind each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from bot.github.evidence.graphql_response import Page
from bot.github.evidence.queries import Kind

DAY_S: Final = 86_400
OVERLAP_S: Final = 120
MARGIN_S: Final = 30 * DAY_S  # read beyond what is asked for, so that a window that moves back a little finds it there


@dataclass(frozen=True, slots=True)
class Reach:
    """Times are seconds since 1970. What changed from `since` to `until` is known, with `until` None nothing for sure.

    The last three say where a walk that is under way goes on; `cursor` is empty where none is.
    """

    since: int = 0
    until: int | None = None
    cursor: str = ""
    floor: int = 0  # the walk is about what changed from here on
    newest: int = 0  # the latest change that it has seen


UNREAD: Final = Reach()


def begin(reach: Reach, since: int) -> Reach:
    """The walk that goes on, an update, or, where more is asked for than was ever read, a walk from the start."""
    if (reach.until is None and not reach.cursor) or since < reach.since:
        first = max(0, since - MARGIN_S)
        return Reach(since=first, floor=first, newest=first)
    return reach if reach.cursor else update(reach, OVERLAP_S)


def update(reach: Reach, overlap_s: int = 0) -> Reach:
    """A walk through what changed since the last one ended."""
    until = reach.until or 0
    return replace(reach, cursor="", floor=max(reach.since, until - overlap_s), newest=until)


def advance(reach: Reach, kind: Kind, page: Page) -> Reach:
    """After a page: the walk goes on behind it (`cursor`), or has come to its end (no `cursor`, a later `until`)."""
    newest = max(reach.newest, page.newest or 0)
    is_past = kind == "pull_requests" and page.oldest is not None and page.oldest < reach.floor
    if page.cursor and not is_past:
        return replace(reach, cursor=page.cursor, newest=newest)
    return replace(reach, cursor="", newest=newest, until=max(newest, reach.until or 0))


def without_cursor(reach: Reach, kind: Kind) -> Reach:
    """The walk where GitHub does not know its cursor any more: issues go on from the last change seen."""
    if kind == "issues":
        return replace(reach, cursor="", floor=max(reach.floor, reach.newest - OVERLAP_S))
    return replace(reach, cursor="")
