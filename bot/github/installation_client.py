"""Client for requests made with an installation's token: repositories, check runs, comments, roles."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from githubkit.auth import TokenAuthStrategy

from bot.github.endpoints import api_path, repository_path
from bot.github.errors import NotFound, Rejected, Unavailable
from bot.github.request import JSON, GitHubSession, Response
from bot.github.responses import (
    MAX_PAGES,
    PAGE_SIZE,
    AccountResponse,
    CheckRunsResponse,
    CommentResponse,
    CommitResponse,
    CreatedResponse,
    RepositoriesResponse,
    RepositoryResponse,
    RoleResponse,
    has_next,
)
from bot.records import CheckRunFields, Repository

NO_ROLE = "none"
_MAX_CHECK_RUN_PAGES = 10
_MAX_COMMENT_PAGES = 10
_SHA_ONLY = "application/vnd.github.sha"  # the commit's id instead of the whole commit
_RAW = "application/vnd.github.raw"  # the file's content instead of its description
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ISSUE_NUMBER = re.compile(r"/issues/(\d{1,18})/?$", re.ASCII)


@dataclass(frozen=True)
class Comment:
    """The current state of a comment on an issue or a pull request."""

    author_id: int
    author_login: str
    author_type: str  # "User", "Bot", ...
    body: str
    issue_number: int  # 0 if unknown

    def __repr__(self) -> str:
        return f"Comment(author_id={self.author_id}, issue_number={self.issue_number})"  # keep the text out of logs


class InstallationClient:
    """Client for one installation. Raises BadToken once its token has expired."""

    def __init__(self, session: GitHubSession, installation_id: int, token: str, app_id: int) -> None:
        self._session = session
        self._installation_id = installation_id
        self._app_id = app_id
        self._client = session.client(TokenAuthStrategy(token))

    def __repr__(self) -> str:
        return f"InstallationClient(installation_id={self._installation_id})"

    async def _get(self, path: str, query: Mapping[str, str | int] | None = None, *, accept: str = JSON) -> Response:
        return await self._session.get(self._client, path, query, installation_id=self._installation_id, accept=accept)

    async def _send(self, method: str, path: str, body: Mapping[str, object], *, idempotent: bool = False) -> Response:
        return await self._session.send(
            self._client, method, path, body, installation_id=self._installation_id, idempotent=idempotent
        )

    async def repositories(self) -> list[Repository]:
        """Fetch all repositories visible to the token. Raises Unavailable rather than return an incomplete list."""
        repositories: dict[int, Repository] = {}
        for page in range(1, MAX_PAGES + 1):
            response = await self._get("/installation/repositories", {"per_page": PAGE_SIZE, "page": page})
            items = response.parse(RepositoriesResponse).repositories
            repositories.update((item.id, item.to_repository(self._installation_id)) for item in items)
            if not has_next(response.headers, len(items)):
                return list(repositories.values())
        raise Unavailable(f"the installation has more than {MAX_PAGES * PAGE_SIZE:,} repositories")

    async def repository(self, full_name: str, repository_id: int) -> Repository:
        """Fetch the repository with this id, even if it has been renamed since. Raises NotFound.

        After a rename the old name redirects to the repository, unless another one has taken it: then look through
        the repositories visible to the token, a short list if the token is for one repository.
        """
        try:
            named = (await self._get(repository_path(full_name))).parse(RepositoryResponse)
        except (NotFound, Rejected):
            named = None
        if named is not None and named.id == repository_id:
            return named.to_repository(self._installation_id)
        for repository in await self.repositories():
            if repository.repository_id == repository_id:
                return repository
        raise NotFound(f"repository {repository_id} is not visible to us")

    async def head(self, full_name: str, branch: str) -> str:
        """Fetch a branch's head commit; empty if the repository has no commits. Raises NotFound."""
        path = repository_path(full_name, "commits", f"heads/{branch}")
        try:
            response = await self._get(path, accept=_SHA_ONLY)
        except Rejected as error:
            if "empty" in str(error).lower():
                return ""
            if "no commit" in str(error).lower():
                raise NotFound("the branch does not exist") from None
            raise
        sha = response.body.decode("ascii", "replace").strip()
        if not _SHA.fullmatch(sha):
            raise Unavailable("GitHub returned no commit id for a branch: is there a proxy in between?")
        return sha

    async def committed_at(self, full_name: str, sha: str) -> datetime:
        """Fetch a commit's committer date. Raises NotFound, or Rejected if `sha` is not a commit."""
        response = await self._get(repository_path(full_name, "commits", sha))
        return response.parse(CommitResponse).commit.committer.date

    async def file(self, full_name: str, path: str, ref: str) -> bytes | None:
        """Fetch a file's content at a commit; None if there is no such file. Raises Rejected if it is not a file."""
        try:
            contents_path = repository_path(full_name, "contents", *path.split("/"))
            response = await self._get(contents_path, {"ref": ref}, accept=_RAW)
        except NotFound:
            return None
        return response.body

    async def create_check_run(self, full_name: str, fields: CheckRunFields) -> int:
        """Create a completed check run and return its id. Never retried: look for an existing one before retrying."""
        response = await self._send("POST", repository_path(full_name, "check-runs"), check_run_body(fields))
        return response.parse(CreatedResponse).id

    async def update_check_run(self, full_name: str, check_run_id: int, fields: CheckRunFields) -> None:
        """Replace what one of our check runs shows; its commit stays."""
        body = {name: value for name, value in check_run_body(fields).items() if name != "head_sha"}
        path = repository_path(full_name, "check-runs", check_run_id)
        await self._send("PATCH", path, body, idempotent=True)

    async def find_check_runs(self, full_name: str, head_sha: str, name: str, external_id: str) -> list[int]:
        """Return the ids of this App's check runs with this external id, newest first."""
        path = repository_path(full_name, "commits", head_sha, "check-runs")
        query: dict[str, str | int] = {"check_name": name, "filter": "all", "app_id": self._app_id}
        found: list[int] = []
        for page in range(1, _MAX_CHECK_RUN_PAGES + 1):
            response = await self._get(path, {**query, "per_page": PAGE_SIZE, "page": page})
            runs = response.parse(CheckRunsResponse).check_runs
            for run in runs:
                is_ours = run.app is None or run.app.id in (0, self._app_id)
                if is_ours and run.name == name and run.external_id == external_id:
                    found.append(run.id)
            if not has_next(response.headers, len(runs)):
                break
        return sorted(found, reverse=True)

    async def turn_off_suites(self, full_name: str, app_id: int) -> None:
        """Stop GitHub from creating an empty check suite for this App on every push."""
        body = {"auto_trigger_checks": [{"app_id": app_id, "setting": False}]}
        await self._send("PATCH", repository_path(full_name, "check-suites", "preferences"), body, idempotent=True)

    async def role(self, full_name: str, login: str, account_id: int = 0) -> str:
        """Fetch a user's role ("admin", "maintain", "write", ...); "none" without one. A custom role counts as the
        one that it extends.

        With `account_id`, also "none" if another account has taken the login since.
        """
        path = repository_path(full_name, "collaborators", login, "permission")
        try:
            response = (await self._get(path)).parse(RoleResponse)
        except NotFound:
            return NO_ROLE
        if account_id and (response.user is None or response.user.id != account_id):
            return NO_ROLE
        return response.role

    async def user_login(self, account_id: int) -> str:
        """Fetch an account's current login. Raises NotFound."""
        return (await self._get(api_path("user", account_id))).parse(AccountResponse).login

    async def comment(self, full_name: str, comment_id: int) -> Comment:
        """Fetch a comment. Raises NotFound if it was deleted."""
        response = await self._get(repository_path(full_name, "issues", "comments", comment_id))
        comment = response.parse(CommentResponse)
        author = comment.user or AccountResponse()
        number = _ISSUE_NUMBER.search(comment.issue_url)
        return Comment(
            author_id=author.id,
            author_login=author.login,
            author_type=author.type,
            body=comment.body or "",
            issue_number=int(number[1]) if number else 0,
        )

    async def create_comment(self, full_name: str, issue_number: int, body: str) -> int:
        """Comment on an issue or a pull request and return the comment's id. Never retried: look for an existing one
        before retrying."""
        path = repository_path(full_name, "issues", issue_number, "comments")
        return (await self._send("POST", path, {"body": body})).parse(CreatedResponse).id

    async def update_comment(self, full_name: str, comment_id: int, body: str) -> None:
        """Replace the text of one of our comments. Raises NotFound if it was deleted."""
        path = repository_path(full_name, "issues", "comments", comment_id)
        await self._send("PATCH", path, {"body": body}, idempotent=True)

    async def find_comment(self, full_name: str, issue_number: int, marker: str, since: datetime) -> int | None:
        """Return the id of this App's comment that contains `marker`, created or updated since `since`.

        Comments of others that quote it do not count. Raises NotFound if the issue is gone.
        """
        path = repository_path(full_name, "issues", issue_number, "comments")
        query: dict[str, str | int] = {"since": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
        for page in range(1, _MAX_COMMENT_PAGES + 1):
            response = await self._get(path, {**query, "per_page": PAGE_SIZE, "page": page})
            comments = response.parse(list[CommentResponse])
            for comment in comments:
                app = comment.performed_via_github_app
                if app is not None and app.id == self._app_id and marker in (comment.body or ""):
                    return comment.id
            if not has_next(response.headers, len(comments)):
                break
        return None

    async def react(self, full_name: str, comment_id: int, content: str) -> None:
        """React to a comment ("eyes", "rocket", "confused"). Idempotent."""
        path = repository_path(full_name, "issues", "comments", comment_id, "reactions")
        await self._send("POST", path, {"content": content}, idempotent=True)


def check_run_body(fields: CheckRunFields) -> dict[str, object]:
    """Return the request body for a completed check run."""
    output = {"title": fields.title, "summary": fields.summary}
    if fields.text:
        output["text"] = fields.text
    return {
        "name": fields.name,
        "head_sha": fields.head_sha,
        "external_id": fields.external_id,
        "status": "completed",
        "conclusion": fields.conclusion,
        "output": output,
        "actions": [
            {"label": action.label, "description": action.description, "identifier": action.identifier}
            for action in fields.actions
        ],
    }
