"""Comments on issues and pull requests, and the reactions to them."""

from __future__ import annotations

from datetime import datetime

from tests.simulator import answers
from tests.simulator.messages import Answer, Call, Misused, Refused
from tests.simulator.routes_app import paging
from tests.simulator.state import Comment

LONGEST_BODY = 65_536  # characters


def show_comment(call: Call) -> Answer:
    return Answer(200, answers.comment(_comment(call)))


def list_comments(call: Call) -> Answer:
    number = _issue(call)
    found = [each for each in call.repository.comments if each.issue_number == number]
    if "since" in call.query:
        since = datetime.fromisoformat(call.query["since"])
        found = [each for each in found if each.updated_at >= since]
    path = f"/repos/{call.repository.full_name}/issues/{number}/comments"
    return Answer(200, [answers.comment(each) for each in call.page(found)], paging(call, path, len(found)))


def make_comment(call: Call) -> Answer:
    number = _issue(call)
    _must_be_writable(call, number)
    assert call.actor.installation is not None
    app = call.actor.installation.app
    comment = call.repository.add_comment(app.bot, _body(call), number, app)
    call.repository.tell_comment("created", comment, app.bot, {})
    return Answer(201, answers.comment(comment))


def change_comment(call: Call) -> Answer:
    comment = _comment(call)
    _must_be_writable(call, comment.issue_number)
    before, comment.body, comment.updated_at = comment.body, _body(call), call.github.clock.now()
    assert call.actor.installation is not None
    bot = call.actor.installation.app.bot
    call.repository.tell_comment("edited", comment, bot, {"changes": {"body": {"from": before}}})
    return Answer(200, answers.comment(comment))


def list_reactions(call: Call) -> Answer:
    found = _comment(call).reactions
    if "content" in call.query:
        found = [each for each in found if each["content"] == call.query["content"]]
    return Answer(200, [answers.reaction(each) for each in call.page(found)])


def make_reaction(call: Call) -> Answer:
    """201, or 200 where the same one is there already."""
    comment, content = _comment(call), call.body["content"]
    _must_be_writable(call, comment.issue_number)
    assert call.actor.installation is not None
    bot = call.actor.installation.app.bot
    for there in comment.reactions:
        if there["user"] is bot and there["content"] == content:
            return Answer(200, answers.reaction(there))
    number = call.github.ids.next("reaction")
    made = {"id": number, "user": bot, "content": content, "at": call.github.clock.now()}
    comment.reactions.append(made)
    return Answer(201, answers.reaction(made))


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
        raise Misused(422, "Validation Failed: the body cannot be blank", errors=[])
    if len(body) > LONGEST_BODY:
        raise Misused(422, f"Validation Failed: body is too long (maximum is {LONGEST_BODY} characters)", errors=[])
    return body


def _must_be_writable(call: Call, number: int) -> None:
    """Where `github.strict_pull_requests` is on, writing to a pull request takes more than issues: write."""
    if call.repository.archived:
        raise Refused(403, "Repository was archived so is read-only.")
    if number in call.repository.locked:
        raise Refused(403, "Unable to create comment because issue is locked.")
    token = call.actor.token
    assert token is not None
    is_pull = number in call.repository.pull_requests
    if call.github.strict_pull_requests and is_pull and not token.allows("pull_requests", "write"):
        raise Refused(403, "Resource not accessible by integration")
