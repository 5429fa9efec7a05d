"""Deliveries that come late, often, or from somebody who has kept them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders.app_processes import until
from tests.builders.fast_assay import Pace
from tests.flows.faults.settled import Rows
from tests.flows.faults.stage import Stage, set_stage
from tests.simulator.apps import Installation
from tests.simulator.repositories import Repository
from tests.simulator.webhooks import Delivery

pytestmark = pytest.mark.faults

AT_ONCE = 10


def replay(delivery: Delivery, times: int = 1) -> list[Delivery]:
    """The same signed body under other ids: whoever has caught one can do that."""
    body = {name: value for name, value in delivery.payload.items() if name != "action"}
    ids = delivery.installation_id, delivery.repository_id
    webhooks = delivery.app.github.webhooks
    again = [webhooks.deliver(delivery.app, delivery.event, delivery.action, body, *ids) for _ in range(times)]
    assert all(each.content == delivery.content and each.guid != delivery.guid for each in again)
    return again


def result(delivery: Delivery) -> str:
    answered = delivery.wait()
    assert answered.status_code == 202
    said: str = json.loads(answered.response_text)["result"]
    return said


def work_of(rows: Rows, installation: Installation) -> list[tuple[int, str, int]]:
    """Every job that was ever done for it, and how often it was begun."""
    mine = (job for job in rows["jobs"] if job.installation_id == installation.installation_id)
    return [(job.job_id, job.kind, job.attempts) for job in mine]


def screened(stage: Stage, name: str) -> tuple[Repository, Installation]:
    """A repository with its verdict."""
    account = stage.organization(name)
    shop = stage.repository(account)
    shop.roles["ann"] = "maintain"
    installation = stage.app.install(account, [shop])
    stage.assert_settled({shop: [shop.head()]})
    return shop, installation


def screenings_of(rows: Rows, shop: Repository) -> int:
    return sum(row.repository_id == shop.repository_id for row in rows["screenings"])


@pytest.mark.parametrize("ending", ["stopped", "killed"])
def test_what_was_sent_while_nobody_listened_is_asked_for_again(stage: Stage, ending: str) -> None:
    app = stage.up()
    shop, installation = screened(stage, "acme")
    if ending == "stopped":
        assert app.stop() == 0
    else:
        stage.kill_everything()
    (left,) = installation.uninstall()
    late = stage.organization("late")
    other = stage.repository(late)
    (came,) = stage.app.install(late, [other]).sent
    assert [left.wait().was_taken, came.wait().was_taken] == [False, False]
    stage.up()
    until("the verdict", lambda: other.check_runs)
    stage.assert_settled({shop: [shop.head()], other: [other.head()]})
    for guid in (left.guid, came.guid):
        assert [each.redelivery for each in stage.github.deliveries if each.guid == guid] == [False, True]


def test_what_was_sent_in_an_outage_of_the_net_is_asked_for_within_the_hour(tmp_path: Path) -> None:
    with set_stage(tmp_path, pace=Pace(900)) as stage:
        stage.up()
        stage.until_idle()  # the look at the start is over
        shop = stage.repository(stage.organization())
        stage.github.webhooks.outage = True
        stage.app.install(shop.owner, [shop])
        stage.github.webhooks.outage = False
        until("the verdict", lambda: shop.check_runs)
        stage.assert_settled({shop: [shop.head()]})
        assert sum(each.redelivery for each in stage.github.deliveries) == 1


def test_a_delivery_that_comes_ten_times_at_once_is_handled_once(fast: Stage) -> None:
    # An installation that comes before this look is calibrated anew: one job more.
    until("a look at the calibration", lambda: any("calibration" in row.name for row in fast.rows()["bookmarks"]))
    echo = fast.organization("echo")
    shop = fast.repository(echo)
    fast.github.deliver_now = False
    installation = fast.app.install(echo, [shop])
    fast.github.deliver_now = True
    (first,) = fast.github.release()
    again = fast.github.redeliver(first, AT_ONCE - 1)
    assert {result(each) for each in (first, *again)} <= {"stored", "again", "done"}
    rows = fast.assert_settled({shop: [shop.head()]})
    assert [row.state for row in rows["deliveries"] if row.guid == first.guid] == ["handled"]
    assert sorted(kind for _, kind, _ in work_of(rows, installation)) == ["post", "screen", "sync_installation"]

    assert {result(each) for each in fast.github.redeliver(first, AT_ONCE)} == {"done"}
    assert work_of(fast.assert_settled({shop: [shop.head()]}), installation) == work_of(rows, installation)


def test_a_command_that_is_replayed_is_obeyed_once(fast: Stage) -> None:
    shop, _ = screened(fast, "parrot")
    gate = fast.hold("GET /repos/parrot/shop/issues/comments/[0-9]+")
    comment = shop.comment("ann", "/screen")
    said = fast.github.deliveries[-1]
    gate.wait()
    for each in replay(said, AT_ONCE):  # while it is being obeyed
        result(each)
    until("they are handled", lambda: all(row.state != "received" for row in fast.rows()["deliveries"]))
    gate.open()
    fast.assert_settled({shop: [shop.head()] * 2})
    for each in replay(said, AT_ONCE):  # and long after
        result(each)
    rows = fast.assert_settled({shop: [shop.head()] * 2})
    assert screenings_of(rows, shop) == 2
    assert [reaction["content"] for reaction in comment.reactions] == ["eyes", "rocket"]


def test_an_old_push_that_is_replayed_changes_nothing(fast: Stage) -> None:
    shop, _ = screened(fast, "older")
    first = shop.head()
    fast.move(shop, 3)
    (pushed, *_) = shop.pushed(forced=True)
    second = shop.head()
    fast.assert_settled({shop: [first, second]})
    for each in replay(pushed, AT_ONCE):
        result(each)
    rows = fast.assert_settled({shop: [first, second]})
    assert screenings_of(rows, shop) == 2


TAKEN_BACK: dict[str, Callable[[Repository, Installation], list[Delivery]]] = {
    "removed": lambda shop, installation: [*installation.remove(shop), *installation.add(shop)],
    "suspended": lambda shop, installation: [*installation.suspend(), *installation.unsuspend()],
    "privatized": lambda shop, installation: [*shop.privatize(), *shop.publicize()],
    "archived": lambda shop, installation: [*shop.archive(), *shop.unarchive()],
}


@pytest.mark.parametrize("what", TAKEN_BACK)
def test_what_was_taken_back_is_not_done_again(fast: Stage, what: str) -> None:
    shop, installation = screened(fast, what)
    (then, *_) = TAKEN_BACK[what](shop, installation)
    fast.until_idle()
    runs, kept = list(shop.check_runs), list(fast.rows()["screenings"])
    for each in replay(then, AT_ONCE):
        result(each)
    rows = fast.assert_settled({shop: [run["head_sha"] for run in runs]})
    assert rows["screenings"] == kept


def test_an_uninstallation_that_is_replayed_deletes_nothing(fast: Stage) -> None:
    shop, before = screened(fast, "phoenix")
    (left,) = before.uninstall()
    fast.assert_settled({shop: [shop.head()]})
    after = fast.app.install(shop.owner, [shop])
    rows = fast.assert_settled({shop: [shop.head()] * 2})
    for each in replay(left, AT_ONCE):
        result(each)
    assert work_of(fast.assert_settled({shop: [shop.head()] * 2}), after) == work_of(rows, after)


def test_a_farewell_of_who_is_still_there_deletes_nothing(fast: Stage) -> None:
    """Signed and all: GitHub is asked, and says that it is not so."""
    shop, installation = screened(fast, "still")
    rows = fast.rows()
    for delivery in (
        *fast.github.events.of_installation("deleted", installation, "octocat", {"repositories": []}),
        *fast.github.events.of_repository("repository", "deleted", shop, "octocat", {}),
    ):
        assert result(delivery) == "stored"
    after = fast.assert_settled({shop: [shop.head()]})
    for table in ("screenings", "check_runs"):
        assert after[table] == rows[table]
