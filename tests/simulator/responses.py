"""Render the simulator's state as GitHub API responses, all of which are validated against the description."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.simulator import git_facts
from tests.simulator.state import stamp

if TYPE_CHECKING:
    from tests.simulator.apps import App, Installation, Token
    from tests.simulator.repositories import Repository
    from tests.simulator.state import Account, CheckSuite, Comment
    from tests.simulator.webhooks import Delivery

Json = dict[str, Any]

# URLs of a repository, relative to its API URL.
_REPOSITORY_URLS = {
    "archive_url": "/{archive_format}{/ref}", "assignees_url": "/assignees{/user}", "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}", "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}", "commits_url": "/commits{/sha}", "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}", "contributors_url": "/contributors", "deployments_url": "/deployments",
    "downloads_url": "/downloads", "events_url": "/events", "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}", "git_refs_url": "/git/refs{/sha}", "git_tags_url": "/git/tags{/sha}",
    "hooks_url": "/hooks", "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}", "issues_url": "/issues{/number}", "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}", "languages_url": "/languages", "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}", "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}", "stargazers_url": "/stargazers", "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers", "subscription_url": "/subscription", "tags_url": "/tags",
    "teams_url": "/teams", "trees_url": "/git/trees{/sha}",
}  # fmt: skip
_USER_URLS = {
    "events_url": "/events{/privacy}", "followers_url": "/followers", "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}", "organizations_url": "/orgs", "received_events_url": "/received_events",
    "repos_url": "/repos", "starred_url": "/starred{/owner}{/repo}", "subscriptions_url": "/subscriptions",
}  # fmt: skip
_BASE_ROLES = {"admin": "admin", "maintain": "write", "write": "write", "triage": "read", "read": "read"}


def account(person: Account) -> Json:
    github = person.github
    api = f"{github.api_url}/users/{person.login}"
    return {
        "login": person.login,
        "id": person.account_id,
        "node_id": f"U_{person.account_id}",
        "avatar_url": f"{github.url}/avatars/{person.account_id}",
        "gravatar_id": "",
        "url": api,
        "html_url": f"{github.url}/{person.login}",
        "type": person.type,
        "site_admin": False,
        **{name: api + path for name, path in _USER_URLS.items()},
    }


def public_user(person: Account) -> Json:
    nothing = dict.fromkeys(("blog", "company", "location", "hireable", "twitter_username"))
    counts = dict.fromkeys(("public_repos", "public_gists", "followers", "following"), 0)
    return {
        **account(person),
        **nothing,
        **counts,
        "name": person.github.noise.say("name", person.login),
        "bio": person.github.noise.say("bio", person.login),
        "email": person.email,
        "created_at": "2011-01-25T18:44:36Z",
        "updated_at": "2025-12-05T10:00:00Z",
    }


def repository(repo: Repository) -> Json:
    """Render the long form. Fields of the full form, such as `network_count`, are always included."""
    github = repo.github
    api, html = f"{github.api_url}/repos/{repo.full_name}", f"{github.url}/{repo.full_name}"
    zeros = dict.fromkeys(
        ("forks", "forks_count", "network_count", "stargazers_count", "subscribers_count", "watchers",
         "watchers_count"), 0)  # fmt: skip
    return {
        "id": repo.repository_id,
        "node_id": f"R_{repo.repository_id}",
        "name": repo.name,
        "full_name": repo.full_name,
        "owner": account(repo.owner),
        "private": repo.private,
        "visibility": "private" if repo.private else "public",
        "html_url": html,
        "description": github.noise.say("description", repo.full_name),
        "fork": False,
        "url": api,
        **{name: api + path for name, path in _REPOSITORY_URLS.items()},
        "clone_url": f"{html}.git",
        "git_url": f"git://{html.partition('://')[2]}.git",
        "ssh_url": f"git@{html.partition('://')[2]}.git",
        "svn_url": html,
        "mirror_url": None,
        "homepage": None,
        "language": None,
        "license": None,
        "default_branch": repo.default_branch,
        "archived": repo.archived,
        "disabled": repo.disabled,
        **dict.fromkeys(("has_issues", "has_projects", "has_wiki", "has_downloads"), True),
        **dict.fromkeys(("has_pages", "has_discussions", "is_template", "web_commit_signoff_required"), False),
        "allow_forking": True,
        "topics": [],
        **zeros,
        "open_issues": repo.issues,
        "open_issues_count": repo.issues,
        "size": 180,
        "created_at": stamp(repo.created_at),
        "updated_at": stamp(repo.pushed_at),
        "pushed_at": stamp(repo.pushed_at),
    }


def app(its: App) -> Json:
    return {
        "id": its.app_id,
        "client_id": its.client_id,
        "slug": its.slug,
        "node_id": f"A_{its.app_id}",
        "owner": account(its.owner),
        "name": its.name,
        "description": "",
        "external_url": "https://assay.invalid",
        "html_url": f"{its.github.url}/apps/{its.slug}",
        "created_at": stamp(its.created_at),
        "updated_at": stamp(its.created_at),
        "permissions": its.permissions,
        "events": list(its.events),
    }


def installation(its: Installation) -> Json:
    api = its.github.api_url
    return {
        "id": its.installation_id,
        "account": account(its.account),
        "repository_selection": "all" if its.selected is None else "selected",
        "access_tokens_url": f"{api}/app/installations/{its.installation_id}/access_tokens",
        "repositories_url": f"{api}/installation/repositories",
        "html_url": f"{its.github.url}/organizations/{its.account.login}/settings/installations/{its.installation_id}",
        "app_id": its.app.app_id,
        "app_slug": its.app.slug,
        "client_id": its.app.client_id,
        "target_id": its.account.account_id,
        "target_type": its.account.type,
        "permissions": its.permissions,
        "events": list(its.app.events),
        "created_at": stamp(its.created_at),
        "updated_at": stamp(its.created_at),
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": None if its.suspended_by is None else account(its.suspended_by),
        "suspended_at": None if its.suspended_at is None else stamp(its.suspended_at),
    }


def token(its: Token) -> Json:
    shown: Json = {
        "token": its.text,
        "expires_at": stamp(its.expires_at),
        "permissions": its.permissions,
        "repository_selection": "all" if its.repository_ids is None and its.installation.selected is None
        else "selected",
    }  # fmt: skip
    if its.repository_ids is not None:
        reached = [repo for repo in its.installation.repositories if its.reaches(repo)]
        shown["repositories"] = [repository(repo) for repo in reached]
    return shown


def check_suite(suite: CheckSuite) -> Json:
    """Render a suite as in events."""
    repo = suite.repository
    api = f"{repo.github.api_url}/repos/{repo.full_name}/check-suites/{suite.suite_id}"
    return {
        "id": suite.suite_id,
        "node_id": f"CS_{suite.suite_id}",
        "head_branch": repo.default_branch,
        "head_sha": suite.head_sha,
        "status": suite.status,
        "conclusion": suite.conclusion,
        "url": api,
        "before": None,
        "after": suite.head_sha,
        "pull_requests": [],
        "app": app(suite.app),
        "created_at": stamp(suite.created_at),
        "updated_at": stamp(suite.created_at),
        "rerequestable": True,
        "runs_rerequestable": True,
        "latest_check_runs_count": len(suite.runs),
        "check_runs_url": f"{api}/check-runs",
    }


def check_run(suite: CheckSuite, check_run_id: int, fields: Json, now: datetime) -> Json:
    """Render a new check run from the fields of its request."""
    repo = suite.repository
    api = f"{repo.github.api_url}/repos/{repo.full_name}/check-runs/{check_run_id}"
    html = f"{repo.github.url}/{repo.full_name}/runs/{check_run_id}"
    return {
        "id": check_run_id,
        "node_id": f"CR_{check_run_id}",
        "name": fields["name"],
        "head_sha": fields["head_sha"],
        "external_id": fields.get("external_id", ""),
        "url": api,
        "html_url": html,
        "details_url": fields.get("details_url", html),
        "status": fields.get("status", "queued"),
        "conclusion": None,
        "started_at": fields.get("started_at", stamp(now)),
        "completed_at": None,
        "output": {"title": None, "summary": None, "text": None, "annotations_count": 0,
                   "annotations_url": f"{api}/annotations"},
        "check_suite": {"id": suite.suite_id},
        "app": app(suite.app),
        "pull_requests": [],
    }  # fmt: skip


def comment(its: Comment) -> Json:
    repo = its.repository
    api, html = f"{repo.github.api_url}/repos/{repo.full_name}", f"{repo.github.url}/{repo.full_name}"
    kind = "pull" if its.issue_number in repo.pull_requests else "issues"
    return {
        "id": its.comment_id,
        "node_id": f"IC_{its.comment_id}",
        "url": f"{api}/issues/comments/{its.comment_id}",
        "html_url": f"{html}/{kind}/{its.issue_number}#issuecomment-{its.comment_id}",
        "issue_url": f"{api}/issues/{its.issue_number}",
        "body": its.body,
        "user": account(its.user),
        "created_at": stamp(its.created_at),
        "updated_at": stamp(its.updated_at),
        "author_association": "NONE",
        "performed_via_github_app": None if its.app is None else app(its.app),
    }


def reaction(its: Json) -> Json:
    return {
        "id": its["id"],
        "node_id": f"REA_{its['id']}",
        "user": account(its["user"]),
        "content": its["content"],
        "created_at": stamp(its["at"]),
    }


def commit(repo: Repository, sha: str) -> Json:
    facts = git_facts.commit_facts(repo.git_dir, sha)
    api, html = f"{repo.github.api_url}/repos/{repo.full_name}", f"{repo.github.url}/{repo.full_name}"
    return {
        "sha": sha,
        "node_id": f"C_{sha}",
        "url": f"{api}/commits/{sha}",
        "html_url": f"{html}/commit/{sha}",
        "comments_url": f"{api}/commits/{sha}/comments",
        "commit": {
            "url": f"{api}/git/commits/{sha}",
            "author": {"name": facts.author, "email": facts.author_email, "date": stamp(facts.authored_at)},
            "committer": {"name": facts.committer, "email": facts.committer_email, "date": stamp(facts.committed_at)},
            "message": facts.message,
            "tree": {"sha": facts.tree, "url": f"{api}/git/trees/{facts.tree}"},
            "comment_count": 0,
            "verification": {"verified": False, "reason": "unsigned", "signature": None, "payload": None,
                             "verified_at": None},
        },
        "author": None,
        "committer": None,
        "parents": [
            {"sha": parent, "url": f"{api}/commits/{parent}", "html_url": f"{html}/commit/{parent}"}
            for parent in facts.parents
        ],
        "stats": {"additions": 0, "deletions": 0, "total": 0},
        "files": [],
    }  # fmt: skip


def branch(repo: Repository, name: str, sha: str) -> Json:
    api, html = f"{repo.github.api_url}/repos/{repo.full_name}", f"{repo.github.url}/{repo.full_name}"
    return {
        "name": name,
        "commit": commit(repo, sha),
        "_links": {"self": f"{api}/branches/{name}", "html": f"{html}/tree/{name}"},
        "protected": False,
        "protection": {"enabled": False,
                       "required_status_checks": {"enforcement_level": "off", "contexts": [], "checks": []}},
        "protection_url": f"{api}/branches/{name}/protection",
    }  # fmt: skip


def content_file(repo: Repository, sha: str, path: str, blob_id: str, content: bytes) -> Json:
    api, html = f"{repo.github.api_url}/repos/{repo.full_name}", f"{repo.github.url}/{repo.full_name}"
    url, page, blob = f"{api}/contents/{path}?ref={sha}", f"{html}/blob/{sha}/{path}", f"{api}/git/blobs/{blob_id}"
    return {
        "type": "file",
        "encoding": "base64",
        "size": len(content),
        "name": path.rpartition("/")[2],
        "path": path,
        "content": base64.encodebytes(content).decode(),
        "sha": blob_id,
        "url": url,
        "git_url": blob,
        "html_url": page,
        "download_url": f"{html}/raw/{sha}/{path}",
        "_links": {"git": blob, "self": url, "html": page},
    }


def role(repo: Repository, person: Account) -> Json:
    """Render a person's role. `github.custom_roles` maps custom roles to the roles they extend."""
    name = repo.roles.get(person.login, "none" if repo.private else "read")
    base = repo.github.custom_roles.get(name, name)
    if repo.owner is person:
        name = base = "admin"
    rank = ["read", "triage", "write", "maintain", "admin"]
    at = rank.index(base) if base in rank else -1
    names = {"pull": "read", "triage": "triage", "push": "write", "maintain": "maintain", "admin": "admin"}
    held = {key: at >= rank.index(needed) for key, needed in names.items()}
    user = {**account(person), "role_name": name, "permissions": held}
    return {"permission": _BASE_ROLES.get(base, "none"), "role_name": name, "user": user}


def delivery(sent: Delivery, *, whole: bool = False) -> Json:
    shown: Json = {
        "id": sent.delivery_id,
        "guid": sent.guid,
        "delivered_at": stamp(sent.delivered_at),
        "redelivery": sent.redelivery,
        "duration": round(sent.duration_s, 2),
        "status": sent.status,
        "status_code": sent.status_code,
        "event": sent.event,
        "action": sent.action or None,
        "installation_id": sent.installation_id or None,
        "repository_id": sent.repository_id or None,
        "throttled_at": None,
    }
    if whole:
        shown["url"] = sent.url
        shown["request"] = {"headers": sent.request_headers, "payload": sent.payload}
        shown["response"] = {"headers": sent.response_headers, "payload": sent.response_text}
    return shown
