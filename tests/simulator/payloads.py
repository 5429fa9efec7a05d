"""Bodies of webhook deliveries, shaped like GitHub's, including much that Apps must not keep."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.simulator import git_facts, responses
from tests.simulator.state import stamp

if TYPE_CHECKING:
    from tests.simulator.apps import App, Installation
    from tests.simulator.repositories import Repository
    from tests.simulator.state import Account, CheckRun, CheckSuite, Comment

Json = dict[str, Any]
_NO_COMMIT = "0" * 40


@dataclass
class Noise:
    """Text written by people. A test may set `canary` and search for it where it must not be."""

    canary: str = "a sentence that somebody wrote"
    email_domain: str = "people.example"

    def say(self, what: str, of: str) -> str:
        return f"{what} of {of}: {self.canary}"


def envelope(sender: Account, repository: Repository | None = None, installation: Installation | None = None) -> Json:
    """Return the fields common to all payloads."""
    body: Json = {"sender": responses.account(sender)}
    if repository is not None:
        body["repository"] = responses.repository(repository)
        if repository.owner.type == "Organization":
            body["organization"] = organization(repository.owner)
    if installation is not None:
        body["installation"] = {
            "id": installation.installation_id,
            "node_id": f"MDIzOkludGVncmF0aW9uSW5zdGFsbGF0aW9u{installation.installation_id}",
        }
    return body


def organization(owner: Account) -> Json:
    api = f"{owner.github.api_url}/orgs/{owner.login}"
    return {
        "login": owner.login,
        "id": owner.account_id,
        "node_id": f"O_{owner.account_id}",
        "url": api,
        "repos_url": f"{api}/repos",
        "events_url": f"{api}/events",
        "hooks_url": f"{api}/hooks",
        "issues_url": f"{api}/issues",
        "members_url": f"{api}/members{{/member}}",
        "public_members_url": f"{api}/public_members{{/member}}",
        "avatar_url": f"{owner.github.url}/avatars/{owner.account_id}",
        "description": owner.github.noise.say("description", owner.login),
    }


def push_payload(
    repo: Repository, name: str, before: str, after: str, forced: bool, pusher: Account, kind: str = "heads"
) -> Json:
    commits = [] if after == _NO_COMMIT else [_pushed_commit(repo, after)]
    return {
        "ref": f"refs/{kind}/{name}",
        "before": before,
        "after": after,
        "created": before == _NO_COMMIT,
        "deleted": after == _NO_COMMIT,
        "forced": forced,
        "base_ref": None,
        "compare": f"{repo.github.url}/{repo.full_name}/compare/{before[:12]}...{after[:12]}",
        "commits": commits,
        "head_commit": commits[0] if commits else None,
        "pusher": {"name": pusher.login, "email": pusher.email},
    }


def _pushed_commit(repo: Repository, sha: str) -> Json:
    facts = git_facts.commit_facts(repo.git_dir, sha)
    noise = repo.github.noise
    return {
        "id": sha,
        "tree_id": facts.tree,
        "distinct": True,
        "message": f"{facts.message}\n{noise.say('message', sha)}",
        "timestamp": stamp(facts.committed_at),
        "url": f"{repo.github.url}/{repo.full_name}/commit/{sha}",
        "author": {"name": facts.author, "email": f"author@{noise.email_domain}", "username": "author"},
        "committer": {"name": facts.committer, "email": f"committer@{noise.email_domain}", "username": "committer"},
        "added": [],
        "removed": [],
        "modified": ["README.md"],
    }


def issue(repo: Repository, number: int, at: datetime) -> Json:
    api, html = f"{repo.github.api_url}/repos/{repo.full_name}", f"{repo.github.url}/{repo.full_name}"
    is_pull = number in repo.pull_requests
    page = f"{html}/{'pull' if is_pull else 'issues'}/{number}"
    body: Json = {
        "id": 1_000_000_000 + number,
        "node_id": f"I_{number}",
        "number": number,
        "url": f"{api}/issues/{number}",
        "html_url": page,
        "repository_url": api,
        "title": repo.github.noise.say("title", f"issue {number}"),
        "body": repo.github.noise.say("body", f"issue {number}"),
        "user": responses.account(repo.owner),
        "labels": [{"id": 1, "name": "bug", "color": "d73a4a", "default": True, "description": "Something is wrong"}],
        "state": "open",
        "locked": number in repo.locked,
        "assignee": None,
        "assignees": [],
        "milestone": None,
        "comments": 1,
        "created_at": stamp(at),
        "updated_at": stamp(at),
        "closed_at": None,
        "author_association": "OWNER",
        "active_lock_reason": None,
    }
    if is_pull:
        body["pull_request"] = {
            "url": f"{api}/pulls/{number}",
            "html_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
        }
    return body


def comment_payload(repo: Repository, comment: Comment) -> Json:
    association = "OWNER" if comment.user is repo.owner else "CONTRIBUTOR"
    return {
        "issue": issue(repo, comment.issue_number, comment.created_at),
        "comment": {**responses.comment(comment), "author_association": association},
    }


def check_payload(suite: CheckSuite, run: CheckRun | None) -> Json:
    if run is None:
        head: Json = {"id": suite.head_sha, "tree_id": suite.head_sha, "timestamp": stamp(suite.created_at)}
        noise = suite.repository.github.noise
        head["message"] = noise.say("message", suite.head_sha)
        head["author"] = head["committer"] = {"name": "Somebody", "email": f"somebody@{noise.email_domain}"}
        return {"check_suite": {**responses.check_suite(suite), "head_commit": head}}
    return {"check_run": {**run, "check_suite": responses.check_suite(suite), "actions": run.actions}}


def installation_payload(installation: Installation) -> Json:
    return {"installation": responses.installation(installation)}


def ping_payload(app: App) -> Json:
    return {
        "zen": "Speak like a human.",
        "hook_id": app.hook_id,
        "hook": {
            "type": "App",
            "id": app.hook_id,
            "name": "web",
            "active": True,
            "events": list(app.events),
            "app_id": app.app_id,
            "config": {"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": app.webhook_url},
            "created_at": stamp(app.created_at),
            "updated_at": stamp(app.created_at),
            "deliveries_url": f"{app.github.api_url}/app/hook/deliveries",
        },
    }
