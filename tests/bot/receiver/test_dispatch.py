from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bot.receiver.dispatch import (
    MAX_WAIT_S,
    PERMISSIONS,
    QUIET_S,
    SUBSETS,
    TABLE,
    JobRequest,
    Row,
    due_after_push,
    events_of,
    find_row,
    job_for,
    permissions_of,
)
from bot.records import Event
from tests.rows import each_row

HEAD = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

# What the App has to hear of, written down once more, by hand.
HEARD = {
    "installation": {"created", "deleted", "suspend", "unsuspend", "new_permissions_accepted"},
    "installation_repositories": {"added", "removed"},
    "installation_target": {"renamed"},
    "push": {""},
    "repository": {
        "renamed",
        "transferred",
        "archived",
        "unarchived",
        "deleted",
        "privatized",
        "publicized",
        "edited",
    },
    "check_run": {"rerequested", "requested_action"},
    "check_suite": {"rerequested"},
    "issue_comment": {"created"},
    "github_app_authorization": {"revoked"},
    "ping": {""},
}
UNASKED = {"installation", "installation_repositories", "installation_target", "github_app_authorization", "ping"}


def event(name: str, action: str = "", **facts: Any) -> Event:
    return Event(name, action, 10, 100, facts)


PUSHED: dict[str, Any] = {"default_branch": True, "after": HEAD, "forced": False, "deleted": False}
PRESSED: dict[str, Any] = {
    "check_run_name": "assay/screen",
    "check_run_id": 55,
    "head_sha": HEAD,
    "button": "rescreen",
    "sender_id": 9,
}
SAID: dict[str, Any] = {
    "command": "/screen",
    "comment_id": 333,
    "issue_number": 12,
    "on_pull_request": False,
    "sender_id": 9,
}


def test_the_table_has_each_event_and_action_once() -> None:
    found: dict[str, set[str]] = {}
    for row in TABLE:
        found.setdefault(row.event, set()).add(row.action)
    assert found == HEARD
    assert len({(row.event, row.action) for row in TABLE}) == len(TABLE)


@each_row("row", TABLE)
def test_a_row_has_an_effect_and_a_permission(row: Row) -> None:
    assert row.effect.endswith(".")
    assert row.effect.count(".") == 1
    assert row.subscribed == (row.event not in UNASKED)
    assert bool(row.permission) == row.subscribed
    if row.subscribed:
        assert row.permission in {permission.name for permission in permissions_of(row.subset)}
    assert find_row(row.event, row.action) is row


@each_row(
    ("heard", "job"),
    [
        (event("installation", "created"), JobRequest("sync_installation", 10, 0)),
        (event("installation", "deleted"), JobRequest("remove_installation", 10, 0)),
        (event("installation", "suspend"), JobRequest("sync_installation", 10, 0)),
        (event("installation_repositories", "removed"), JobRequest("sync_installation", 10, 0)),
        (event("installation_target", "renamed"), JobRequest("sync_installation", 10, 0)),
        (event("repository", "deleted"), JobRequest("sync_repository", 10, 100)),
        (event("repository", "transferred"), JobRequest("sync_repository", 10, 100)),
        (event("repository", "edited", default_branch_changed=True), JobRequest("sync_repository", 10, 100)),
        (event("push", **PUSHED), JobRequest("post", 10, 100, after_quiet=True)),
        (event("push", **{**PUSHED, "deleted": True}), JobRequest("sync_repository", 10, 100)),
        (
            event("check_run", "rerequested", check_run_name="assay/screen", head_sha=HEAD),
            JobRequest("post", 10, 100, {"again": True, "head_sha": HEAD}, key=f"again/{HEAD}"),
        ),
        (
            event(
                "check_run",
                "rerequested",
                check_run_name="assay/finetune",
                external_id="assay/finetune/4",
                head_sha=HEAD,
            ),
            JobRequest(
                "result",
                10,
                100,
                {"again": True, "head_sha": HEAD, "external_id": "assay/finetune/4"},
                key=f"again/{HEAD}",
            ),
        ),
        (
            event("check_suite", "rerequested", check_suite_id=3, head_sha=HEAD),
            JobRequest("post", 10, 100, {"again": True, "head_sha": HEAD, "suite": True}, key=f"again/{HEAD}"),
        ),
        (
            event("check_run", "requested_action", **PRESSED),
            JobRequest(
                "command",
                10,
                100,
                {"button": "rescreen", "sender_id": 9, "check_run_id": 55, "head_sha": HEAD},
                key="rescreen/55/9",
            ),
        ),
        (event("issue_comment", "created", **SAID), JobRequest("command", 10, 100, SAID, key="comment/333")),
        (
            event("issue_comment", "created", **SAID, unclear=True),
            JobRequest("command", 10, 100, {**SAID, "unclear": True}, key="comment/333"),
        ),
    ],
)
def test_events_map_to_jobs(heard: Event, job: JobRequest) -> None:
    assert job_for(heard) == job


