"""The table of API operations: sender, permissions, cost and handler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.simulator import routes_app, routes_checks, routes_issues, routes_repository
from tests.simulator.messages import Call, Response

Who = Literal["app", "installation", "anybody"]


@dataclass(frozen=True)
class Route:
    """`permissions`: any one of them suffices. `writes`: counts as a content write."""

    handler: Callable[[Call], Response]
    who: Who
    permissions: tuple[str, ...] = ()
    level: str = "read"
    writes: bool = False


_CHECKS, _COMMENTS = ("checks",), ("issues", "pull_requests")
_REPO = "/repos/{owner}/{repo}"

ROUTES: dict[str, Route] = {
    "GET /app": Route(routes_app.get_app, "app"),
    "GET /app/hook/config": Route(routes_app.get_hook, "app"),
    "GET /app/hook/deliveries": Route(routes_app.list_deliveries, "app"),
    "GET /app/hook/deliveries/{delivery_id}": Route(routes_app.get_delivery, "app"),
    "POST /app/hook/deliveries/{delivery_id}/attempts": Route(routes_app.redeliver, "app"),
    "GET /app/installations": Route(routes_app.list_installations, "app"),
    "GET /app/installations/{installation_id}": Route(routes_app.get_installation, "app"),
    "POST /app/installations/{installation_id}/access_tokens": Route(routes_app.create_token, "app"),
    "POST /app-manifests/{code}/conversions": Route(routes_app.convert_manifest, "anybody"),
    "GET /rate_limit": Route(routes_app.get_rate_limit, "anybody"),
    "GET /user/{account_id}": Route(routes_app.get_account, "anybody"),
    "GET /users/{username}": Route(routes_app.get_user, "anybody"),
    "GET /installation/repositories": Route(routes_repository.list_repositories, "installation", ("metadata",)),
    f"GET {_REPO}": Route(routes_repository.get_repository, "installation", ("metadata",)),
    f"GET {_REPO}/installation": Route(routes_app.get_repository_installation, "app"),
    f"GET {_REPO}/branches/{{branch}}": Route(routes_repository.get_branch, "installation", ("contents",)),
    f"GET {_REPO}/commits/{{ref}}": Route(routes_repository.get_commit, "installation", ("contents",)),
    f"GET {_REPO}/contents/{{path}}": Route(routes_repository.get_file, "installation", ("contents",)),
    f"GET {_REPO}/collaborators/{{username}}/permission": Route(
        routes_repository.get_role, "installation", ("metadata",)
    ),
    f"POST {_REPO}/check-runs": Route(routes_checks.create_run, "installation", _CHECKS, "write", writes=True),
    f"GET {_REPO}/check-runs/{{check_run_id}}": Route(routes_checks.get_run, "installation", _CHECKS),
    f"PATCH {_REPO}/check-runs/{{check_run_id}}": Route(
        routes_checks.update_run, "installation", _CHECKS, "write", writes=True
    ),
    f"GET {_REPO}/commits/{{ref}}/check-runs": Route(routes_checks.list_runs, "installation", _CHECKS),
    f"PATCH {_REPO}/check-suites/preferences": Route(routes_checks.set_preferences, "installation", _CHECKS, "write"),
    f"GET {_REPO}/issues/comments/{{comment_id}}": Route(routes_issues.get_comment, "installation", _COMMENTS),
    f"PATCH {_REPO}/issues/comments/{{comment_id}}": Route(
        routes_issues.update_comment, "installation", _COMMENTS, "write", writes=True
    ),
    f"GET {_REPO}/issues/{{issue_number}}/comments": Route(routes_issues.list_comments, "installation", _COMMENTS),
    f"POST {_REPO}/issues/{{issue_number}}/comments": Route(
        routes_issues.create_comment, "installation", _COMMENTS, "write", writes=True
    ),
    f"GET {_REPO}/issues/comments/{{comment_id}}/reactions": Route(
        routes_issues.list_reactions, "installation", _COMMENTS
    ),
    f"POST {_REPO}/issues/comments/{{comment_id}}/reactions": Route(
        routes_issues.create_reaction, "installation", _COMMENTS, "write", writes=True
    ),
}
