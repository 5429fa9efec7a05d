"""THE table of what GitHub may tell us: event and action, the job that answers it, and the permission that carries it.

Nothing is read here but an `Event`, and nothing is done: `job_for` says which job row answers a delivery. A delivery
is a hint: the jobs that remove something ask GitHub first whether it is so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal

from bot.records import Event, Fact, JobKind, Subset

QUIET_S: Final = 60  # without a push, before the newest head is answered
LONGEST_WAIT_S: Final = 600  # after the first push of a burst that does not end

SUBSETS: Final[tuple[Subset, ...]] = ("screen", "evidence", "full")  # each has all that the ones before it have
SCREEN_CHECK: Final = "assay/screen"
FINETUNE_CHECK: Final = "assay/finetune"
CHECKS: Final = (SCREEN_CHECK, FINETUNE_CHECK)  # names of check runs of ours
SCREEN_BUTTON: Final = "rescreen"
FINETUNE_BUTTON: Final = "finetune"
BUTTONS: Final = (SCREEN_BUTTON, FINETUNE_BUTTON)  # identifiers of actions on our check runs


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that GitHub may tell, and what comes of it."""

    event: str
    action: str  # empty where the event has none
    job: JobKind | None  # None: nothing is to be done
    subset: Subset  # the smallest that carries it
    permission: str  # which GitHub asks for before it tells; empty where it tells every App
    subscribed: bool  # False: it comes unasked, and a manifest that names it is refused
    does: str  # one sentence


TABLE: Final[tuple[Row, ...]] = (
    Row("installation", "created", "sync_installation", "screen", "", False,
        "Lists the repositories of the new installation and screens each."),
    Row("installation", "deleted", "remove_installation", "screen", "", False,
        "Asks GitHub whether the installation is gone, then deletes all that is held of it."),
    Row("installation", "suspend", "sync_installation", "screen", "", False,
        "Asks GitHub whether the installation is suspended, then leaves it alone."),
    Row("installation", "unsuspend", "sync_installation", "screen", "", False,
        "Serves the installation again and screens what is new."),
    Row("installation", "new_permissions_accepted", "sync_installation", "screen", "", False,
        "Remembers what the installation permits now."),
    Row("installation_repositories", "added", "sync_installation", "screen", "", False,
        "Lists the repositories and screens the ones that are new."),
    Row("installation_repositories", "removed", "sync_installation", "screen", "", False,
        "Lists the repositories and deletes what is held of the ones that are gone."),
    Row("push", "", "post", "screen", "contents", True,
        "Waits for quiet, then posts the verdict on the newest head of the default branch."),
    Row("repository", "renamed", "sync_repository", "screen", "metadata", True,
        "Follows the new name."),
    Row("repository", "transferred", "sync_repository", "screen", "metadata", True,
        "Asks GitHub whose the repository is now; another account's is removed here and starts afresh there."),
    Row("repository", "archived", "sync_repository", "screen", "metadata", True,
        "Posts nothing more on the archived repository."),
    Row("repository", "unarchived", "sync_repository", "screen", "metadata", True,
        "Serves the repository again."),
    Row("repository", "deleted", "sync_repository", "screen", "metadata", True,
        "Asks GitHub whether the repository is gone, then deletes all that is held of it."),
    Row("repository", "privatized", "sync_repository", "screen", "metadata", True,
        "Remembers that the repository is private."),
    Row("repository", "publicized", "sync_repository", "screen", "metadata", True,
        "Remembers that the repository is public."),
    Row("repository", "edited", "sync_repository", "screen", "metadata", True,
        "Measures again where another branch became the default; other edits are ignored."),
    Row("check_run", "rerequested", "post", "screen", "checks", True,
        "Posts the stored verdict or result as a new completed check run."),
    Row("check_run", "requested_action", "command", "screen", "checks", True,
        "Checks the role of whoever pressed the button, then does what it says."),
    Row("check_suite", "rerequested", "post", "screen", "checks", True,
        "Posts the stored verdict and result as new completed check runs."),
    Row("issue_comment", "created", "command", "full", "issues", True,
        "Checks the role of whoever gave a command in a new comment, then does what it says."),
    Row("github_app_authorization", "revoked", None, "screen", "", False,
        "Does nothing: no token of a person is held."),
    Row("ping", "", None, "screen", "", False,
        "Does nothing: the answer says that this server is there."),
)  # fmt: skip

EVENTS: Final = frozenset(row.event for row in TABLE)
_ROWS: Final[Mapping[tuple[str, str], Row]] = MappingProxyType({(row.event, row.action): row for row in TABLE})


@dataclass(frozen=True, slots=True)
class Permission:
    """One permission of the App, and the sentence that tells an administrator what needs it."""

    name: str  # as GitHub's manifest spells it
    access: Literal["read", "write"]
    subset: Subset  # the smallest that asks for it
    why: str