@each_row(
    "heard",
    [
        event("ping"),
        event("github_app_authorization", "revoked"),
        event("star", "created"),
        event("installation", "transferred"),
        event("repository", "created"),
        event("repository", "edited"),
        event("push", default_branch=False),
        event("push"),
        event("push", "created", **PUSHED),
        event("check_run", "created", **PRESSED),
        event("check_run", "rerequested", check_run_id=55, head_sha=HEAD),
        event("check_run", "requested_action", **{k: v for k, v in PRESSED.items() if k != "button"}),
        event("check_run", "requested_action", **{k: v for k, v in PRESSED.items() if k != "sender_id"}),
        event("check_suite", "requested", head_sha=HEAD),
        event("issue_comment", "created"),
        event("issue_comment", "edited", **SAID),
        event("issue_comment", "created", **{k: v for k, v in SAID.items() if k != "comment_id"}),
    ],
)
def test_other_events_have_no_job(heard: Event) -> None:
    assert job_for(heard) is None


@each_row("row", TABLE)
def test_events_without_installation_or_repository_have_no_job(row: Row) -> None:
    facts = {**PUSHED, **PRESSED, **SAID, "default_branch_changed": True}
    assert job_for(Event(row.event, row.action, 0, 100, facts)) is None
    job = job_for(Event(row.event, row.action, 10, 0, facts))
    assert job is None or job.kind in ("sync_installation", "remove_installation")


def test_keys_fit_their_column_for_any_ids() -> None:
    last = 2**63 - 1
    jobs = [
        job_for(event("check_run", "requested_action", **{**PRESSED, "check_run_id": last, "sender_id": last})),
        job_for(event("issue_comment", "created", **{**SAID, "comment_id": last})),
    ]
    assert all(job is not None and len(job.key) <= 60 for job in jobs)


# Pushes


def test_a_single_push_is_handled_after_a_minute() -> None:
    assert due_after_push(None, NOON) == due_after_push(NOON, NOON) == NOON + timedelta(seconds=60)


def test_an_unending_burst_is_handled_after_ten_minutes() -> None:
    first = NOON - timedelta(seconds=570)
    assert due_after_push(first, NOON) == first + timedelta(seconds=600) == NOON + timedelta(seconds=30)


def test_an_overdue_burst_is_handled_immediately() -> None:
    assert due_after_push(NOON - timedelta(days=1), NOON) == NOON


@given(st.integers(0, 10**6))
def test_a_push_is_due_within_both_waits(since_s: int) -> None:
    due = due_after_push(NOON - timedelta(seconds=since_s), NOON)
    assert NOON <= due <= NOON + timedelta(seconds=QUIET_S)
    assert due <= max(NOON, NOON + timedelta(seconds=MAX_WAIT_S - since_s))


# Permissions


def test_each_subset_extends_the_smaller_one() -> None:
    asked = {subset: {p.name: p.access for p in permissions_of(subset)} for subset in SUBSETS}
    assert asked["screen"] == {"metadata": "read", "contents": "read", "checks": "write"}
    assert asked["evidence"] == {**asked["screen"], "issues": "read", "pull_requests": "read"}
    assert asked["full"] == {**asked["evidence"], "issues": "write"}


def test_each_subset_subscribes_only_to_its_events() -> None:
    screen = ("check_run", "check_suite", "push", "repository")
    assert events_of("screen") == events_of("evidence") == screen
    assert events_of("full") == ("check_run", "check_suite", "issue_comment", "push", "repository")


def test_every_permission_has_a_purpose() -> None:
    assert len({permission.purpose for permission in PERMISSIONS}) == len(PERMISSIONS)
    assert all(permission.purpose.endswith(".") for permission in PERMISSIONS)
