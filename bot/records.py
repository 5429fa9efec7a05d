"""Frozen values that several rooms of the App share. Imports nothing of ours.

Delivery -> Event -> Job -> Screening -> CheckRunFields. Ids are GitHub's numeric ids. A job of the whole server has
installation 0, one of a whole installation has repository 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Fact = str | int | bool
JobKind = Literal[
    "sync_installation",  # list the installation's repositories; screen new ones, remove those that are gone
    "remove_installation",  # check with GitHub that it is gone, then delete all of its data
    "sync_repository",  # update name, branch and visibility from GitHub, or remove the repository
    "screen",  # clone, mine, measure, judge
    "post",  # post the newest verdict as a check run on the newest head
    "command",  # a comment or a button: check the role, then execute it
    "prepare",  # gather a run's pairs, estimate it, reserve its minutes, queue it
    "reply",  # update the comment that replies to a command
    "result",  # apply a run's outcome, and post it as a check run
    "recalibrate",  # update an installation's threshold and the verdicts that it flips
    "reconcile",  # request deliveries that never reached us
    "purge",  # delete what is no longer needed
]
JobState = Literal["open", "running", "done", "failed", "cancelled"]
RunPurpose = Literal[
    "judge",  # train, and measure the adapter on the holdout
    "refit",  # after a WIN: train on the latest window and score the head
    "score",  # later: score a newer head with the refitted adapter
]
RunState = Literal["waiting", "queued", "running", "ended"]  # waiting: for its pairs
RunEnding = Literal["finished", "crashed", "cancelled", "timed_out", "out_of_budget", "refused"]
DeliveryState = Literal["received", "handled", "ignored"]
InstallationState = Literal["active", "suspended", "refused"]
Owed = Literal[
    "",  # nothing
    "post",  # an answer on the newest head
    "repair",  # likewise, and a new measurement where the last one failed
    "screen",  # a new measurement
]
Subset = Literal["screen", "evidence", "full"]
Permission = Literal["write", "maintain", "admin"]  # the least role that may give commands


@dataclass(frozen=True)
class AppCredentials:
    """The App's credentials. Its repr shows no secret."""

    app_id: int
    private_key: str  # PEM
    webhook_secrets: tuple[str, ...]  # the current one first, then the previous one during a rotation
    client_id: str = ""
    client_secret: str = ""
    slug: str = ""

    def __repr__(self) -> str:
        return f"AppCredentials(app_id={self.app_id})"


@dataclass(frozen=True)
class Event:
    """A delivery reduced to what may be stored: ids, action, ref, SHAs, and a command if there is one."""

    name: str  # the X-GitHub-Event header
    action: str = ""
    installation_id: int = 0
    repository_id: int = 0
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True)
class Installation:
    installation_id: int
    account_id: int
    account_login: str
    account_type: str  # "Organization" | "User"
    state: InstallationState
    permissions: Mapping[str, str]


@dataclass(frozen=True)
class InstallationMemory:
    """What we remember about an installation beside GitHub's description."""

    listed_at: datetime | None = None  # when its repositories were last compared with GitHub's list
    owed: Owed = ""  # to each of its repositories, since something changed
    last_error: str = ""
    refused_at: datetime | None = None  # since when its account is not allowed
    gone_since: datetime | None = None  # when GitHub first reported it as gone


@dataclass(frozen=True)
class Repository:
    """A repository of an installation as GitHub last described it."""

    installation_id: int
    repository_id: int
    full_name: str  # owner/name, current
    default_branch: str
    private: bool
    archived: bool  # or disabled


@dataclass(frozen=True)
class RepositoryMemory:
    """What we remember about a repository beside GitHub's description."""

    repository: Repository
    pushed_head: str = ""  # newest pushed head of the default branch
    push_burst_since: datetime | None = None  # first push that no posting has covered yet
    pushed_at: datetime | None = None  # newest push
    history_changed: bool = False  # by a force-push or another default branch: measure again immediately
    suites_off: bool = False  # GitHub creates no empty check suites for us
    measured_at: datetime | None = None  # newest screening
    posted_at: datetime | None = None  # newest check run
    last_error: str = ""


@dataclass(frozen=True)
class Job:
    """A job, and the lease of its worker."""

    job_id: int
    kind: JobKind
    installation_id: int
    repository_id: int
    arguments: Mapping[str, Fact]
    state: JobState
    attempts: int  # started so far, including the current one
    made_at: datetime
    not_before: datetime
    lease_token: str = ""
    reason: str = ""
    failing_since: datetime | None = None  # attempts failed in a row since then, because of GitHub or the network

    @property
    def is_retry(self) -> bool:
        """Whether an earlier attempt may have left something half done."""
        return self.attempts > 1 or self.failing_since is not None


