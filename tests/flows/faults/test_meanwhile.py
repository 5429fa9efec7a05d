"""What people do while a repository is being screened: to it, to its organization, to the App's installation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psutil
import pytest

from tests.builders.app_processes import until
from tests.flows.faults.stage import Gate, Stage
from tests.simulator.apps import Installation
from tests.simulator.repositories import Repository
from tests.simulator.state import Account

pytestmark = pytest.mark.faults


def test_a_command_before_the_first_listing_is_answered_after_it(fast: Stage) -> None:
    shop = fast.repository(fast.organization("early"))
    shop.roles["ann"] = "maintain"
    gate = fast.hold("GET /installation/repositories")
    fast.app.install(shop.owner, [shop])
    gate.wait()
    comment = shop.comment("ann", "/screen")
    fast.github.settle()
    until("it waits", lambda: any(job.kind == "command" and job.state == "open" for job in fast.rows()["jobs"]))
    gate.open()
    until("an answer", lambda: comment.reactions)
    fast.until_idle()
    assert [reaction["content"] for reaction in comment.reactions] == ["eyes", "rocket"]


def test_two_endless_clones_of_one_installation_keep_no_other_waiting(fast: Stage) -> None:
    slow, small = fast.organization("slow"), fast.organization("small")
    shops = [fast.repository(slow, f"shop{n}") for n in range(3)]
    shop = fast.repository(small)
    gates = [fast.hold_clone(each) for each in shops]
    fast.app.install(slow, shops)
    until("two clones", lambda: sum(gate.rule.met > 0 for gate in gates) >= 2)
    fast.app.install(small, [shop])
    until("its verdict", lambda: shop.check_runs)
    assert [each.check_runs for each in shops] == [[], [], []]
    for gate in gates:
        gate.open()
    fast.assert_settled({each: [each.head()] for each in (*shops, shop)})


@dataclass
class Screening:
    """One that has begun and does not go on before its gate is opened."""

    stage: Stage
    account: Account
    shop: Repository
    installation: Installation
    gate: Gate
    child: psutil.Process

    def hear(self) -> None:
        """Until whatever was sent is handled, so that only the screening is left."""
        self.stage.github.settle()

        def is_handled() -> bool:
            rows = self.stage.rows()
            light = [job for job in rows["jobs"] if job.kind.startswith(("sync", "remove")) and job.state != "done"]
            return not light and all(row.state != "received" for row in rows["deliveries"])

        until("what was sent is handled", is_handled)


@pytest.fixture
def screening(fast: Stage, request: pytest.FixtureRequest) -> Screening:
    name = "".join(letter for letter in request.node.name if letter.isalnum())[-36:]
    account = fast.organization(name)
    shop = fast.repository(account)
    gate = fast.hold_clone(shop)
    installation = fast.app.install(account, [shop])
    gate.wait()
    return Screening(fast, account, shop, installation, gate, fast.child())


LEAVING: dict[str, Callable[[Screening], object]] = {
    "deleted": lambda s: s.shop.delete(),
    "removed": lambda s: s.installation.remove(s.shop),
    "transferred": lambda s: s.shop.transfer(s.stage.organization("stranger")),
    "uninstalled": lambda s: s.installation.uninstall(),
}
STAYING: dict[str, Callable[[Screening], object]] = {
    "renamed": lambda s: s.shop.rename("store"),
    "privatized": lambda s: s.shop.privatize(),
}


@pytest.mark.parametrize("how", LEAVING)
def test_what_is_gone_leaves_nothing(screening: Screening, how: str) -> None:
    LEAVING[how](screening)
    screening.stage.assert_gone([screening.child])  # while what it asked for has not even come
    screening.gate.open()
    screening.stage.assert_settled({screening.shop: []})


@pytest.mark.parametrize("how", STAYING)
def test_what_is_only_different_gets_its_verdict(screening: Screening, how: str) -> None:
    STAYING[how](screening)
    screening.hear()
    assert screening.child.is_running()
    screening.gate.open()
    screening.stage.assert_settled({screening.shop: [screening.shop.head()]})


def test_what_is_transferred_to_whom_has_the_app_is_screened_there(screening: Screening) -> None:
    other = screening.stage.organization(f"{screening.account.login}2")
    installation = screening.stage.app.install(other)
    screening.shop.transfer(other)
    screening.stage.assert_gone([screening.child])
    screening.gate.open()
    rows = screening.stage.assert_settled({screening.shop: [screening.shop.head()]})
    owners = {row.installation_id for row in rows["screenings"] if row.repository_id == screening.shop.repository_id}
    assert owners == {installation.installation_id}


def test_who_comes_back_at_once_starts_afresh(screening: Screening) -> None:
    screening.installation.uninstall()
    again = screening.stage.app.install(screening.account, [screening.shop])
    screening.stage.assert_gone([screening.child])
    screening.gate.open()
    rows = screening.stage.assert_settled({screening.shop: [screening.shop.head()]})
    assert [row.installation_id for row in rows["screenings"] if row.repository_id == screening.shop.repository_id] == [
        again.installation_id
    ]


@pytest.mark.parametrize("forced", [True, False], ids=["forced", "pushed"])
def test_a_push_is_answered_on_the_newest_head(screening: Screening, forced: bool) -> None:
    first = screening.shop.head()
    screening.stage.move(screening.shop, 3)
    screening.shop.pushed(forced=forced)
    screening.hear()
    screening.gate.open()
    rows = screening.stage.assert_settled({screening.shop: [screening.shop.head()]})
    assert screening.shop.head() != first
    heads = [row.head_sha for row in rows["screenings"] if row.repository_id == screening.shop.repository_id]
    assert heads[-1] == (screening.shop.head() if forced else heads[0])


def test_a_history_that_is_rewritten_while_its_verdict_is_written_is_measured_again(fast: Stage) -> None:
    rewriter = fast.organization("rewriter")
    shop = fast.repository(rewriter)
    gate = fast.hold("POST /repos/rewriter/shop/check-runs")
    fast.app.install(rewriter, [shop])
    gate.wait()
    first = shop.head()
    fast.move(shop, 3)
    shop.pushed(forced=True)
    fast.github.settle()
    gate.open()
    rows = fast.assert_settled({shop: [first, shop.head()]})
    assert [row.head_sha for row in rows["screenings"]][-1] == shop.head()


def test_what_is_archived_is_left_alone_until_it_is_not(screening: Screening) -> None:
    screening.shop.archive()
    screening.hear()
    screening.gate.open()
    screening.stage.assert_settled({screening.shop: []})
    screening.shop.unarchive()
    screening.stage.assert_settled({screening.shop: [screening.shop.head()]})


def test_who_is_suspended_waits(screening: Screening) -> None:
    screening.installation.suspend()
    screening.hear()
    screening.gate.open()
    screening.stage.assert_gone([screening.child])
    assert screening.shop.check_runs == []
    screening.installation.unsuspend()
    screening.stage.assert_settled({screening.shop: [screening.shop.head()]})
