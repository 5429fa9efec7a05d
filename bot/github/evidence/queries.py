"""What GraphQL is asked: one page of issues, or one of pull requests. REST is not needed for anything here.

GitHub counts a query by the connections in it, each at its full size: one request for each list that it may have to
open, divided by 100, at least 1 point; and it refuses a query that could return more than 500,000 nodes.

    issues           1 + 100 lists of labels                 = 101 requests: 1 point, 100 + 2,000 nodes
    pull requests    1 + 100 of labels + 100 of issues       = 201 requests: 2 points, 100 + 4,000 nodes

So 40,000 issues and 20,000 pull requests take 600 requests and 800 points of the 5,000 that an hour has. Smaller pages
cost a point each. Bodies are not asked for: what a pull request closes GitHub has read from them already.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["issues", "pull_requests"]

LARGEST_PAGE: Final = 100
ISSUE_TYPE: Final = "issueType"  # a GHES may not have it

_LABELS = "labels(first: 20) { nodes { name } }"
_ABOUT = "number state createdAt closedAt updatedAt"
_PAGE_INFO = "pageInfo { hasNextPage endCursor }"
_RATE_LIMIT = "rateLimit { cost limit remaining resetAt }"

# Oldest change first: what changes meanwhile moves to the end, where it is seen again.
_ISSUES = f"""\
query($owner: String!, $name: String!, $size: Int!, $after: String, $since: DateTime!) {{
  {_RATE_LIMIT}
  repository(owner: $owner, name: $name) {{
    databaseId
    page: issues(
      first: $size, after: $after, filterBy: {{since: $since}}, orderBy: {{field: UPDATED_AT, direction: ASC}}
    ) {{
      {_PAGE_INFO}
      nodes {{ {_ABOUT} {_LABELS} ISSUE_TYPE }}
    }}
  }}
}}
"""

# Newest change first, because this connection cannot be told since when: the reader stops where it knows the rest.
_PULL_REQUESTS = f"""\
query($owner: String!, $name: String!, $size: Int!, $after: String) {{
  {_RATE_LIMIT}
  repository(owner: $owner, name: $name) {{
    databaseId
    page: pullRequests(first: $size, after: $after, orderBy: {{field: UPDATED_AT, direction: DESC}}) {{
      {_PAGE_INFO}
      nodes {{
        {_ABOUT} {_LABELS}
        mergeCommit {{ oid }}
        closingIssuesReferences(first: 20) {{ nodes {{ number repository {{ databaseId }} }} }}
      }}
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A repository by its name, and by its id where that is known: a name may come to be another's."""

    owner: str
    name: str
    repository_id: int = 0


def page_query(kind: Kind, unknown_fields: Collection[str]) -> str:
    """The text of a query, without the fields that this GitHub does not have."""
    if kind == "pull_requests":
        return _PULL_REQUESTS
    return _ISSUES.replace("ISSUE_TYPE", "" if ISSUE_TYPE in unknown_fields else f"{ISSUE_TYPE} {{ name }}")


def page_variables(kind: Kind, place: Place, size: int, cursor: str, since: str) -> Mapping[str, object]:
    """`since` as GitHub writes times; `cursor` is empty for the first page."""
    variables: dict[str, object] = {"owner": place.owner, "name": place.name, "size": size, "after": cursor or None}
    return variables | ({"since": since} if kind == "issues" else {})
