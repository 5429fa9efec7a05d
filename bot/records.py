"""Every frozen value that flows between the rooms of the App. Imports nothing of ours but the pipeline's records.

Delivery -> Event -> Job -> Screening -> CheckRunFields. Ids are GitHub's numeric ids; 0 stands for "none of one"
(a job of the whole server has installation 0, one of a whole installation has repository 0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Fact = str | int | bool
JobKind = Literal[
    "sync_installation",  # list what the installation gives us; start what is new, remove what is gone
    "remove_installation",  # ask GitHub whether it is gone; then delete all that we hold of it
    "sync_repository",  # ask GitHub how a repository is now: name, branch, visibility; remove it where it is gone
    "screen",  # clone, mine, measure, judge
    "post",  # write the newest verdict as a check run on the newest head
    "command",  # a comment or a button: check the role, then start what was asked for
    "prepare",  # gather the pairs of a fine-tuning run, estimate it, reserve its minutes, queue it
    "reply",  # bring the one comment that answers a command up to date
    "result",  # what a run came to: into the calibration set, and as a check run
    "recalibrate",  # the threshold of an installation as its outcomes are now; judge again what it turns
    "reconcile",  # ask GitHub for deliveries that never reached us
    "purge",  # delete what is too old to be kept
]
JobState = Literal["open", "running", "done", "failed", "cancelled"]
RunPurpose = Literal[
    "judge",  # train, and tell on the holdout what that is worth
    "refit",  # after a win: train once more on the latest window and score the head
    "score",  # after that, on a newer head: score it with the adapter there is
]
RunState = Literal["waiting", "queued", "running", "ended"]  # waiting: its pairs are being gathered
RunEnding = Literal["", "finished", "crashed", "cancelled", "timed_out", "out_of_budget", "refused"]
DeliveryState = Literal["received", "handled", "ignored"]
InstallationState = Literal["active", "suspended", "refused"]
Subset = Literal["screen", "evidence", "full"]


@dataclass(frozen=True)
class AppCredentials:
    """What the App knows itself by. Shows nothing of it when printed."""

    app_id: int
    private_key: str  # PEM
    webhook_secrets: tuple[str, ...]  # the one in force first, then the one before while it is being rotated
    client_id: str = ""
    client_secret: str = ""
    slug: str = ""

    def __repr__(self) -> str:
        return f"AppCredentials(app_id={self.app_id})"


@dataclass(frozen=True)
class Event:
    """A delivery reduced to what may be written down: ids, action, ref, SHAs, and a command where there is one."""

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
class Repository:
    """A repository of an installation as GitHub last described it."""

    installation_id: int
    repository_id: int
    full_name: str  # owner/name, as it is now
    default_branch: str
    private: bool
    archived: bool  # or disabled: answered quietly


@dataclass(frozen=True)
class RepositoryMemory:
    """What we remember of a repository beside GitHub's description of it."""

    repository: Repository
    pushed_head: str = ""  # newest head of the default branch that a push named
    push_burst_since: datetime | None = None  # first push that no screening or posting has answered yet
    pushed_at: datetime | None = None  # newest push
    history_changed: bool = False  # a force-push or another default branch: measure again, however recent the verdict
    suites_off: bool = False  # GitHub was told not to make empty check suites for us
    measured_at: datetime | None = None  # newest screening
    posted_at: datetime | None = None  # newest check run
    last_error: str = ""


@dataclass(frozen=True)
class Job:
    """One row of work, and the lease of whoever does it."""

    job_id: int
    kind: JobKind
    installation_id: int
    repository_id: int
    arguments: Mapping[str, Fact]
    state: JobState
    attempts: int  # begun so far, this one included
    made_at: datetime
    not_before: datetime
    lease_token: str = ""
    reason: str = ""