@dataclass(frozen=True)
class StoredScreening:
    """A stored screening: the measurement, and how it was judged then."""

    screening_id: int
    installation_id: int
    repository_id: int
    head_sha: str
    measured_at: datetime
    measurement: Mapping[str, Any]  # pipeline.screening.measurement; empty if it failed
    judgement: Mapping[str, Any]  # verdict, text, reasons, threshold, band, standing; empty if it failed
    failure: str  # why it could not be measured; empty if it was
    label_recipe_id: str
    config_hash: str
    ranking: Mapping[str, Any] | None = None  # pipeline.ranking.shortlist; only the newest screening has one


@dataclass(frozen=True)
class Run:
    """A fine-tuning run from the command to its end, and the lease of its GPU worker."""

    run_id: int
    installation_id: int
    repository_id: int
    purpose: RunPurpose
    state: RunState
    ending: RunEnding | None
    reason: str | None  # of its end or its last interruption, for a person
    head_sha: str  # pinned when the run was requested
    screening_id: int | None  # the prediction made before the run
    judged_run_id: int | None  # of a refit or a score: the run that won
    forced: bool  # requested despite a SKIP
    audit: bool  # tests a SKIP that was drawn at random
    asked_by: int | None  # GitHub's id of the requester; none: the App itself
    comment_id: int | None  # of the command; none: a button, or the App itself
    base_model: str  # its name in the operator's list
    recipe: Mapping[str, Any]  # overrides of the shipped FinetuneRecipe, by field
    recipe_id: str | None  # known once the run has finished
    label_recipe_id: str
    config_hash: str
    pair_set_id: str | None  # SHA-256 of its input, once that is gathered
    estimated_minutes: float  # reserved from the budget
    spent_minutes: float  # on a GPU, so far
    budget_month: str | None  # "2026-11": the month that pays, once minutes are reserved
    attempts: int  # started by GPU workers so far
    worker: str | None  # that holds the run, or held it last
    lease_token: str | None
    cancel_asked: bool
    progress: Mapping[str, Any]  # bot.run_progress
    progress_at: datetime | None
    checkpoints: tuple[str, ...]  # hashes of the saved ones; no other is resumed from
    result: Mapping[str, Any] | None  # reports.finetune_json or refit_json
    artifacts: str | None  # folder of its files in the store
    settled: bool  # its outcome has been applied
    made_at: datetime
    queued_at: datetime | None
    started_at: datetime | None  # first
    ended_at: datetime | None


@dataclass(frozen=True)
class Budget:
    """An installation's budget, set by the operator. Without one, fine-tuning is off."""

    installation_id: int
    monthly_minutes: float  # of GPU time per calendar month in UTC
    concurrency: int  # concurrent runs
    set_at: datetime


@dataclass(frozen=True)
class Usage:
    """GPU minutes of one month."""

    spent: float
    reserved: float  # by open runs

    @property
    def total(self) -> float:
        return self.spent + self.reserved


@dataclass(frozen=True)
class GpuState:
    """The operator's settings for all GPU workers together."""

    paused_because: str = ""  # empty: not paused
    ceiling_minutes: float | None = None  # per month for all installations; none: no ceiling


@dataclass(frozen=True)
class GpuWorker:
    """A GPU worker as it reported itself."""

    name: str
    device: str
    flops_per_s: float | None  # measured; none: unknown
    seen_at: datetime


@dataclass(frozen=True)
class Reply:
    """The one comment that replies to a command."""

    reply_id: int  # ours
    installation_id: int
    repository_id: int
    comment_id: int  # the command's
    issue_number: int
    run_id: int  # the run that it follows; 0: it shows `text`
    text: str
    posted_id: int  # GitHub's id of our comment; 0 until it is created
    posted_digest: str  # SHA-256 of its current text
    posted_at: datetime | None
    made_at: datetime


@dataclass(frozen=True)
class StoredCheckRun:
    """A check run of ours: the row is saved before GitHub is called, so that none is written twice."""

    row_id: int
    installation_id: int
    repository_id: int
    name: str  # "assay/screen"
    head_sha: str
    screening_id: int
    check_run_id: int  # GitHub's; 0 until it is posted
    conclusion: str
    made_at: datetime
    posted_at: datetime | None
    run_id: int = 0  # of an "assay/finetune"
    again: bool = False  # "re-run" on a commit: says nothing about what the newest head shows

    @property
    def external_id(self) -> str:
        return f"{self.name}/{self.row_id}"


@dataclass(frozen=True)
class CheckAction:
    """A button. GitHub's limits: label 20, description 40, identifier 20 characters."""

    label: str
    description: str
    identifier: str


@dataclass(frozen=True)
class CheckRunFields:
    """A completed check run, ready to be sent."""

    name: str
    head_sha: str
    external_id: str
    conclusion: Literal["success", "neutral", "cancelled"]
    title: str
    summary: str
    text: str
    actions: tuple[CheckAction, ...] = ()
