"""Rules for check runs that the description lacks."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.rows import each_row

CHECK_RUNS = "/repos/acme/shop/check-runs"


def run_of(world, **fields):
    run = {"name": "assay/screen", "head_sha": world.head, "status": "completed", "conclusion": "success"}
    return {**run, "output": {"title": "t", "summary": "s"}, **fields}


def test_a_check_run_is_stored_as_sent(world):
    actions = [{"label": "Re-screen", "description": "Measure again", "identifier": "rescreen"}]
    made = world.ask("POST", CHECK_RUNS, run_of(world, external_id="assay/screen/1", actions=actions))
    assert made.status_code == 201
    stored = world.shop.check_runs[0]
    assert stored == made.json()
    assert (stored["external_id"], stored["conclusion"], stored.actions) == ("assay/screen/1", "success", actions)
    assert world.ask("GET", f"{CHECK_RUNS}/{stored['id']}").json() == stored
    listed = world.ask("GET", f"/repos/acme/shop/commits/{world.head}/check-runs?check_name=assay/screen")
    assert [run["id"] for run in listed.json()["check_runs"]] == [stored["id"]]


@each_row(
    ("fields", "said"),
    [
        ({"conclusion": None}, "None is not"),
        ({"completed_at": "2026-01-01T00:00:00Z", "status": "in_progress"}, "needs a conclusion"),
        ({"conclusion": "stale"}, "only GitHub can set"),
        ({"output": {"title": "t", "summary": "é" * 32_768}}, "summary: only 65535 bytes"),
        ({"output": {"title": "t", "summary": "s", "text": "é" * 32_768}}, "text: only 65535 bytes"),
        ({"output": {"title": "t" * 256, "summary": "s"}}, "title: only 255 bytes"),
        ({"output": {"summary": "s"}}, "'title' is a required property"),
        ({"actions": [{"label": "l", "description": "d", "identifier": "i"}] * 4}, "too long"),
    ],
)
def test_invalid_check_runs_are_violations(world, fields, said):
    run = run_of(world, **fields)
    if "completed_at" in fields:
        del run["conclusion"]
    assert world.ask("POST", CHECK_RUNS, run).status_code == 422
    assert said in "".join(world.clear_violations())
    assert world.shop.check_runs == []


def test_completed_without_a_conclusion_is_a_violation(world):
    run = run_of(world)
    del run["conclusion"]
    assert world.ask("POST", CHECK_RUNS, run).status_code == 422
    assert any("conclusion" in violation for violation in world.clear_violations())


def test_texts_of_65_535_bytes_are_accepted(world):
    output = {"title": "t" * 255, "summary": "s" * 65_535, "text": "é" * 32_767}
    assert world.ask("POST", CHECK_RUNS, run_of(world, output=output)).status_code == 201


def test_a_missing_commit_is_a_422_and_no_violation(world):
    response = world.ask("POST", CHECK_RUNS, run_of(world, head_sha="f" * 40))
    assert response.status_code == 422
    assert response.json()["message"].startswith("No commit found for SHA")


def test_annotations_add_up(world):
    note = {"path": "a.py", "start_line": 1, "end_line": 1, "annotation_level": "notice", "message": "m"}
    output = {"title": "t", "summary": "s", "annotations": [note] * 50}
    number = world.ask("POST", CHECK_RUNS, run_of(world, output=output)).json()["id"]
    changed = world.ask("PATCH", f"{CHECK_RUNS}/{number}", {"output": output})
    assert changed.json()["output"]["annotations_count"] == 100


def test_only_its_creator_updates_a_check_run(world):
    number = world.ask("POST", CHECK_RUNS, run_of(world)).json()["id"]
    other = world.github.register_app(name="Other").install(world.acme, [world.shop])
    response = world.ask("PATCH", f"{CHECK_RUNS}/{number}", {"name": "mine"}, token=other.token())
    assert response.status_code == 403


def test_latest_shows_the_newest_run_of_a_name(world):
    numbers = [world.ask("POST", CHECK_RUNS, run_of(world)).json()["id"] for _ in range(3)]
    path = f"/repos/acme/shop/commits/{world.head}/check-runs"
    assert [run["id"] for run in world.ask("GET", path).json()["check_runs"]] == numbers[-1:]
    shown = world.ask("GET", f"{path}?filter=all&per_page=2")
    assert [run["id"] for run in shown.json()["check_runs"]] == [numbers[2], numbers[1]]
    assert 'rel="next"' in shown.headers["link"]


def test_incomplete_runs_become_stale_after_fourteen_days(world):
    run = {"name": "n", "head_sha": world.head, "status": "in_progress"}
    number = world.ask("POST", CHECK_RUNS, run).json()["id"]
    world.clock.advance(timedelta(days=14) - timedelta(seconds=1))
    token = world.installation.token()
    assert world.ask("GET", f"{CHECK_RUNS}/{number}", token=token).json()["status"] == "in_progress"
    world.clock.advance(1)
    assert world.ask("GET", f"{CHECK_RUNS}/{number}", token=token).json()["conclusion"] == "stale"


def test_a_push_creates_a_suite_unless_turned_off(world):
    world.shop.pushed()
    assert [suite.automatic for suite in world.shop.check_suites] == [True]
    wish = {"auto_trigger_checks": [{"app_id": world.app.app_id, "setting": False}]}
    assert world.ask("PATCH", "/repos/acme/shop/check-suites/preferences", wish).status_code == 200
    world.shop.check_suites.clear()
    world.shop.pushed()
    assert world.shop.check_suites == []


def test_a_rerequest_queues_the_suite_and_keeps_the_run(world):
    world.ask("POST", CHECK_RUNS, run_of(world))
    run = world.shop.check_runs[0]
    assert run.suite.status == "completed"
    (delivery,) = run.rerequest("alice")
    assert (run.suite.status, run["status"]) == ("queued", "completed")
    assert delivery.payload["action"] == "rerequested"
    world.ask("POST", CHECK_RUNS, run_of(world))
    assert (run.suite.status, len(run.suite.runs)) == ("completed", 2)


def test_only_existing_buttons_can_be_clicked(world):
    actions = [{"label": "Re-screen", "description": "Measure again", "identifier": "rescreen"}]
    world.ask("POST", CHECK_RUNS, run_of(world, actions=actions))
    (delivery,) = world.shop.check_runs[0].press("alice", "rescreen")
    assert delivery.payload["requested_action"] == {"identifier": "rescreen"}
    assert delivery.payload["sender"]["login"] == "alice"
    with pytest.raises(AssertionError, match="no button 'finetune'"):
        world.shop.check_runs[0].press("alice", "finetune")