@dataclass(frozen=True)
class StoredScreening:
    """A screening as it is remembered: what was measured, and what was said about it then."""

    screening_id: int
    installation_id: int
    repository_id: int
    head_sha: str
    measured_at: datetime
    measurement: Mapping[str, Any]  # pipeline.screening.measurement; empty where it failed
    judgement: Mapping[str, Any]  # verdict, words, reasons, threshold, band, standing; empty where it failed
    failure: str  # why it could not be measured, in words; empty where it was
    label_recipe_id: str
    config_hash: str
    ranking: Mapping[str, Any] | None = None  # pipeline.ranking.shortlist; of the newest screening only


@dataclass(frozen=True)
class Run:
    """A fine-tuning run from the command to its end, and the lease of the GPU worker that does it."""

    run_id: int
    installation_id: int
    repository_id: int
    purpose: RunPurpose
    state: RunState
    ending: RunEnding
    reason: str  # of its end, in words for a person
    head_sha: str  # pinned when it was asked for
    screening_id: int  # the prediction that was made before; 0: none
    judged_run_id: int  # of a refit or a score: the run that won; else 0
    forced: bool  # asked for although the verdict was SKIP
    audit: bool  # of a SKIP, drawn at random
    asked_by: int  # GitHub's id of whoever asked; 0: nobody did
    comment_id: int  # the command that asked for it; 0: a button, or nobody
    base_model: str  # as the operator's list names it
    recipe: Mapping[str, Any]  # what differs from the recipe that ships: fields of FinetuneRecipe
    recipe_id: str  # known once it is done
    label_recipe_id: str
    config_hash: str
    pair_set_id: str  # SHA-256 of what it reads; empty until that is gathered
    estimated_minutes: float  # reserved from the budget
    spent_minutes: float  # on a GPU, so far
    budget_month: str  # "2026-11": whose budget pays; empty until it is reserved
    attempts: int  # begun so far by GPU workers
    worker: str  # that has it or had it last
    lease_token: str
    cancel_asked: bool
    progress: Mapping[str, Any]  # bot.run_progress
    progress_at: datetime | None
    checkpoints: tuple[str, ...]  # hashes of those that were saved: no other is taken
    result: Mapping[str, Any] | None  # reports.finetune_json
    artifacts: str  # folder of its files in the store; empty: none
    settled: bool  # its outcome is in the calibration set, or need not be
    made_at: datetime
    queued_at: datetime | None
    started_at: datetime | None  # first
    ended_at: datetime | None


@dataclass(frozen=True)
class Budget:
    """What an operator gives an installation. Without one, fine-tuning is off."""

    installation_id: int
    monthly_minutes: float  # of GPU time, a calendar month in UTC
    concurrency: int  # runs at once
    set_at: datetime


@dataclass(frozen=True)
class Usage:
    """GPU minutes of one month."""

    spent: float
    reserved: float  # of runs that have not ended

    @property
    def total(self) -> float:
        return self.spent + self.reserved


@dataclass(frozen=True)
class GpuState:
    """What an operator says of all GPU workers together."""

    paused_because: str = ""  # empty: not paused
    ceiling_minutes: float | None = None  # a month, of all installations; none: no ceiling


@dataclass(frozen=True)
class GpuWorker:
    """A GPU worker as it described itself."""

    name: str
    device: str
    flops_per_s: float | None  # as measured; none: unknown
    seen_at: datetime


@dataclass(frozen=True)
class Reply:
    """The one comment that answers a command."""

    reply_id: int  # ours
    installation_id: int
    repository_id: int
    comment_id: int  # the command's
    issue_number: int
    run_id: int  # whose progress it tells; 0: `text` is all there is to say
    text: str
    posted_id: int  # GitHub's id of our comment; 0 until it is written
    posted_digest: str  # SHA-256 of what it says now
    posted_at: datetime | None
    made_at: datetime


@dataclass(frozen=True)
class StoredCheckRun:
    """A check run of ours: made before GitHub is told, so that it is found again and never written twice."""

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
