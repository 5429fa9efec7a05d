"""Typed arguments of jobs. The table stores JSON; handlers parse it here, once, and requests are written from here.

A kind that has several forms is a union: a `result` job is RunEnded, RunQueued, RunRefused or ShowAgain. An id that is
missing or malformed parses as 0, which is the id of no row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import ClassVar

from bot.records import Fact, JobKind
from bot.store.database import Connection
from bot.store.jobs import request_job

Stored = Mapping[str, Fact]  # Job.arguments


class JobArguments:
    """The arguments of one kind of job."""

    __slots__ = ()
    kind: ClassVar[JobKind]

    @property
    def key(self) -> str:
        """Return what tells apart jobs of one kind and repository that may be open side by side."""
        return ""

    def dump(self) -> dict[str, Fact]:
        """Return the JSON object to store. False, 0 and "" are left out, so that joining a request never undoes one."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in values.items() if value}


async def request(
    connection: Connection,
    installation_id: int,
    repository_id: int,
    arguments: JobArguments,
    now: datetime,
    *,
    not_before: datetime | None = None,
    later: bool = False,
) -> int:
    """Request the job that `arguments` describe, as `request_job` does, and return its id."""
    return await request_job(
        connection,
        installation_id,
        repository_id,
        arguments.kind,
        now,
        not_before=not_before,
        arguments=arguments.dump(),
        key=arguments.key,
        later=later,
    )


@dataclass(frozen=True, slots=True)
class SyncRepositoryJob(JobArguments):
    kind = "sync_repository"
    remeasure: bool = False  # a delivery reported another default branch


@dataclass(frozen=True, slots=True)
class ScreenJob(JobArguments):
    kind = "screen"
    force: bool = False  # measure even if the last measurement is recent


@dataclass(frozen=True, slots=True)
class PostJob(JobArguments):
    kind = "post"
    again: bool = False  # post the stored result, whatever was posted before
    head_sha: str = ""  # with `again`: the commit to post it on; empty: the newest head
    suite: bool = False  # with `again`: a check suite, which waits for every check run in it
    look: bool = False  # ask GitHub for the head and the configuration: something changed without a push

    @property
    def key(self) -> str:
        return f"again/{self.head_sha}" if self.again else ""  # each commit's suite waits for its own


@dataclass(frozen=True, slots=True)
class DuplicateCheckRuns(JobArguments):
    """Look whether GitHub has more than one check run of a row."""

    kind = "post"
    row_id: int

    @property
    def key(self) -> str:
        return f"duplicates/{self.row_id}"

    def dump(self) -> dict[str, Fact]:
        return {"duplicates_of": self.row_id}


@dataclass(frozen=True, slots=True)
class PrepareJob(JobArguments):
    kind = "prepare"
    run_id: int

    @property
    def key(self) -> str:
        return str(self.run_id)


@dataclass(frozen=True, slots=True)
class ReplyAboutRun(JobArguments):
    """Update every comment that follows a run."""

    kind = "reply"
    run_id: int

    @property
    def key(self) -> str:
        return str(self.run_id)


@dataclass(frozen=True, slots=True)
class ReplyWithText(JobArguments):
    """Write one comment with a fixed text."""

    kind = "reply"
    reply_id: int

    @property
    def key(self) -> str:
        return f"reply/{self.reply_id}"


@dataclass(frozen=True, slots=True)
class RunEnded(JobArguments):
    """Apply the outcome of a run that ended, and post it."""

    kind = "result"
    run_id: int

    @property
    def key(self) -> str:
        return str(self.run_id)


@dataclass(frozen=True, slots=True)
class RunQueued(JobArguments):
    """Post that a button started a run."""

    kind = "result"
    run_id: int

    @property
    def key(self) -> str:
        return f"queued/{self.run_id}"

    def dump(self) -> dict[str, Fact]:
        return {"queued": self.run_id}


@dataclass(frozen=True, slots=True)
class RunRefused(JobArguments):
    """Post why a button started no run."""

    kind = "result"
    refusal: str  # bot.commands.decide.RefusalKey
    head_sha: str

    @property
    def key(self) -> str:
        return f"refused/{self.head_sha}"

    def dump(self) -> dict[str, Fact]:
        return {"refused": self.refusal, "head_sha": self.head_sha}


@dataclass(frozen=True, slots=True)
class ShowAgain(JobArguments):
    """Post a stored result as a new check run, for "re-run"."""

    kind = "result"
    head_sha: str
    external_id: str = ""  # of the check run that was re-run; empty: the newest on the commit

    @property
    def key(self) -> str:
        return f"again/{self.head_sha}"

    def dump(self) -> dict[str, Fact]:
        external_id: dict[str, Fact] = {"external_id": self.external_id} if self.external_id else {}
        return {"again": True, "head_sha": self.head_sha, **external_id}


@dataclass(frozen=True, slots=True)
class CommentCommand:
    """A command in a comment, as a delivery described it."""

    comment_id: int
    sender_id: int
    issue_number: int
    command: str
    unclear: bool


@dataclass(frozen=True, slots=True)
class ButtonCommand:
    """A button on a check run, as a delivery described it."""

    button: str
    sender_id: int
    check_run_id: int


def parse_sync_repository(stored: Stored) -> SyncRepositoryJob:
    return SyncRepositoryJob(remeasure=bool(stored.get("remeasure")))


def parse_screen(stored: Stored) -> ScreenJob:
    return ScreenJob(force=bool(stored.get("force")))


def parse_post(stored: Stored) -> PostJob | DuplicateCheckRuns:
    if "duplicates_of" in stored:
        return DuplicateCheckRuns(_id(stored, "duplicates_of"))
    again = bool(stored.get("again"))
    head_sha = _text(stored, "head_sha") if again else ""
    return PostJob(again, head_sha, bool(stored.get("suite")), bool(stored.get("look")))


def parse_prepare(stored: Stored) -> PrepareJob:
    return PrepareJob(_id(stored, "run_id"))


def parse_reply(stored: Stored) -> ReplyAboutRun | ReplyWithText:
    if "run_id" in stored:
        return ReplyAboutRun(_id(stored, "run_id"))
    return ReplyWithText(_id(stored, "reply_id"))


def parse_result(stored: Stored) -> RunEnded | RunQueued | RunRefused | ShowAgain:
    if "run_id" in stored:
        return RunEnded(_id(stored, "run_id"))
    if "refused" in stored:
        return RunRefused(_text(stored, "refused"), _text(stored, "head_sha"))
    if "queued" in stored:
        return RunQueued(_id(stored, "queued"))
    return ShowAgain(_text(stored, "head_sha"), _text(stored, "external_id"))


def parse_command(stored: Stored) -> CommentCommand | ButtonCommand:
    sender_id = _id(stored, "sender_id")
    if "comment_id" not in stored:
        return ButtonCommand(_text(stored, "button"), sender_id, _id(stored, "check_run_id"))
    return CommentCommand(
        comment_id=_id(stored, "comment_id"),
        sender_id=sender_id,
        issue_number=_id(stored, "issue_number"),
        command=_text(stored, "command"),
        unclear=bool(stored.get("unclear")),
    )


def _id(stored: Stored, name: str) -> int:
    value = stored.get(name, 0)
    return value if isinstance(value, int) else 0


def _text(stored: Stored, name: str) -> str:
    value = stored.get(name, "")
    return value if isinstance(value, str) else ""
