"""The dispatch table: which job handles each webhook event and action, and which permission subscribes to it.

Pure: `job_for` maps an `Event` to the job that handles it. A delivery is only a hint: jobs that delete something check
with GitHub first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal

from bot.records import Event, Fact, JobKind, Subset

QUIET_S: Final = 60  # of quiet after the last push before its head is handled
MAX_WAIT_S: Final = 600  # after the first push of an unending burst

SUBSETS: Final[tuple[Subset, ...]] = ("screen", "evidence", "full")  # each includes the previous ones
SCREEN_CHECK: Final = "assay/screen"
FINETUNE_CHECK: Final = "assay/finetune"
CHECKS: Final = (SCREEN_CHECK, FINETUNE_CHECK)  # names of our check runs
SCREEN_BUTTON: Final = "rescreen"
FINETUNE_BUTTON: Final = "finetune"
BUTTONS: Final = (SCREEN_BUTTON, FINETUNE_BUTTON)  # identifiers of actions on our check runs


@dataclass(frozen=True, slots=True)
class Row:
    """An event and action, and what we do about it."""

    event: str
    action: str  # empty if the event has none
    job: JobKind | None  # None: nothing to do
    subset: Subset  # the smallest that receives it
    permission: str  # that GitHub requires for the event; empty if every App receives it
    subscribed: bool  # False: always sent, or not needed, and the manifest does not list it
    effect: str  # one sentence


TABLE: Final[tuple[Row, ...]] = (
    Row("installation", "created", "sync_installation", "screen", "", False,
        "Lists the repositories of the new installation and screens each of them."),
    Row("installation", "deleted", "remove_installation", "screen", "", False,
        "Checks with GitHub that the installation is gone, then deletes all its data."),
    Row("installation", "suspend", "sync_installation", "screen", "", False,
        "Checks with GitHub that the installation is suspended, then leaves it alone."),
    Row("installation", "unsuspend", "sync_installation", "screen", "", False,
        "Resumes service, screens new repositories, and answers what was pushed meanwhile."),
    Row("installation", "new_permissions_accepted", "sync_installation", "screen", "", False,
        "Records the new permissions, and answers the newest heads; measures again if more evidence may be read."),
    Row("installation_repositories", "added", "sync_installation", "screen", "", False,
        "Lists the repositories and screens new ones."),
    Row("installation_repositories", "removed", "sync_installation", "screen", "", False,
        "Lists the repositories and deletes the data of removed ones."),
    Row("installation_target", "renamed", "sync_installation", "screen", "", False,
        "Records the new name of the account, which an App that does not subscribe to this finds within an hour."),
    Row("push", "", "post", "screen", "contents", True,
        "Waits for a pause between pushes, then posts the verdict on the head of the default branch."),
    Row("repository", "renamed", "sync_repository", "screen", "metadata", True,
        "Records the new name, and answers the newest head."),
    Row("repository", "transferred", "sync_repository", "screen", "metadata", True,
        "Checks with GitHub who owns the repository; removes it here if that is another account now."),
    Row("repository", "archived", "sync_repository", "screen", "metadata", True,
        "Stops posting to the archived repository."),
    Row("repository", "unarchived", "sync_repository", "screen", "metadata", True,
        "Resumes service for the repository, and answers the newest head."),
    Row("repository", "deleted", "sync_repository", "screen", "metadata", True,
        "Checks with GitHub that the repository is gone, then deletes all its data."),
    Row("repository", "privatized", "sync_repository", "screen", "metadata", True,
        "Records that the repository is private."),
    Row("repository", "publicized", "sync_repository", "screen", "metadata", True,
        "Records that the repository is public."),
    Row("repository", "edited", "sync_repository", "screen", "metadata", True,
        "Measures again if the default branch changed; ignores other edits."),
    Row("check_run", "rerequested", "post", "screen", "checks", True,
        "Posts the stored verdict or result as a new, completed check run."),
    Row("check_run", "requested_action", "command", "screen", "checks", True,
        "Checks the role of the person who clicked the button, then runs its command."),
    Row("check_suite", "rerequested", "post", "screen", "checks", True,
        "Posts the stored verdict and result as new, completed check runs."),
    Row("issue_comment", "created", "command", "full", "issues", True,
        "Checks the role of the person who gave a command in a new comment, then runs it."),
    Row("github_app_authorization", "revoked", None, "screen", "", False,
        "Does nothing: no user tokens are stored."),
    Row("ping", "", None, "screen", "", False,
        "Does nothing: the response shows that the server is up."),
)  # fmt: skip

EVENTS: Final = frozenset(row.event for row in TABLE)
_ROWS: Final[Mapping[tuple[str, str], Row]] = MappingProxyType({(row.event, row.action): row for row in TABLE})


@dataclass(frozen=True, slots=True)
class Permission:
    """A permission of the App, and a sentence that tells administrators what it is for."""

    name: str  # as in GitHub's manifest
    access: Literal["read", "write"]
    subset: Subset  # the smallest that requests it
    purpose: str


PERMISSIONS: Final[tuple[Permission, ...]] = (
    Permission("metadata", "read", "screen",
               "Lists repositories, follows renames, and checks the role of people who give commands."),
    Permission("contents", "read", "screen",
               "Clones the default branch to measure its history, and receives its pushes."),
    Permission("checks", "write", "screen",
               "Posts the verdict as the check run assay/screen, and receives clicks on its buttons."),
    Permission("issues", "read", "evidence",
               "Reads which issues are labelled as bugs: the strongest evidence that a commit is a fix."),
    Permission("pull_requests", "read", "evidence",
               "Reads which pull requests are labelled as bugs or close such an issue."),
    Permission("issues", "write", "full",
               "Responds to commands in comments (/screen, /finetune), and reads which issues are labelled as bugs."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class JobRequest:
    """The job that handles an event, before it is stored."""

    kind: JobKind
    installation_id: int
    repository_id: int  # 0 for the whole installation
    arguments: Mapping[str, Fact] = field(default_factory=dict)
    key: str = ""  # jobs of the same kind and repository but different keys coexist
    after_quiet: bool = False  # delayed by `due_after_push`


def find_row(event: str, action: str) -> Row | None:
    """Return the table's row for an event and action, or None."""
    return _ROWS.get((event, action))


