"""What the errors in an answer of GraphQL mean for a page: one pure function. HTTP's own are told apart elsewhere."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from bot.github.errors import Forbidden, NotFound, Rejected, Unavailable
from bot.github.evidence.evidence_facts import Permission
from bot.github.evidence.graphql_response import Reply, Trouble
from bot.github.evidence.queries import ISSUE_TYPE, Kind

# Which permission shows a field of an item; the list itself takes the permission of its own name.
PERMISSIONS: Final[Mapping[str | int, Permission]] = {"closingIssuesReferences": "issues", "mergeCommit": "contents"}
_NOT_OURS: Final = frozenset({"FORBIDDEN", "NOT_FOUND", "INSUFFICIENT_SCOPES"})
# With these GitHub could not do it now, or not all at once.
_PASSING: Final = frozenset(
    {"", "INTERNAL", "INTERNAL_SERVER_ERROR", "RESOURCE_LIMITS_EXCEEDED", "SERVICE_UNAVAILABLE", "TIMEOUT"}
)
_LIMITS: Final = frozenset({"RATE_LIMITED", "RATE_LIMIT", "graphql_rate_limit"})
_ALIAS: Final = "page"  # of the list, in the query and so in the paths of errors


class Refusal(enum.Enum):
    """Why there is no page, where something else can be asked."""

    UNKNOWN_FIELD = enum.auto()
    BAD_CURSOR = enum.auto()
    LIST = enum.auto()  # a permission for the whole list is missing


@dataclass(frozen=True, slots=True)
class Verdict:
    """`lacks`: permissions without which something is missing. `refusal` None: there is a page."""

    lacks: frozenset[Permission] = frozenset()
    refusal: Refusal | None = None


def is_rate_limit(trouble: Trouble) -> bool:
    """GraphQL tells of its limits with HTTP 200: by a type, by a code, or in words alone."""
    said = trouble.message.lower()
    return trouble.kind in _LIMITS or "rate limit" in said or "abuse detection" in said


def judge(reply: Reply, kind: Kind, *, is_smallest: bool) -> Verdict:
    """What to make of an answer to `page_query(kind)`.

    Where `is_smallest`, a page that was put together in part is taken as it is: the next one may be whole. Raises
    Unavailable for one that GitHub could not put together, NotFound, Forbidden and Rejected.
    """
    if _has_page(reply):
        if not is_smallest and any(trouble.kind not in _NOT_OURS for trouble in reply.troubles):
            raise Unavailable("GitHub could not put a page together: a smaller one may do")
        return Verdict(frozenset(_lacking(reply.troubles)))
    for trouble in reply.troubles:
        if trouble.field == ISSUE_TYPE or (not trouble.kind and f"'{ISSUE_TYPE}'" in trouble.message):
            return Verdict(refusal=Refusal.UNKNOWN_FIELD)
        if trouble.kind == "INVALID_CURSOR_ARGUMENTS" or "valid cursor" in trouble.message:
            return Verdict(refusal=Refusal.BAD_CURSOR)
        if trouble.kind in _NOT_OURS and trouble.path[:2] == ("repository", _ALIAS):
            return Verdict(frozenset({kind}), Refusal.LIST)
        if trouble.kind in _NOT_OURS:
            raise (NotFound if trouble.kind == "NOT_FOUND" else Forbidden)(trouble.message or "GitHub forbids it")
    first = reply.troubles[0] if reply.troubles else Trouble("", "GitHub's GraphQL gave no answer")
    raise (Unavailable if first.kind in _PASSING else Rejected)(first.message or "GitHub's GraphQL failed")


def _has_page(reply: Reply) -> bool:
    repository = reply.data.get("repository")
    page = repository.get(_ALIAS) if isinstance(repository, Mapping) else None
    return isinstance(page, Mapping) and isinstance(page.get("nodes"), list)


def _lacking(troubles: Iterable[Trouble]) -> Iterable[Permission]:
    for trouble in troubles:
        if trouble.kind == "FORBIDDEN" and trouble.path and trouble.path[-1] in PERMISSIONS:
            yield PERMISSIONS[trouble.path[-1]]
