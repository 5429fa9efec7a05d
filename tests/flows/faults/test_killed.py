"""Processes that end without a word: all that was accepted is done all the same, once."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.builders.app_processes import until
from tests.builders.patience import PATIENCE_S
from tests.builders.servers import postgres_server, redis_server
from tests.flows.faults.stage import Stage, set_stage

pytestmark = pytest.mark.faults


def test_a_worker_that_is_killed_while_screening_is_replaced(parted: Stage) -> None:
    parted.web()
    workers = [parted.worker(), parted.worker()]
    acme = parted.organization()
    shop = parted.repository(acme)
    gate = parted.hold_clone(shop)
    parted.app.install(acme, [shop])
    gate.wait()
    child = parted.child()
    (killed,) = (worker for worker in workers if child in worker.family())
    family = killed.family()
    assert len(family) == 3  # itself, its supervisor, the child
    parted.kill(killed)
    parted.assert_gone(family)
    gate.open()
    rows = parted.assert_settled({shop: [shop.head()]})
    assert [screening.head_sha for screening in rows["screenings"]] == [shop.head()]


def test_a_supervisor_that_is_killed_is_started_anew(fast: Stage) -> None:
    nest = fast.organization("nest")
    shop = fast.repository(nest)
    gate = fast.hold_clone(shop)
    fast.app.install(nest, [shop])
    gate.wait()
    child = fast.child()
    supervisor = child.parent()
    assert supervisor is not None
    supervisor.kill()
    fast.assert_gone([child, supervisor])
    gate.open()
    fast.assert_settled({shop: [shop.head()]})
    assert fast.rows()["screenings"][-1].failure == ""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_that_is_killed_from_outside_is_tried_again(fast: Stage, number: signal.Signals) -> None:
    """As by the kernel, which is short of memory because of a neighbour."""
    nest = fast.organization(f"neighbour{number}")
    shop = fast.repository(nest)
    gate = fast.hold_clone(shop)
    fast.app.install(nest, [shop])
    gate.wait()
    fast.child().send_signal(number)
    gate.open()
    fast.assert_settled({shop: [shop.head()]})
    assert fast.rows()["screenings"][-1].failure == ""


def test_a_worker_that_freezes_while_it_writes_leaves_one_verdict_standing(parted: Stage) -> None:
    parted.web()
    frozen = parted.worker()
    acme = parted.organization()
    shop = parted.repository(acme)
    gate = parted.hold(f"POST /repos/{shop.full_name}/check-runs")
    parted.app.install(acme, [shop])
    gate.wait()
    frozen.process.send_signal(signal.SIGSTOP)
    gate.rule.stop()  # the next request goes on, and the first one stays on its way
    parted.worker()
    until("the other's check run", lambda: shop.check_runs)
    gate.open()
    frozen.process.send_signal(signal.SIGCONT)
    until("both", lambda: len(shop.check_runs) == 2)
    parted.until_idle()
    titles = [run["output"]["title"] for run in shop.check_runs]
    assert [title == "Superseded by a newer check run" for title in titles] == [True, False]


@pytest.mark.parametrize("data", ["kept", "lost"])
def test_a_redis_that_is_killed_with_jobs_queued(parted: Stage, data: str) -> None:
    parted.web()
    parted.worker()
    acme, late = parted.organization(), parted.organization("late")
    shops = [parted.repository(acme, f"shop{n}") for n in range(4)]
    shop = parted.repository(late)
    gate = parted.hold("POST /acme/shop[0-9].git/git-upload-pack")
    parted.app.install(acme, shops)
    gate.wait(2)  # as many as are screened at once of an installation
    assert parted.redis is not None
    parted.redis.kill()
    (installed,) = parted.app.install(late, [shop]).sent
    assert installed.wait().status_code == 202
    if data == "lost":
        for path in parted.redis_folder.rglob("*.aof*"):
            path.unlink()
    parted.redis.start()
    gate.open()
    parted.assert_settled({repo: [repo.head()] for repo in (*shops, shop)})


def test_an_embedded_redis_that_is_killed_comes_back(stage: Stage) -> None:
    app = stage.up()
    acme = stage.organization()
    shops = [stage.repository(acme, f"shop{n}") for n in range(3)]
    gate = stage.hold("POST /acme/shop[0-9].git/git-upload-pack")
    stage.app.install(acme, shops)
    gate.wait(2)
    redis = next(each for each in app.family() if "redis" in each.name())
    redis.kill()
    late = stage.organization("late")
    shop = stage.repository(late)
    (installed,) = stage.app.install(late, [shop]).sent
    assert installed.wait().status_code == 202
    gate.open()
    stage.assert_settled({repo: [repo.head()] for repo in (*shops, shop)})
    (again,) = (each for each in app.family() if "redis" in each.name())
    assert again.pid != redis.pid


def test_everything_is_killed_at_once_and_then_again(stage: Stage) -> None:
    """While a repository is cloned; and once more while GitHub writes the check run."""
    stage.up()
    acme = stage.organization()
    shop = stage.repository(acme)
    cloning, writing = stage.hold_clone(shop), stage.hold("POST /repos/acme/shop/check-runs")
    stage.app.install(acme, [shop])
    cloning.wait()
    stage.kill_everything()
    cloning.open()
    stage.up()
    writing.wait()
    stage.kill_everything()
    writing.open()
    until("the check run of the dead", lambda: shop.check_runs)
    stage.up()
    rows = stage.assert_settled({shop: [shop.head()]})
    assert len(rows["screenings"]) == len(rows["check_runs"]) == 1


def test_web_worker_and_redis_are_killed_at_once(parted: Stage) -> None:
    parted.web()
    parted.worker()
    acme = parted.organization()
    shops = [parted.repository(acme, f"shop{n}") for n in range(3)]
    gate = parted.hold("POST /acme/shop[0-9].git/git-upload-pack")
    parted.app.install(acme, shops)
    gate.wait(2)
    parted.kill_everything()
    gate.open()
    assert parted.redis is not None
    parted.redis.start()
    parted.web()
    parted.worker()
    parted.assert_settled({repo: [repo.head()] for repo in shops})


@pytest.mark.services
def test_a_postgresql_that_is_killed_while_it_writes(tmp_path: Path) -> None:
    with (
        postgres_server() as postgres,
        redis_server() as redis,
        set_stage(tmp_path, redis=redis, database_url=postgres.url) as stage,
    ):
        stage.web()
        worker = stage.worker()
        shops = [stage.repository(stage.organization(), f"shop{n}") for n in range(3)]
        gate = stage.hold("POST /acme/shop[0-9].git/git-upload-pack")
        installation = stage.app.install(stage.organization(), shops)
        gate.wait(2)
        many = [delivery for _ in range(200) for delivery in installation.add(shops[0])]
        until("a part of them is stored", lambda: sum(each.was_taken for each in many) >= 20)
        postgres.kill()
        gate.open()  # what was screened meanwhile cannot be written either
        many += installation.add(shops[0])
        answers = {each.wait().status_code for each in many}
        assert answers == {202, 503}
        assert stage.assay.status("/readyz") == 503
        postgres.start()
        refused = [each for each in many if not each.was_taken]
        for again in (stage.github.redeliver(each)[0] for each in refused):
            assert again.wait().status_code == 202
        stage.assert_settled({repo: [repo.head()] for repo in shops})
        assert worker.running


def test_a_graceful_stop_gives_the_screening_back_at_once(stage: Stage) -> None:
    app = stage.up()
    acme = stage.organization()
    shop = stage.repository(acme)
    gate = stage.hold_clone(shop)
    stage.app.install(acme, [shop])
    gate.wait()
    family = app.family()
    assert app.stop(within_s=PATIENCE_S) == 0
    stage.assert_gone(family)
    (job,) = stage.jobs("screen")
    assert (job.state, job.attempts, job.lease_until) == ("open", 0, None)
    gate.open()
    stage.up()
    rows = stage.assert_settled({shop: [shop.head()]})
    assert len(rows["screenings"]) == 1


def test_ctrl_c_twice_ends_at_once(stage: Stage) -> None:
    app = stage.up()
    acme = stage.organization()
    shop = stage.repository(acme)
    gate = stage.hold("POST /repos/acme/shop/check-runs")
    stage.app.install(acme, [shop])
    gate.wait()
    family = app.family()
    app.process.send_signal(signal.SIGINT)
    until("it stops", lambda: "worker_stopping" in app.said())
    assert app.running  # what is being written may end
    app.process.send_signal(signal.SIGINT)
    app.process.wait(9)  # what is being written would have ten seconds
    stage.assert_gone(family)
    gate.open()
    until("the check run of the dead", lambda: shop.check_runs)
    stage.up()
    stage.assert_settled({shop: [shop.head()]})


def test_what_is_being_written_may_end_when_the_app_is_stopped(stage: Stage) -> None:
    app = stage.up()
    shop = stage.repository(stage.organization())
    gate = stage.hold("POST /repos/acme/shop/check-runs")
    stage.app.install(shop.owner, [shop])
    gate.wait()
    app.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        app.process.wait(2)
    gate.open()
    assert app.process.wait(20) == 0
    (row,) = stage.rows()["check_runs"]
    assert row.check_run_id == shop.check_runs[0]["id"]
