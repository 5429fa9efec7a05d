import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.receiver.dispatch import EVENTS, TABLE
from bot.receiver.events import MalformedPayload, parse_event
from bot.records import Event
from tests.bot.receiver.payloads import (
    HEAD,
    INSTALLATION,
    PRIVATE_WORDS,
    REPOSITORY,
    SENDER,
    SOMEBODY,
    check_run,
    comment,
    encode,
    payload,
    push,
)
from tests.rows import each_row

SENT_BY = {"sender_id": SENDER, "sender_type": "User"}


def parse(name: str, value: Any) -> Event:
    return parse_event(name, encode(value))


def facts(name: str, value: Any) -> dict[str, Any]:
    return dict(parse(name, value).facts)


# What is kept


def test_a_default_branch_push_keeps_ref_head_and_flags() -> None:
    assert parse("push", push(forced=True)) == Event(
        "push",
        "",
        INSTALLATION,
        REPOSITORY,
        {"default_branch": True, "ref": "refs/heads/main", "after": HEAD, "forced": True, "deleted": False},
    )


@each_row("ref", ["refs/heads/topic", "refs/tags/main", "main", "refs/heads/", "refs/heads/MAIN", None, 3])
def test_other_pushes_keep_nothing_else(ref: Any) -> None:
    assert facts("push", push(ref=ref)) == {"default_branch": False}


def test_a_push_without_a_default_branch_is_not_to_it() -> None:
    assert facts("push", push(repository={"id": REPOSITORY}, ref="refs/heads/None")) == {"default_branch": False}


def test_a_deleted_branch_has_a_flag_or_a_zero_sha() -> None:
    assert facts("push", push(deleted=True))["deleted"] is True
    assert facts("push", push(after="0" * 40, deleted=None))["deleted"] is True


def test_unprintable_branch_names_are_not_kept() -> None:
    name = "ma\u202ein"
    pushed = facts("push", push(ref=f"refs/heads/{name}", repository={"id": REPOSITORY, "default_branch": name}))
    assert pushed["default_branch"] is True
    assert "ref" not in pushed


def test_only_default_branch_edits_are_marked() -> None:
    renamed = payload(action="edited", changes={"default_branch": {"from": "master"}})
    described = payload(action="edited", changes={"description": {"from": "A title"}})
    assert facts("repository", renamed) == {"default_branch_changed": True}
    assert facts("repository", described) == {}


def test_a_button_is_kept_with_its_sender() -> None:
    pressed = check_run("requested_action", requested_action={"identifier": "finetune"})
    assert facts("check_run", pressed) == {
        "check_run_id": 55,
        "check_run_name": "assay/screen",
        "external_id": "assay/screen/17",
        "head_sha": HEAD,
        "button": "finetune",
        "click": facts("check_run", pressed)["click"],
        **SENT_BY,
    }


def test_a_click_is_known_by_its_body() -> None:
    pressed = check_run("requested_action", requested_action={"identifier": "finetune"})
    rerun, suite = check_run("rerequested"), payload(action="rerequested", check_suite={"id": 3, "head_sha": HEAD})
    clicks = [
        facts(event, body)["click"]
        for event, body in (
            ("check_run", pressed),
            ("check_run", {**pressed, "sender": {"id": 10, "type": "User"}}),
            ("check_run", rerun),
            ("check_suite", suite),
        )
    ]
    assert len(set(clicks)) == 4
    assert [len(str(click)) for click in clicks] == [64] * 4
    assert facts("check_run", pressed)["click"] == clicks[0]
    others = [("check_run", check_run("completed")), ("check_run", check_run("rerequested", run={"name": "build"}))]
    others.append(("check_suite", {**suite, "action": "completed"}))
    assert ["click" in facts(event, body) for event, body in others] == [False] * 3


def test_check_runs_of_other_apps_keep_no_name_id_or_button() -> None:
    other = {"name": "build", "external_id": "Fix the secret thing"}
    pressed = check_run("requested_action", run=other, requested_action={"identifier": "deploy"})
    assert facts("check_run", pressed) == {"check_run_id": 55, "head_sha": HEAD, **SENT_BY}


@each_row(
    "external_id",
    ["assay/screen/", "assay/screen/x", "assay/screen/1/2", "assay/screen/1\n", "assay/screen/" + "1" * 20],
)
def test_foreign_external_ids_are_not_kept(external_id: str) -> None:
    assert "external_id" not in facts("check_run", check_run("rerequested", run={"external_id": external_id}))


def test_a_command_is_kept_with_its_sender_and_issue() -> None:
    assert facts("issue_comment", comment("/screen\nHello body")) == {
        "command": "/screen",
        "comment_id": 333,
        "issue_number": 12,
        "on_pull_request": False,
        **SENT_BY,
    }


def test_a_command_on_a_pull_request_is_marked() -> None:
    issue = {"number": 12, "pull_request": {"url": "https://api.github.com/x"}}
    assert facts("issue_comment", comment("/screen", issue=issue))["on_pull_request"] is True


