"""Reduce a delivery's payload to the facts that may be stored.

GitHub's own examples violate its schema, so every field may be missing, null or of another type, and then counts as
absent. Only ids, action, ref, SHAs, the clicked button, the digest of a body that reports a click, and the first line
of a comment that is one of our commands are kept. No login, title, other text, commit message or e-mail address gets
through.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, StringConstraints, ValidationError
from pydantic_core import CoreSchema, core_schema

from bot.commands.parse import command_of
from bot.receiver.dispatch import BUTTONS, CHECKS
from bot.records import Event, Fact


class MalformedPayload(ValueError):
    """The body is not a JSON object."""


class _OrNone:
    """An annotation that replaces values of the wrong type by None instead of raising an error."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_default_schema(handler(source), default=None, on_error="default")


_OR_NONE: Final = _OrNone()
_SHA: Final = r"^[0-9a-f]{40}$"
_NO_SHA: Final = "0" * 40  # the head of a deleted branch
_EXTERNAL_ID: Final = re.compile(rf"(?:{'|'.join(map(re.escape, CHECKS))})/[0-9]{{1,19}}", re.ASCII)

Id = Annotated[int, Field(strict=True, ge=1, lt=2**63), _OR_NONE]
Flag = Annotated[bool, Field(strict=True), _OR_NONE]
Sha = Annotated[str, StringConstraints(strict=True, pattern=_SHA), _OR_NONE]
Text = Annotated[str, StringConstraints(strict=True), _OR_NONE]
Name = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=1024), _OR_NONE]


class _Part(BaseModel):
    """A part of a payload. Only declared fields are read."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _WithId(_Part):
    id: Id | None = None


class _Repository(_WithId):
    default_branch: Name | None = None


class _Account(_WithId):
    type: Name | None = None


class _CheckRun(_WithId):
    name: Name | None = None
    external_id: Name | None = None
    head_sha: Sha | None = None


class _CheckSuite(_WithId):
    head_sha: Sha | None = None


class _Action(_Part):
    identifier: Name | None = None


class _Comment(_WithId):
    body: Text | None = None
    user: Annotated[_Account, _OR_NONE] | None = None


class _PullRequest(_Part):
    pass


class _Issue(_Part):
    number: Id | None = None
    pull_request: Annotated[_PullRequest, _OR_NONE] | None = None


class _Change(_Part):
    pass


class _Changes(_Part):
    default_branch: Annotated[_Change, _OR_NONE] | None = None


class _Payload(_Part):
    """Every field that is read from any delivery."""

    action: Name | None = None
    installation: Annotated[_WithId, _OR_NONE] | None = None
    repository: Annotated[_Repository, _OR_NONE] | None = None
    sender: Annotated[_Account, _OR_NONE] | None = None
    ref: Name | None = None
    after: Sha | None = None
    forced: Flag | None = None
    deleted: Flag | None = None
    check_run: Annotated[_CheckRun, _OR_NONE] | None = None
    check_suite: Annotated[_CheckSuite, _OR_NONE] | None = None
    requested_action: Annotated[_Action, _OR_NONE] | None = None
    comment: Annotated[_Comment, _OR_NONE] | None = None
    issue: Annotated[_Issue, _OR_NONE] | None = None
    changes: Annotated[_Changes, _OR_NONE] | None = None


def parse_event(name: str, body: bytes | bytearray) -> Event:
    """Parse a delivery of the event `name`. Raises MalformedPayload."""
    payload = _parse(body)
    reduce = _REDUCTIONS.get(name)
    facts = {fact: value for fact, value in (reduce(payload) if reduce else {}).items() if value is not None}
    if _is_click(name, payload.action, facts):
        facts["click"] = hashlib.sha256(body).hexdigest()
    return Event(
        name=name,
        action=payload.action or "",
        installation_id=_id(payload.installation),
        repository_id=_id(payload.repository),
        facts=facts,
    )


def _parse(body: bytes | bytearray) -> _Payload:
    """Parse with pydantic, which creates no objects for unread fields. It rejects lone surrogates, which Python's json
    accepts, so fall back to that before rejecting a body."""
    try:
        return _Payload.model_validate_json(body)
    except ValidationError:
        pass
    try:
        return _Payload.model_validate(json.loads(body))
    except (ValueError, RecursionError):
        raise MalformedPayload("the body is not a JSON object") from None


def _id(part: _WithId | None) -> int:
    return (part.id if part else None) or 0


_Facts = dict[str, Fact | None]


def _push(payload: _Payload) -> _Facts:
    """Keep pushes to the default branch only; of tags and other branches, only the event itself."""
    branch = payload.repository.default_branch if payload.repository else None
    if not branch or payload.ref != f"refs/heads/{branch}":
        return {"default_branch": False}
    return {
        "default_branch": True,
        "ref": payload.ref if payload.ref.isprintable() else None,
        "after": payload.after,
        "forced": payload.forced is True,
        "deleted": payload.deleted is True or payload.after == _NO_SHA,
    }


def _repository(payload: _Payload) -> _Facts:
    changes = payload.changes
    return {"default_branch_changed": True if changes and changes.default_branch else None}


def _check_run(payload: _Payload) -> _Facts:
    run, action = payload.check_run, payload.requested_action
    if run is None:
        return {}
    button = action.identifier if action and action.identifier in BUTTONS else None
    external_id = run.external_id if run.external_id and _EXTERNAL_ID.fullmatch(run.external_id) else None
    return {
        "check_run_id": run.id,
        "check_run_name": run.name if run.name in CHECKS else None,
        "external_id": external_id,
        "head_sha": run.head_sha,
        "button": button,
        **_sender_facts(payload),
    }


def _check_suite(payload: _Payload) -> _Facts:
    suite = payload.check_suite
    return {"check_suite_id": suite.id, "head_sha": suite.head_sha} if suite else {}


def _issue_comment(payload: _Payload) -> _Facts:
    """Keep new comments of people that contain a command, and nothing of other comments."""
    comment, issue, sender = payload.comment, payload.issue, payload.sender
    if payload.action != "created" or comment is None or issue is None or sender is None or comment.body is None:
        return {}
    by_bot = "Bot" in (sender.type, comment.user.type if comment.user else None)
    command = command_of(comment.body)
    if by_bot or command is None:
        return {}
    return {
        "command": command[0],
        "unclear": None if command[1] else True,
        "comment_id": comment.id,
        "issue_number": issue.number,
        "on_pull_request": issue.pull_request is not None,
        **_sender_facts(payload),
    }


def _is_click(name: str, action: str | None, facts: Mapping[str, Fact]) -> bool:
    """Return whether somebody clicked a button of ours or "re-run".

    A click has no id. Two clicks differ in their bodies, because what the first one led to has changed the suite.
    """
    if action == "requested_action":
        return "button" in facts
    return action == "rerequested" and (name == "check_suite" or "check_run_name" in facts)


def _sender_facts(payload: _Payload) -> _Facts:
    sender = payload.sender
    if sender is None:
        return {}
    return {"sender_id": sender.id, "sender_type": sender.type if sender.type in _SENDERS else None}


_SENDERS: Final = ("User", "Bot", "Organization", "Mannequin", "EnterpriseUserAccount")
_REDUCTIONS: Final[dict[str, Callable[[_Payload], _Facts]]] = {
    "push": _push,
    "repository": _repository,
    "check_run": _check_run,
    "check_suite": _check_suite,
    "issue_comment": _issue_comment,
}