PERMISSIONS: Final[tuple[Permission, ...]] = (
    Permission("metadata", "read", "screen",
               "Lists the repositories, follows renames and checks the role of whoever gives a command."),
    Permission("contents", "read", "screen",
               "Clones the default branch to measure its history, and hears of pushes to it."),
    Permission("checks", "write", "screen",
               "Posts the verdict as the check run assay/screen, and hears its buttons."),
    Permission("issues", "read", "evidence",
               "Reads which issues are labelled as bugs: the strongest evidence that a commit is a fix."),
    Permission("pull_requests", "read", "evidence",
               "Reads which pull requests are labelled as bugs or close an issue that is."),
    Permission("issues", "write", "full",
               "Answers commands in comments (/screen, /finetune), and reads which issues are labelled as bugs."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class JobRequest:
    """The job that answers an event, not yet a row."""

    kind: JobKind
    installation_id: int
    repository_id: int  # 0: the whole installation
    arguments: Mapping[str, Fact] = field(default_factory=dict)
    key: str = ""  # jobs of one kind and repository that differ in it stand side by side
    after_quiet: bool = False  # not before `due_after_push`


def row_of(event: str, action: str) -> Row | None:
    """The row that says what comes of it; None where nothing is known of it."""
    return _ROWS.get((event, action))


def job_for(event: Event) -> JobRequest | None:
    """The job that answers `event`; None where there is nothing to do or it is not of an installation of ours."""
    row = _ROWS.get((event.name, event.action))
    if row is None or row.job is None or not event.installation_id:
        return None
    if row.job in ("sync_installation", "remove_installation"):
        return JobRequest(row.job, event.installation_id, 0)
    if not event.repository_id:
        return None
    if row.job == "post":
        return _pushed(event) if event.name == "push" else _asked_again(event)
    if row.job == "command":
        return _pressed(event) if event.name == "check_run" else _commented(event)
    if event.action == "edited" and not event.facts.get("default_branch_changed"):
        return None
    return JobRequest(row.job, event.installation_id, event.repository_id)


def due_after_push(burst_since: datetime | None, now: datetime) -> datetime:
    """When a push that came just `now` is to be answered; `burst_since` is the first push not answered yet."""
    first = now if burst_since is None else burst_since
    latest = first + timedelta(seconds=LONGEST_WAIT_S)
    return max(now, min(now + timedelta(seconds=QUIET_S), latest))


def events_of(subset: Subset) -> tuple[str, ...]:
    """The events that an App with these permissions subscribes to, sorted."""
    carried = _up_to(subset)
    return tuple(sorted({row.event for row in TABLE if row.subscribed and row.subset in carried}))


def permissions_of(subset: Subset) -> tuple[Permission, ...]:
    """What the App asks for, in the order of the table: one of each name, the strongest."""
    carried = _up_to(subset)
    strongest = {permission.name: permission for permission in PERMISSIONS if permission.subset in carried}
    return tuple(permission for permission in PERMISSIONS if strongest.get(permission.name) is permission)


def _up_to(subset: Subset) -> tuple[Subset, ...]:
    return SUBSETS[: SUBSETS.index(subset) + 1]


def _pushed(event: Event) -> JobRequest | None:
    if not event.facts.get("default_branch"):
        return None
    if event.facts.get("deleted"):
        return JobRequest("sync_repository", event.installation_id, event.repository_id)
    return JobRequest("post", event.installation_id, event.repository_id, after_quiet=True)


def _asked_again(event: Event) -> JobRequest | None:
    """Of a suite, the job that shows the verdict again sees to the other check runs in it."""
    arguments = {"again": True, **_some(event, "head_sha")}
    if event.name == "check_suite":
        return JobRequest("post", event.installation_id, event.repository_id, {**arguments, "suite": True})
    name = event.facts.get("check_run_name")
    if name is None:
        return None  # another App's
    if name == SCREEN_CHECK:
        return JobRequest("post", event.installation_id, event.repository_id, arguments)
    key = f"again/{event.facts.get('head_sha', '')}"
    arguments |= _some(event, "external_id")
    return JobRequest("result", event.installation_id, event.repository_id, arguments, key)


def _pressed(event: Event) -> JobRequest | None:
    facts = event.facts
    if not {"button", "sender_id", "check_run_id"} <= facts.keys():
        return None
    arguments = _some(event, "button", "sender_id", "check_run_id", "head_sha")
    key = f"{facts['button']}/{facts['check_run_id']}/{facts['sender_id']}"
    return JobRequest("command", event.installation_id, event.repository_id, arguments, key)


def _commented(event: Event) -> JobRequest | None:
    """A body can be replayed under another delivery's id, so the comment's id is the key."""
    if not {"command", "comment_id", "sender_id", "issue_number"} <= event.facts.keys():
        return None
    arguments = _some(event, "command", "unclear", "comment_id", "sender_id", "issue_number", "on_pull_request")
    key = f"comment/{event.facts['comment_id']}"
    return JobRequest("command", event.installation_id, event.repository_id, arguments, key)


def _some(event: Event, *names: str) -> dict[str, Fact]:
    return {name: event.facts[name] for name in names if name in event.facts}
