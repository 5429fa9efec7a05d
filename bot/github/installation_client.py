"""What is said under an installation's token: repositories, check runs, comments, roles."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from githubkit.auth import TokenAuthStrategy

from bot.github.endpoints import api_path, repository_path
from bot.github.errors import NotFound, Rejected, Unavailable
from bot.github.paging import MOST_PAGES, PAGE_SIZE, has_next
from bot.github.request import JSON, Answer, Exchange
from bot.github.responses import (
    AccountAnswer,
    CheckRunsAnswer,
    CommentAnswer,
    CommitAnswer,
    MadeAnswer,
    RepositoriesAnswer,
    RepositoryAnswer,
    RoleAnswer,
)
from bot.records import CheckRunFields, Repository

NO_ROLE = "none"
_MOST_CHECK_RUN_PAGES = 10
_MOST_COMMENT_PAGES = 10
_SHA_ALONE = "application/vnd.github.sha"  # a commit's id in place of the whole commit
_RAW = "application/vnd.github.raw"  # a file's content in place of a description
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ISSUE_NUMBER = re.compile(r"/issues/(\d{1,18})/?$", re.ASCII)


@dataclass(frozen=True)
class Comment:
    """A comment on an issue or a pull request, as it is now."""

    author_id: int
    author_login: str
    author_type: str  # "User", "Bot", ...
    body: str
    issue_number: int  # 0 where GitHub does not say

    def __repr__(self) -> str:
        return f"Comment(author_id={self.author_id}, issue_number={self.issue_number})"  # never the text, in no log


class InstallationClient:
    """Speaks for one installation until its token runs out, which raises BadToken."""

    def __init__(self, exchange: Exchange, installation_id: int, token: str, app_id: int) -> None:
        self._exchange = exchange
        self._installation_id = installation_id
        self._app_id = app_id
        self._speaker = exchange.speaker(TokenAuthStrategy(token))

    def __repr__(self) -> str:
        return f"InstallationClient(installation_id={self._installation_id})"

    async def _get(self, path: str, query: Mapping[str, str | int] | None = None, *, accept: str = JSON) -> Answer:
        return await self._exchange.get(
            self._speaker, path, query, installation_id=self._installation_id, accept=accept
        )

    async def _send(self, method: str, path: str, body: Mapping[str, object], *, repeatable: bool = False) -> Answer:
        return await self._exchange.send(
            self._speaker, method, path, body, installation_id=self._installation_id, repeatable=repeatable
        )

    async def repositories(self) -> list[Repository]:
        """All that the token may see. Raises Unavailable rather than leaving some out."""
        found: dict[int, Repository] = {}
        for page in range(1, MOST_PAGES + 1):
            answer = await self._get("/installation/repositories", {"per_page": PAGE_SIZE, "page": page})
            items = answer.parse(RepositoriesAnswer).repositories
            found.update((item.id, item.value(self._installation_id)) for item in items)
            if not has_next(answer.headers, len(items)):
                return list(found.values())
        raise Unavailable(f"the installation has more than {MOST_PAGES * PAGE_SIZE:,} repositories")

    async def repository(self, full_name: str, repository_id: int) -> Repository:
        """The repository of this id as it is now, whatever it is called now. Raises NotFound.

        A name leads to its repository by a redirect after a rename, unless somebody took the name: then the list of
        what the token may see knows it, a short one where the token is for one repository.
        """
        try:
            found = (await self._get(repository_path(full_name))).parse(RepositoryAnswer)
        except (NotFound, Rejected):
            found = None
        if found is not None and found.id == repository_id:
            return found.value(self._installation_id)
        for repository in await self.repositories():
            if repository.repository_id == repository_id:
                return repository
        raise NotFound(f"there is no repository {repository_id} for us to see")

    async def head(self, full_name: str, branch: str) -> str:
        """The commit that a branch is at; empty where the repository has no commit. Raises NotFound."""
        path = repository_path(full_name, "commits", f"heads/{branch}")
        try:
            answer = await self._get(path, accept=_SHA_ALONE)
        except Rejected as problem:
            if "empty" in str(problem).lower():
                return ""
            if "no commit" in str(problem).lower():
                raise NotFound("there is no such branch") from None
            raise
        sha = answer.body.decode("ascii", "replace").strip()
        if not _SHA.fullmatch(sha):
            raise Unavailable("GitHub names no commit where a branch should be: is there a proxy in between?")
        return sha

    async def committed_at(self, full_name: str, sha: str) -> datetime:
        """When a commit was made, as its committer's clock had it. Raises NotFound, and Rejected for no commit."""
        answer = await self._get(repository_path(full_name, "commits", sha))
        return answer.parse(CommitAnswer).commit.committer.date

    async def file(self, full_name: str, path: str, ref: str) -> bytes | None:
        """The content of a file at a commit; None where there is no such file. Raises Rejected for what is no file."""
        try:
            place = repository_path(full_name, "contents", *path.split("/"))
            answer = await self._get(place, {"ref": ref}, accept=_RAW)
        except NotFound:
            return None
        return answer.body

    async def create_check_run(self, full_name: str, fields: CheckRunFields) -> int:
        """Write a completed check run; its id. Never repeated by itself: look for it before writing again."""
        answer = await self._send("POST", repository_path(full_name, "check-runs"), check_run_body(fields))
        return answer.parse(MadeAnswer).id

    async def find_check_run(self, full_name: str, head_sha: str, name: str, external_id: str) -> int | None:
        """The id of a check run of this App that was written before; none where there is none."""
        path = repository_path(full_name, "commits", head_sha, "check-runs")
        query: dict[str, str | int] = {"check_name": name, "filter": "all", "app_id": self._app_id}
        for page in range(1, _MOST_CHECK_RUN_PAGES + 1):
            answer = await self._get(path, {**query, "per_page": PAGE_SIZE, "page": page})
            runs = answer.parse(CheckRunsAnswer).check_runs
            for run in runs:
                ours = run.app is None or run.app.id in (0, self._app_id)
                if ours and run.name == name and run.external_id == external_id:
                    return run.id
            if not has_next(answer.headers, len(runs)):
                break
        return None

    async def turn_off_suites(self, full_name: str, app_id: int) -> None:
        """Tell GitHub not to make an empty check suite of ours for every push."""
        body = {"auto_trigger_checks": [{"app_id": app_id, "setting": False}]}
        await self._send("PATCH", repository_path(full_name, "check-suites", "preferences"), body, repeatable=True)

    async def role(self, full_name: str, login: str, account_id: int = 0) -> str:
        """The role's name ("admin", "maintain", "write", ...); "none" for who has no role. A custom role counts as
        the one that it builds on.

        With `account_id` also for somebody else who has taken the login since.
        """
        path = repository_path(full_name, "collaborators", login, "permission")
        try:
            found = (await self._get(path)).parse(RoleAnswer)
        except NotFound:
            return NO_ROLE
        if account_id and (found.user is None or found.user.id != account_id):
            return NO_ROLE
        return found.role

    async def user_login(self, account_id: int) -> str:
        """The login that an account has now. Raises NotFound."""
        return (await self._get(api_path("user", account_id))).parse(AccountAnswer).login

    async def comment(self, full_name: str, comment_id: int) -> Comment:
        """Raises NotFound where it was deleted."""
        answer = await self._get(repository_path(full_name, "issues", "comments", comment_id))
        found = answer.parse(CommentAnswer)
        author = found.user or AccountAnswer()
        number = _ISSUE_NUMBER.search(found.issue_url)
        return Comment(
            author_id=author.id,
            author_login=author.login,
            author_type=author.type,
            body=found.body or "",
            issue_number=int(number[1]) if number else 0,
        )

    async def create_comment(self, full_name: str, issue_number: int, body: str) -> int:
        """Comment on an issue or a pull request; the comment's id. Never repeated by itself: look for it first."""
        path = repository_path(full_name, "issues", issue_number, "comments")
        return (await self._send("POST", path, {"body": body})).parse(MadeAnswer).id

    async def update_comment(self, full_name: str, comment_id: int, body: str) -> None:
        """Change what a comment of ours says. Raises NotFound where it was deleted."""
        path = repository_path(full_name, "issues", "comments", comment_id)
        await self._send("PATCH", path, {"body": body}, repeatable=True)

    async def find_comment(self, full_name: str, issue_number: int, marker: str, since: datetime) -> int | None:
        """The id of a comment of this App that holds `marker` and was written or changed since then.

        Others may have quoted it: theirs do not count. Raises NotFound where the issue is gone.
        """
        path = repository_path(full_name, "issues", issue_number, "comments")
        query: dict[str, str | int] = {"since": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
        for page in range(1, _MOST_COMMENT_PAGES + 1):
            answer = await self._get(path, {**query, "per_page": PAGE_SIZE, "page": page})
            comments = answer.parse(list[CommentAnswer])
            for comment in comments:
                app = comment.performed_via_github_app
                if app is not None and app.id == self._app_id and marker in (comment.body or ""):
                    return comment.id
            if not has_next(answer.headers, len(comments)):
                break
        return None

    async def react(self, full_name: str, comment_id: int, content: str) -> None:
        """React to a comment ("eyes", "rocket", "confused"); a second time changes nothing."""
        path = repository_path(full_name, "issues", "comments", comment_id, "reactions")
        await self._send("POST", path, {"content": content}, repeatable=True)


def check_run_body(fields: CheckRunFields) -> dict[str, object]:
    """The request that writes a completed check run."""
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