def test_an_unclear_command_is_marked() -> None:
    kept = facts("issue_comment", comment("/finetune for octocat"))
    assert (kept["command"], kept["unclear"]) == ("/finetune", True)


@each_row(
    "said",
    [
        comment("Hello body"),
        comment("/screen", action="edited"),
        comment("/screen", action="deleted"),
        comment("/screen", sender={**SOMEBODY, "type": "Bot"}),
        comment("/screen", comment={"id": 3, "body": "/screen", "user": {"id": 4, "type": "Bot"}}),
        comment(None),
        comment(["/screen"]),
        comment("/screen", issue=None),
        comment("/screen", sender=None),
        comment("/screen", comment=None),
    ],
)
def test_other_comments_keep_nothing(said: dict[str, Any]) -> None:
    assert facts("issue_comment", said) == {}


# What is never kept

EVERYTHING = {
    "changes": {"default_branch": {"from": "acme"}, "title": {"from": "A title"}},
    "comment": {"id": 333, "body": "/screen\nHello body", "user": SOMEBODY},
    "issue": {"number": 3, "title": "A title", "body": "Hello body", "user": SOMEBODY},
    "pull_request": {"title": "A title", "body": "Hello body"},
    "requested_action": {"identifier": "octocat"},
    "check_suite": {"id": 3, "head_sha": HEAD, "head_branch": "acme", "head_commit": {"message": "Hello body"}},
    "repositories": [{"id": 3, "full_name": "acme/shop"}],
}


@each_row("row", TABLE)
def test_no_private_text_gets_through(row: Any) -> None:
    said = {**check_run(row.action), **push(), **EVERYTHING, "action": row.action}
    written = repr(parse(row.event, said))
    assert not [word for word in PRIVATE_WORDS if word in written]


# What is missing, null or of another type

ODD: tuple[Any, ...] = (None, True, 0, -1, 1.5, 2**63, "", "x", "\x00", "\u202e", [], [1], {}, {"id": "7"})


@each_row("odd", ODD)
@each_row("name", sorted(EVENTS))
def test_any_field_may_have_any_type(name: str, odd: Any) -> None:
    full = {**check_run("created"), **push(), **EVERYTHING, **comment("/screen")}
    for field in full:
        event = parse(name, {**full, field: odd})
        assert_writable(event)
        if isinstance(full[field], dict):
            for inner in full[field]:
                assert_writable(parse(name, {**full, field: {**full[field], inner: odd}}))
    assert_writable(parse(name, dict.fromkeys(full, odd)))


def assert_writable(event: Event) -> None:
    assert 0 <= event.installation_id < 2**63
    assert 0 <= event.repository_id < 2**63
    for fact, value in event.facts.items():
        assert value is not None
        if isinstance(value, str):
            assert value.isprintable()
            assert len(value) <= 1_024
        if fact.endswith("_id") and fact != "external_id":
            assert type(value) is int
            assert 1 <= value < 2**63
        if fact in ("after", "head_sha"):
            assert isinstance(value, str)
            assert len(value) == 40
            assert set(value) <= set("0123456789abcdef")


@each_row("number", ["0", "-1", "1.0", "1e3", '"7"', "true", "null", str(2**63), "9" * 400])
def test_ids_are_positive_integers_or_none(number: str) -> None:
    body = f'{{"installation": {{"id": {number}}}, "repository": {{"id": 3}}}}'.encode()
    event = parse_event("push", body)
    assert (event.installation_id, event.repository_id) == (0, 3)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["action", "ref", "after", "id", "default_branch", *EVERYTHING, "check_run", "sender", "type"])
OBJECTS = st.recursive(JSON, lambda inner: st.dictionaries(FIELDS, inner, max_size=5), max_leaves=12)


@settings(deadline=None)
@given(st.sampled_from(sorted(EVENTS)), st.dictionaries(FIELDS, OBJECTS, max_size=8))
def test_any_object_is_accepted(name: str, value: dict[str, Any]) -> None:
    assert_writable(parse(name, value))


# What is no payload


@each_row(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"3",
        b'"text"',
        b"{",
        b"{} {}",
        b"payload=%7B%7D",
        b"\xff\xfe{}",
        b'{"a": "\xff"}',
        b"[" * 100_000,
    ],
)
def test_anything_but_one_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedPayload):
        parse_event("push", body)


def test_lone_surrogates_are_accepted() -> None:
    body = json.dumps(push(commits=[{"message": "\ud83d"}])).encode()
    assert parse_event("push", body).facts["after"] == HEAD


def test_deeply_nested_payloads_are_handled() -> None:
    body = b'{"ref": "refs/heads/main", "repository": {"id": 3, "default_branch": "main"}, "x": ' + b'{"a":' * 400
    assert parse_event("push", body + b"1" + b"}" * 401).facts["default_branch"] is True
