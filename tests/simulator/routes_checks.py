"""Operations on check runs and suites, with rules that the description lacks."""

from __future__ import annotations

from typing import Any

from tests.simulator import git_facts, responses
from tests.simulator.messages import Call, InvalidRequest, Refused, Response
from tests.simulator.routes_app import paging
from tests.simulator.routes_repository import commit_of
from tests.simulator.state import CheckRun, stamp

MAX_TEXT_BYTES, MAX_TITLE_BYTES, MAX_MESSAGE_BYTES = 65_535, 255, 65_536  # bytes of UTF-8
MAX_ACTIONS, MAX_ANNOTATIONS = 3, 50
_ACTION_LIMITS = {"label": 20, "description": 40, "identifier": 20}  # characters

Json = dict[str, Any]


def create_run(call: Call) -> Response:
    repo, fields, app = call.repository, call.body, _app(call)
    _check(fields)
    if git_facts.resolve(repo.git_dir, fields["head_sha"]) != fields["head_sha"]:
        raise Refused(422, f"No commit found for SHA: {fields['head_sha']}", errors=[])
    now = call.github.clock.now()
    suite = repo.suite_of(app, fields["head_sha"])
    number = call.github.ids.next("check_run")
    run = CheckRun(suite, now, responses.check_run(suite, number, fields, now))
    repo.check_runs.append(run)
    call.github.check_runs[number] = run
    _apply(call, run, fields)
    call.github.events.of_checks("check_run", "created", repo, app.bot, suite, run, {})
    if run["status"] == "completed":
        call.github.events.of_checks("check_run", "completed", repo, app.bot, suite, run, {})
    return Response(201, dict(run))


def update_run(call: Call) -> Response:
    run = _run(call)
    if run.suite.app is not _app(call):
        message = "check run can only be modified by the GitHub App that created it."
        raise Refused(403, f"Invalid app_id `{_app(call).app_id}` - {message}")
    _check(call.body)
    was_completed = run["status"] == "completed"
    run.writes += 1
    _apply(call, run, call.body)
    if run["status"] == "completed" and not was_completed:
        call.github.events.of_checks("check_run", "completed", call.repository, run.suite.app.bot, run.suite, run, {})
    return Response(200, dict(run))


def get_run(call: Call) -> Response:
    return Response(200, dict(_run(call)))


def list_runs(call: Call) -> Response:
    """List newest first; `filter=latest`, the default, keeps the newest run of each name and suite."""
    sha, query = commit_of(call, call.values["ref"]), call.query
    found = [run for run in reversed(call.repository.check_runs) if run["head_sha"] == sha]
    for run in found:
        run.age(call.github.clock.now())
    if query.get("filter", "latest") == "latest":
        newest: dict[tuple[int, str], CheckRun] = {}
        for run in found:
            newest.setdefault((run.suite.suite_id, run["name"]), run)
        found = list(newest.values())
    if "check_name" in query:
        found = [run for run in found if run["name"] == query["check_name"]]
    if "status" in query:
        found = [run for run in found if run["status"] == query["status"]]
    if "app_id" in query:
        found = [run for run in found if run.suite.app.app_id == int(query["app_id"])]
    path = f"/repos/{call.repository.full_name}/commits/{call.values['ref']}/check-runs"
    shown = {"total_count": len(found), "check_runs": [dict(run) for run in call.page(found)]}
    return Response(200, shown, paging(call, path, len(found)))


def set_preferences(call: Call) -> Response:
    """Set whether a push creates a suite for the App."""
    repo, app = call.repository, _app(call)
    for wish in call.body.get("auto_trigger_checks", []):
        if wish["app_id"] != app.app_id:
            raise Refused(403, "Resource not accessible by integration")
        if wish["setting"]:
            app.suites_off.discard(repo.repository_id)
        else:
            app.suites_off.add(repo.repository_id)
    shown = [{"app_id": app.app_id, "setting": repo.repository_id not in app.suites_off}]
    preferences = {"auto_trigger_checks": shown}
    return Response(200, {"preferences": preferences, "repository": responses.repository(repo)})


def _app(call: Call) -> Any:
    assert call.actor.installation is not None
    return call.actor.installation.app


def _run(call: Call) -> CheckRun:
    run = call.github.check_runs.get(int(call.values["check_run_id"]))
    if run is None or run.repository is not call.repository:
        raise Refused(404, "Not Found")
    run.age(call.github.clock.now())
    return run


def _check(fields: Json) -> None:
    """Raises InvalidRequest with 422 for fields that GitHub never accepts, although the description allows them."""
    if fields.get("status") == "completed" and "conclusion" not in fields:
        raise _invalid("a check run that is completed needs a conclusion")
    if "completed_at" in fields and "conclusion" not in fields:
        raise _invalid("a check run with a completed_at needs a conclusion")
    if fields.get("conclusion") == "stale":
        raise _invalid("only GitHub can set the conclusion stale")
    output = fields.get("output", {})
    _limit("title", output.get("title"), MAX_TITLE_BYTES)
    _limit("summary", output.get("summary"), MAX_TEXT_BYTES)
    _limit("text", output.get("text"), MAX_TEXT_BYTES)
    annotations = output.get("annotations", [])
    if len(annotations) > MAX_ANNOTATIONS:
        raise _invalid(f"only {MAX_ANNOTATIONS} annotations are allowed a request")
    for annotation in annotations:
        _limit("annotation title", annotation.get("title"), MAX_TITLE_BYTES)
        _limit("annotation message", annotation["message"], MAX_MESSAGE_BYTES)
    actions = fields.get("actions", [])
    if len(actions) > MAX_ACTIONS:
        raise _invalid(f"only {MAX_ACTIONS} actions are allowed")
    for action in actions:
        for name, longest in _ACTION_LIMITS.items():
            if len(action[name]) > longest:
                raise _invalid(f"the {name} of an action may have {longest} characters")


def _limit(what: str, text: str | None, longest: int) -> None:
    supplied = len((text or "").encode())
    if supplied > longest:
        raise _invalid(f"{what}: only {longest} bytes are allowed; {supplied} were supplied")


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(422, f"Invalid request: {why}", errors=[])


def _apply(call: Call, run: CheckRun, fields: Json) -> None:
    for name in ("name", "external_id", "details_url", "started_at", "status"):
        if name in fields:
            run[name] = fields[name]
    if "conclusion" in fields:
        now = stamp(call.github.clock.now())
        run.update(status="completed", conclusion=fields["conclusion"], completed_at=fields.get("completed_at", now))
    elif run["status"] != "completed":
        run.update(conclusion=None, completed_at=None)
    if "output" in fields:
        run.annotations += fields["output"].get("annotations", [])
        said = {name: fields["output"].get(name) for name in ("title", "summary", "text")}
        run["output"] = {**run["output"], **said, "annotations_count": len(run.annotations)}
    if "actions" in fields:
        run.actions = fields["actions"]
    run.suite.settle()
