"""Classify the errors in a GraphQL response: is there a page, or what to do instead? HTTP errors are handled before."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from bot.github.errors import Forbidden, NotFound, Rejected, Unavailable
from bot.github.evidence.evidence_facts import Permission
from bot.github.evidence.graphql_response import GraphQlError, GraphQlResponse
from bot.github.evidence.queries import ISSUE_TYPE, Kind

# The permission that each field of an item takes; a list takes the permission of its own name.
PERMISSIONS: Final[Mapping[str | int, Permission]] = {"closingIssuesReferences": "issues", "mergeCommit": "contents"}
_DENIED: Final = frozenset({"FORBIDDEN", "NOT_FOUND", "INSUFFICIENT_SCOPES"})
# GitHub failed for now, or the query asked for too much.
_TRANSIENT: Final = frozenset(
    {"", "INTERNAL", "INTERNAL_SERVER_ERROR", "RESOURCE_LIMITS_EXCEEDED", "SERVICE_UNAVAILABLE", "TIMEOUT"}
)
_LIMITS: Final = frozenset({"RATE_LIMITED", "RATE_LIMIT", "graphql_rate_limit"})
_ALIAS: Final = "page"  # of the list in the query, hence in the paths of errors


class Refusal(enum.Enum):
    """Why there is no page, in cases that the caller can work around."""

    UNKNOWN_FIELD = enum.auto()
    BAD_CURSOR = enum.auto()
    LIST = enum.auto()  # the permission for the whole list is missing


@dataclass(frozen=True, slots=True)
class Classification:
    """`lacks`: missing permissions that hide something. `refusal`: None if there is a page."""

    lacks: frozenset[Permission] = frozenset()
    refusal: Refusal | None = None


def is_rate_limit(error: GraphQlError) -> bool:
    """Return whether an error is a rate limit, which GraphQL reports with HTTP 200 by a type, a code or the message."""
    text = error.message.lower()
    return error.kind in _LIMITS or "rate limit" in text or "abuse detection" in text


def classify_response(response: GraphQlResponse, kind: Kind, *, is_min_size: bool) -> Classification:
    """Classify the response to `page_query(kind)`.

    A partial page is accepted only if `is_min_size`, since it cannot get any smaller; otherwise it raises Unavailable.
    Also raises NotFound, Forbidden and Rejected.
    """
    if _has_page(response):
        if not is_min_size and any(error.kind not in _DENIED for error in response.errors):
            raise Unavailable("GitHub returned a partial page: retry with a smaller one")
        return Classification(frozenset(_missing_permissions(response.errors)))
    for error in response.errors:
        if error.field == ISSUE_TYPE or (not error.kind and f"'{ISSUE_TYPE}'" in error.message):
            return Classification(refusal=Refusal.UNKNOWN_FIELD)
        if error.kind == "INVALID_CURSOR_ARGUMENTS" or "valid cursor" in error.message:
            return Classification(refusal=Refusal.BAD_CURSOR)
        if error.kind in _DENIED and error.path[:2] == ("repository", _ALIAS):
            return Classification(frozenset({kind}), Refusal.LIST)
        if error.kind in _DENIED:
            raise (NotFound if error.kind == "NOT_FOUND" else Forbidden)(error.message or "GitHub denied access")
    first = response.errors[0] if response.errors else GraphQlError("", "GitHub's GraphQL returned nothing")
    raise (Unavailable if first.kind in _TRANSIENT else Rejected)(first.message or "GitHub's GraphQL failed")


def _has_page(response: GraphQlResponse) -> bool:
    repository = response.data.get("repository")
    page = repository.get(_ALIAS) if isinstance(repository, Mapping) else None
    return isinstance(page, Mapping) and isinstance(page.get("nodes"), list)


def _missing_permissions(errors: Iterable[GraphQlError]) -> Iterable[Permission]:
    for error in errors:
        if error.kind == "FORBIDDEN" and error.path and error.path[-1] in PERMISSIONS:
            yield PERMISSIONS[error.path[-1]]
