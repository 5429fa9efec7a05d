"""Reasons why runs, screenings and jobs ended, as stored with them and shown after "Reason:".

Each is a clause without a full stop.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Final

from pipeline.reports import numbers

_SIGKILL: Final = 9

UNKNOWN: Final = "the reason is not known"
NO_REASON_GIVEN: Final = "none was given"  # by the operator who paused the GPUs

# The request for a run is no longer valid.
CANCELLED_BY_COMMAND: Final = "it was cancelled by a command"
COMMENT_DELETED: Final = "the comment that requested the run was deleted"
COMMENT_EDITED: Final = "the comment that requested the run was edited and now says something else"
COMMENTS_UNREADABLE: Final = "the comment that requested the run cannot be read: the App lacks the permission"
ACCOUNT_DELETED: Final = "the account that requested the run no longer exists"
ROLE_LOST: Final = "the person who requested the run no longer has the required role"
SUSPENDED: Final = "the installation is suspended on GitHub: request the run again once it is active"
NOT_SERVED: Final = "this server does not serve the installation"
REPOSITORY_UNKNOWN: Final = "the repository is no longer known to this server"

# The run may not start.
ARCHIVED: Final = "the repository is archived"
SWITCHED_OFF: Final = "fine-tuning is disabled for this repository"
NO_BUDGET: Final = "this account has no GPU budget: the operator of this server has to grant one"
MODEL_NOT_ALLOWED: Final = "its base model is no longer allowed here"
WINNER_UNKNOWN: Final = "the run whose adapter it continues is no longer known"
WINNER_GONE: Final = "the run that won is gone: the baseline ranks until another run wins"
NOT_RETRAINED: Final = "no adapter has been retrained: the baseline ranks until one is"
NOT_PREPARED: Final = "its functions could not be collected"
EVIDENCE_UNREADABLE: Final = (
    "the verdict used issues and pull requests, and the App can no longer read all of them: check its permissions"
)
NO_GPU_WORKER: Final = "no GPU worker took it within 14 days: ask the operator of this server whether one is running"

# GPU workers.
CANCELLED_AT_WORK: Final = "it was cancelled while it was running"
CANCELLED_WITH_WORKER: Final = "it was cancelled, and its GPU worker had disappeared"
WORKER_STOPPED: Final = "its GPU worker was stopped: it resumes from its last checkpoint"
WORKER_VANISHED: Final = "its GPU worker disappeared: it resumes from its last checkpoint"
ARTIFACT_STORE_FAILED: Final = "the store of adapters and checkpoints could not be read or written"
NO_RESULT: Final = "it ended without a result"
NOT_STARTED: Final = "the GPU worker could not start it"
RANKING_UNREADABLE: Final = "the ranking that it stored cannot be read"

OUT_OF_MEMORY: Final = "out of memory: lower micro_batch_tokens, or choose a smaller base model"
PAIRS_GONE: Final = "the pairs that were collected for it are no longer stored: request it again"
PAIRS_CHANGED: Final = "the stored pairs are not those that were collected for it: request it again"

# Jobs, after each failed attempt.
RATE_LIMITED: Final = "GitHub's rate limit"
INSTALLATION_SUSPENDED: Final = "the installation is suspended"
NOT_ON_GITHUB: Final = "GitHub reports that it does not exist"
TOKEN_REFUSED: Final = "GitHub refused the token"
FRESH_TOKEN: Final = f"{TOKEN_REFUSED}: retrying with a fresh one"
GITHUB_UNREACHABLE: Final = "GitHub cannot be reached"
NOT_GRANTED: Final = "not granted"
ACCESS_DENIED: Final = "GitHub denied access: check the App's permissions"
REDIRECTED: Final = "GitHub redirected to another host: check ASSAY_GITHUB_URL"
REQUEST_REJECTED: Final = "GitHub rejected the request"
GONE_FROM_GITHUB: Final = "GitHub reports that it was deleted or is turned off"
IP_ALLOW_LIST: Final = "the account’s IP allow list does not admit this server: an owner has to add its address"
BLOCKED: Final = "GitHub has blocked access to the repository"
ACCOUNT_SUSPENDED: Final = "GitHub has suspended the account"
SINGLE_SIGN_ON: Final = "the organization’s single sign-on does not admit the App"
DISABLED: Final = "the repository is disabled"
JOB_TIMED_OUT: Final = "it timed out"

# Screenings.
CODE_UNREADABLE: Final = "GitHub does not let the App read the code: it needs the permission to read contents"


def refused(sentence: str) -> str:
    """Return why GitHub refused a request. `sentence`: GitHub's own, empty or a bare status if it gave none."""
    if sentence.startswith(NOT_GRANTED):  # our own words, for a token that GitHub did not create
        return f"{ACCESS_DENIED} ({sentence})"
    return quoting(_refusal(sentence), sentence)


def quoting(reason: str, sentence: str) -> str:
    """Return the reason with GitHub's own sentence, if it gave one."""
    sentence = sentence.strip().rstrip(".")
    return reason if not sentence or _STATUS.fullmatch(sentence) else f"{reason} (GitHub says: {sentence})"