def job_for(event: Event) -> JobRequest | None:
    """Return the job that handles `event`; None if there is nothing to do or no installation."""
    row = _ROWS.get((event.name, event.action))
    if row is None or row.job is None or not event.installation_id:
        return None
    if row.job in ("sync_installation", "remove_installation"):
        return JobRequest(row.job, event.installation_id, 0)
    if not event.repository_id:
        return None
    if row.job == "post":
        return _push_job(event) if event.name == "push" else _rerequest_job(event)
    if row.job == "command":
        return _button_job(event) if event.name == "check_run" else _comment_job(event)
    if event.action == "edited" and not event.facts.get("default_branch_changed"):
        return None
    return JobRequest(row.job, event.installation_id, event.repository_id)


def due_after_push(burst_since: datetime | None, now: datetime) -> datetime:
    """Return when to handle a push that arrived `now`; `burst_since` is the first unhandled push."""
    first = now if burst_since is None else burst_since
    latest = first + timedelta(seconds=MAX_WAIT_S)
    return max(now, min(now + timedelta(seconds=QUIET_S), latest))


def events_of(subset: Subset) -> tuple[str, ...]:
    """Return the events that an App with this subset subscribes to, sorted."""
    included = _up_to(subset)
    return tuple(sorted({row.event for row in TABLE if row.subscribed and row.subset in included}))


def permissions_of(subset: Subset) -> tuple[Permission, ...]:
    """Return the permissions that the App requests, in table order: for each name, the strongest."""
    included = _up_to(subset)
    strongest = {permission.name: permission for permission in PERMISSIONS if permission.subset in included}
    return tuple(permission for permission in PERMISSIONS if strongest.get(permission.name) is permission)


def _up_to(subset: Subset) -> tuple[Subset, ...]:
    return SUBSETS[: SUBSETS.index(subset) + 1]


def _push_job(event: Event) -> JobRequest | None:
    if not event.facts.get("default_branch"):
        return None
    if event.facts.get("deleted"):
        return JobRequest("sync_repository", event.installation_id, event.repository_id)
    return JobRequest("post", event.installation_id, event.repository_id, after_quiet=True)


def _rerequest_job(event: Event) -> JobRequest | None:
    """Return the job that posts again. For a suite, it also takes care of the suite's other check runs."""
    arguments = {"again": True, **_pick_facts(event, "head_sha")}
    key = f"again/{event.facts.get('head_sha', '')}"  # each commit's suite waits for its own
    if event.name == "check_suite":
        return JobRequest("post", event.installation_id, event.repository_id, {**arguments, "suite": True}, key)
    name = event.facts.get("check_run_name")
    if name is None:
        return None  # not one of ours
    if name == SCREEN_CHECK:
        return JobRequest("post", event.installation_id, event.repository_id, arguments, key)
    arguments |= _pick_facts(event, "external_id")
    return JobRequest("result", event.installation_id, event.repository_id, arguments, key)


def _button_job(event: Event) -> JobRequest | None:
    facts = event.facts
    if not {"button", "sender_id", "check_run_id"} <= facts.keys():
        return None
    arguments = _pick_facts(event, "button", "sender_id", "check_run_id", "head_sha")
    key = f"{facts['button']}/{facts['check_run_id']}/{facts['sender_id']}"
    return JobRequest("command", event.installation_id, event.repository_id, arguments, key)


def _comment_job(event: Event) -> JobRequest | None:
    """Return the command job, keyed by comment: the same body can be replayed with another delivery id."""
    if not {"command", "comment_id", "sender_id", "issue_number"} <= event.facts.keys():
        return None
    arguments = _pick_facts(event, "command", "unclear", "comment_id", "sender_id", "issue_number", "on_pull_request")
    key = f"comment/{event.facts['comment_id']}"
    return JobRequest("command", event.installation_id, event.repository_id, arguments, key)


def _pick_facts(event: Event, *names: str) -> dict[str, Fact]:
    return {name: event.facts[name] for name in names if name in event.facts}
