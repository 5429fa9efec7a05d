"""Operations on comments on issues and pull requests, and on reactions."""

from __future__ import annotations

from datetime import datetime

from tests.simulator import responses
from tests.simulator.messages import Call, InvalidRequest, Refused, Response
from tests.simulator.routes_app import paging
from tests.simulator.state import Comment

MAX_BODY_CHARS = 65_536  # characters


def get_comment(call: Call) -> Response:
    return Response(200, responses.comment(_comment(call)))


def list_comments(call: Call) -> Response:
    number = _issue(call)
    found = [each for each in call.repository.comments if each.issue_number == number]
    if "since" in call.query:
        since = datetime.fromisoformat(call.query["since"])
        found = [each for each in found if each.updated_at >= since]
    path = f"/repos/{call.repository.full_name}/issues/{number}/comments"
    return Response(200, [responses.comment(each) for each in call.page(found)], paging(call, path, len(found)))


def create_comment(call: Call) -> Response:
    number = _issue(call)
    _must_be_writable(call, number)
    assert call.actor.installation is not None
    app = call.actor.installation.app
    comment = call.repository.add_comment(app.bot, _body(call), number, app)
    call.repository.deliver_comment_event("created", comment, app.bot, {})
    return Response(201, responses.comment(comment))


def update_comment(call: Call) -> Response:
    comment = _comment(call)
    _must_be_writable(call, comment.issue_number)
    before, comment.body, comment.updated_at = comment.body, _body(call), call.github.clock.now()
    assert call.actor.installation is not None
    bot = call.actor.installation.app.bot
    call.repository.deliver_comment_event("edited", comment, bot, {"changes": {"body": {"from": before}}})
    return Response(200, responses.comment(comment))


def list_reactions(call: Call) -> Response:
    found = _comment(call).reactions
    if "content" in call.query:
        found = [each for each in found if each["content"] == call.query["content"]]
    return Response(200, [responses.reaction(each) for each in call.page(found)])


def create_reaction(call: Call) -> Response:
    """201, or 200 where the same one is there already."""
    comment, content = _comment(call), call.body["content"]
    _must_be_writable(call, comment.issue_number)
    assert call.actor.installation is not None
    bot = call.actor.installation.app.bot
    for there in comment.reactions:
        if there["user"] is bot and there["content"] == content:
            return Response(200, responses.reaction(there))
    number = call.github.ids.next("reaction")
    made = {"id": number, "user": bot, "content": content, "at": call.github.clock.now()}
    comment.reactions.append(made)
    return Response(201, responses.reaction(made))


def _comment(call: Call) -> Comment:
    comment = call.github.comments.get(int(call.values["comment_id"]))
    if comment is None or comment.repository is not call.repository:
        raise Refused(404, "Not Found")
    return comment


def _issue(call: Call) -> int:
    number = int(call.values["issue_number"])
    if not 1 <= number <= call.repository.issues:
        raise Refused(404, "Not Found")
    return number


def _body(call: Call) -> str:
    body: str = call.body["body"]
    if not body.strip():
        raise InvalidRequest(422, "Validation Failed: the body cannot be blank", errors=[])
    if len(body) > MAX_BODY_CHARS:
        raise InvalidRequest(
            422, f"Validation Failed: body is too long (maximum is {MAX_BODY_CHARS} characters)", errors=[]
        )
    return body


def _must_be_writable(call: Call, number: int) -> None:
    """Check for archived and locked targets, and pull_requests: write if `github.strict_pull_requests` is on."""
    if call.repository.archived:
        raise Refused(403, "Repository was archived so is read-only.")
    if number in call.repository.locked:
        raise Refused(403, "Unable to create comment because issue is locked.")
    token = call.actor.token
    assert token is not None
    is_pull = number in call.repository.pull_requests
    if call.github.strict_pull_requests and is_pull and not token.allows("pull_requests", "write"):
        raise Refused(403, "Resource not accessible by integration")