def _refusal(sentence: str) -> str:
    text = sentence.lower()
    return next((reason for signs, reason in _REFUSALS if any(sign in text for sign in signs)), ACCESS_DENIED)


_STATUS: Final = re.compile(r"(HTTP )?\d{3}")
_REFUSALS: Final = (  # by what GitHub's sentence contains; the first that fits
    (("ip allow list",), IP_ALLOW_LIST),
    (("archived", "read-only"), ARCHIVED),
    (("suspended", "flagged"), ACCOUNT_SUSPENDED),
    (("blocked", "dmca", "legal reasons", "unavailable due to"), BLOCKED),
    (("saml", "single sign-on"), SINGLE_SIGN_ON),
    (("disabled",), DISABLED),
)


def history_unreadable(reason: str) -> str:
    """Return that a repository could not be mined for a run. `reason`: of the failed screening task."""
    return f"its history could not be read: {reason}"


def not_prepared(reason: str) -> str:
    """Return that a run was never prepared. `reason`: of its last job; may be empty."""
    return f"{NOT_PREPARED}: {reason}" if reason else NOT_PREPARED


def too_few_functions(found: int, needed: int) -> str:
    """Return that a run has too few functions to train on."""
    return f"there is too little to train on: {numbers.counted(found, 'function')}, and at least {needed} are needed"


def too_few_fixes(found: int, functions: int, needed: int) -> str:
    """Return that too few of the functions to train on had a fix."""
    return (
        f"there is too little to train on: {found:,} of {numbers.counted(functions, 'function')} had a fix, and at "
        f"least {needed} are needed"
    )


def too_much_to_read(max_bytes: int) -> str:
    """Return that the training pairs of a repository are too large."""
    return f"there are more than {max_bytes >> 30} GB of training pairs"


def worker_vanished(attempts: int) -> str:
    """Return that the GPU workers of a run keep disappearing."""
    return gave_up("its GPU worker disappeared", attempts)


def own_bug(place: str) -> str:
    """Return that Assay failed. `place`: the kind of error."""
    return f"it stopped on an error in Assay itself ({place})"


def job_bug(kind: str) -> str:
    """Return that a job failed on an error in Assay. `kind`: of the error."""
    return f"a bug in Assay ({kind}): see the log"


def died(exit_code: int) -> str:
    """Return how a training process ended without a result. A negative `exit_code` is a signal."""
    if exit_code == -_SIGKILL:
        return "the training process was killed: the machine may be short of memory"
    if exit_code < 0:
        return f"the training process crashed (signal {-exit_code})"
    return f"the training process ended without a result (exit status {exit_code})"


def resumes(reason: str) -> str:
    """Return the reason of an attempt that is followed by another one."""
    return f"{reason}: it resumes from its last checkpoint"


def gave_up(reason: str, attempts: int) -> str:
    """Return the reason of the last attempt."""
    return f"{reason}; attempt {attempts} was the last"


def timed_out(total_minutes: float, training_minutes: float) -> str:
    """Return that a run reached its limit."""
    return (
        f"it was stopped after {total_minutes:,.0f} minutes: training may take {training_minutes:,g} minutes, and "
        "loading and evaluation used up the rest"
    )


def over_account_budget(minutes: float, monthly: float) -> str:
    """Return that a run can take more than a whole month's budget."""
    return f"{_needs(minutes)}, and the budget is {_minutes(monthly)} a month: the operator of this server can raise it"


def over_account_rest(minutes: float, left: float, monthly: float, now: datetime) -> str:
    """Return that a run can take more than is left of this month's budget."""
    return (
        f"{_needs(minutes)}, and {_left(left)} of this month’s {_minutes(monthly)} are left; the budget renews on "
        f"{_renewal(now)} (UTC)"
    )


def over_server_ceiling(minutes: float, ceiling: float) -> str:
    """Return that a run can take more than this server allows all accounts in a month."""
    return (
        f"{_needs(minutes)}, and this server allows {_minutes(ceiling)} a month for all accounts together: its "
        "operator can raise that"
    )


def over_server_rest(minutes: float, left: float, now: datetime) -> str:
    """Return that a run can take more than this server has left this month."""
    return (
        f"{_needs(minutes)}, and this server has {_left(left)} left this month for all accounts together; that renews "
        f"on {_renewal(now)} (UTC)"
    )


def _needs(minutes: float) -> str:
    return f"it may take up to {_minutes(minutes)} GPU minutes"


def _renewal(now: datetime) -> str:
    """Return the first day of the next month in UTC."""
    first = now.astimezone(UTC).replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    return f"1 {following:%B %Y}"


def _left(minutes: float) -> str:
    """Round down; a budget that was reduced may have less than nothing left."""
    return _minutes(max(0.0, math.floor(round(minutes * 10, 6)) / 10))


def _minutes(minutes: float) -> str:
    return f"{minutes:,.1f}".removesuffix(".0")
