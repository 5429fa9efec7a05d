"""The GraphQL queries for a page of issues and a page of pull requests.

GitHub prices a query by its connections, each at full size: one request per list that it may have to open, divided by
100, at least 1 point. It rejects queries that could return more than 500,000 nodes.

    issues           1 + 100 lists of labels                 = 101 requests: 1 point, 100 + 2,000 nodes
    pull requests    1 + 100 of labels + 100 of issues       = 201 requests: 2 points, 100 + 4,000 nodes

So 40,000 issues and 20,000 pull requests take 600 requests and 800 of the 5,000 points an hour. Smaller pages cost a
point each. Bodies are not requested: GitHub has already parsed from them what a pull request closes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["issues", "pull_requests"]

MAX_PAGE_SIZE: Final = 100
ISSUE_TYPE: Final = "issueType"  # missing on some GHES versions

_LABELS = "labels(first: 20) { nodes { name } }"
_FIELDS = "number state createdAt closedAt updatedAt"
_PAGE_INFO = "pageInfo { hasNextPage endCursor }"
_RATE_LIMIT = "rateLimit { cost limit remaining resetAt }"

# Oldest change first: an issue that changes meanwhile moves to the end, where it is read again.
_ISSUES = f"""\
query($owner: String!, $name: String!, $size: Int!, $after: String, $since: DateTime!) {{
  {_RATE_LIMIT}
  repository(owner: $owner, name: $name) {{
    databaseId
    page: issues(
      first: $size, after: $after, filterBy: {{since: $since}}, orderBy: {{field: UPDATED_AT, direction: ASC}}
    ) {{
      {_PAGE_INFO}
      nodes {{ {_FIELDS} {_LABELS} ISSUE_TYPE }}
    }}
  }}
}}
"""

# Newest change first, because this connection has no `since` filter: the reader stops where it knows the rest.
_PULL_REQUESTS = f"""\
query($owner: String!, $name: String!, $size: Int!, $after: String) {{
  {_RATE_LIMIT}
  repository(owner: $owner, name: $name) {{
    databaseId
    page: pullRequests(first: $size, after: $after, orderBy: {{field: UPDATED_AT, direction: DESC}}) {{
      {_PAGE_INFO}
      nodes {{
        {_FIELDS} {_LABELS}
        mergeCommit {{ oid }}
        closingIssuesReferences(first: 20) {{ nodes {{ number repository {{ databaseId }} }} }}
      }}
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class RepositoryRef:
    """A repository by name and, if known, by id: a name may pass to another repository."""

    owner: str
    name: str
    repository_id: int = 0


def page_query(kind: Kind, unknown_fields: Collection[str]) -> str:
    """Return the query, without the fields that this GitHub does not have."""
    if kind == "pull_requests":
        return _PULL_REQUESTS
    return _ISSUES.replace("ISSUE_TYPE", "" if ISSUE_TYPE in unknown_fields else f"{ISSUE_TYPE} {{ name }}")


def page_variables(kind: Kind, repository: RepositoryRef, size: int, cursor: str, since: str) -> Mapping[str, object]:
    """Return the query's variables. `since` is in GitHub's time format; `cursor` is empty for the first page."""
    variables: dict[str, object] = {
        "owner": repository.owner,
        "name": repository.name,
        "size": size,
        "after": cursor or None,
    }
    return variables | ({"since": since} if kind == "issues" else {})
