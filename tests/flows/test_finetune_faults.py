"""What goes wrong while `/finetune` is at work. After each fault nothing is left over, and the reply is true.

Every story is the whole App with GPU workers of real processes; what trains in them learns nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import psutil
import pytest

from bot.records import GpuState, Run
from bot.runs.active_ranking import load_active_ranking
from bot.store.budgets import list_gpu_workers, month_of, remove_budget, save_gpu_state, usage_of
from bot.store.calibrations import calibrations_of
from pipeline.finetuning.pair_file import decode_pairs
from tests.builders.finetune_app import FinetuneApp, checks, finetune_app, our_comments, reactions, words
from tests.builders.finetune_gpu import LOSES, WINS
from tests.simulator import faults
from tests.simulator.faults import FOREVER
from tests.simulator.repositories import Repository

pytestmark = pytest.mark.faults


@pytest.fixture
def story(tmp_path: Path) -> Iterator[FinetuneApp]:
    """Runs lose unless a test says something else: then nothing is trained after them."""
    with finetune_app(tmp_path) as story:
        story.lets_all_lose()
        yield story


def first_line(repository: Repository) -> str:
    """Of the newest of our comments."""
    return our_comments(repository)[-1].body.split("\n")[0]


@contextlib.contextmanager
def held(story: FinetuneApp, run_id: int, point: str) -> Iterator[None]:
    """One run waits there until the end of the block."""
    gate = story.gates.folder / f"hold-{run_id}-{point}"
    gate.touch()
    try:
        yield
    finally:
        gate.unlink()


# Of processes and servers.


def test_a_gpu_worker_is_killed_at_the_start_in_the_middle_and_after_the_upload(story: FinetuneApp) -> None:
    shop = story.repository()
    story.install(shop)
    story.says(shop, "ann", "/finetune")
    for number, point in enumerate(("begun", "step-2", "uploaded")):
        with held(story, 1, point):
            for mark in story.gates.folder.glob("1-*"):
                mark.unlink()
            worker = story.gpu_worker(f"killed-{number}")
            child = story.reached(1, point)
            story.kill(worker)
            story.app.until("its child is gone", partial(is_gone, child))
            story.end_lease(1)
            story.app.until("it is queued again", lambda: story.run(1).state == "queued")
            story.passes(16)
            assert first_line(shop) == "**Waiting for a GPU worker to resume it.**"
    story.gpu_worker("last")
    run = story.ended(1)
    assert (run.ending, run.attempts, run.worker) == ("finished", 4, "last")
    assert len(checks(shop)) == 1
    assert first_line(shop).startswith("**HARD LOSS")
    story.at_rest()


def test_a_worker_that_comes_back_with_a_result_after_another_one_delivered_changes_nothing(story: FinetuneApp) -> None:
    shop = story.repository()
    story.install(shop)
    story.says(shop, "ann", "/finetune")
    with held(story, 1, "uploaded"):
        zombie = story.gpu_worker("zombie")
        child = story.reached(1, "uploaded")
        stop_in_its_tracks(story, zombie)
    story.app.until("its child has said its result and ended", lambda: not is_alive(child))
    story.end_lease(1)
    story.gpu_worker("heir")
    run = story.ended(1)
    assert (run.ending, run.worker, run.attempts) == ("finished", "heir", 2)
    zombie.send_signal(signal.SIGCONT)  # the result waits for it
    zombie.send_signal(signal.SIGTERM)
    assert zombie.wait(20) == 0
    assert story.run(1) == run
    story.at_rest()
    assert len(checks(shop)) == len(our_comments(shop)) == 1


def stop_in_its_tracks(story: FinetuneApp, worker: subprocess.Popen[bytes]) -> None:
    """Stop it while it is our turn to write: on SQLite a process stopped in the middle of a write blocks all others."""

    async def stop(connection: object) -> None:
        worker.send_signal(signal.SIGSTOP)

    story.write(stop)


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


def is_alive(pid: int) -> bool:
    """Whoever waits to be asked about is not; its parent stands still here."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_redis_and_then_the_database_go_away_while_a_run_is_trained(story: FinetuneApp) -> None:
    shop = story.repository()
    story.install(shop)
    story.says(shop, "ann", "/finetune")
    with held(story, 1, "uploaded"):
        with held(story, 1, "step-2"):
            story.gpu_worker()
            story.reached(1, "step-2")
            os.kill(story.app.redis.pid, signal.SIGKILL)
        child = story.reached(1, "uploaded")
        with nobody_reaches_the_database(story):
            time.sleep(1)  # meanwhile nobody can renew a lease or look at one
        story.end_lease(1)
    run = story.ended(1)
    assert run.ending == "finished"
    assert run.attempts == 1 or child != story.gates.reached(1, "uploaded")  # it was begun again only if it was lost
    story.at_rest()
    assert len(checks(shop)) == len(our_comments(shop)) == 1


@contextlib.contextmanager
def nobody_reaches_the_database(story: FinetuneApp) -> Iterator[None]:
    """Whoever writes waits, and is told after a while that it is busy."""
    with contextlib.closing(sqlite3.connect(database_file(story), timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def database_file(story: FinetuneApp) -> str:
    return story.app.database_url.removeprefix("sqlite:///")


# Of people and time.


def test_a_run_is_cancelled_while_it_is_queued_while_it_runs_and_while_its_result_is_posted(story: FinetuneApp) -> None:
    shop = story.repository()
    story.install(shop)

    story.says(shop, "ann", "/finetune")
    story.says(shop, "ann", "/finetune cancel", issue=2)
    assert (story.run(1).ending, story.run(1).spent_minutes) == ("cancelled", 0.0)
    assert [comment.body.split("\n")[0] for comment in our_comments(shop)] == [
        "**Cancelled without a result.**",
        "**Cancelled.**",
    ]

    story.gpu_worker()
    with held(story, 2, "step-2"):
        story.says(shop, "ann", "/finetune")
        story.reached(2, "step-2")
        story.says(shop, "abe", "/finetune cancel", issue=2)
        assert story.ended(2).ending == "cancelled"
    assert [check["conclusion"] for check in checks(shop)] == ["cancelled", "cancelled"]

    story.passes(timedelta(hours=1, minutes=1))  # of commands only so many are heard in an hour
    go_on = threading.Event()
    rule = story.github.fault(f"POST /repos/{shop.full_name}/check-runs", faults.before(go_on.wait))
    story.says(shop, "ann", "/finetune")
    story.app.until("its result is being posted", lambda: rule.met)
    comment = shop.comment("ann", "/finetune cancel", 2)
    story.app.until("an answer", lambda: first_line(shop).startswith("**Nothing to cancel"))
    go_on.set()
    run = story.ended(3)
    assert (run.ending, reactions(comment)) == ("finished", ["eyes", "rocket"])
    story.at_rest()
    assert [check["conclusion"] for check in checks(shop)] == ["cancelled", "cancelled", "neutral"]


def test_a_repository_is_deleted_and_then_the_app_uninstalled_while_runs_are_trained(story: FinetuneApp) -> None:
    shop, office = story.repository("shop"), story.repository("office")
    installation = story.install(shop, office)
    workers = [story.gpu_worker("one"), story.gpu_worker("two")]
    with held(story, 1, "step-2"), held(story, 2, "step-2"):
        story.says(shop, "ann", "/finetune")
        story.says(office, "ann", "/finetune")
        children = [story.reached(number, "step-2") for number in (1, 2)]
        story.app.hear(shop.delete())
        story.app.until("its run is gone", lambda: [run.run_id for run in story.runs()] == [2])
        story.app.until("who trained is gone", lambda: not psutil.pid_exists(children[0]))
        month = month_of(story.clock.now())
        usage = story.app.ask(lambda c: usage_of(c, installation.installation_id, month))
        assert usage.spent > 0  # what it took or had reserved stays counted
        assert psutil.pid_exists(children[1])
        story.app.hear(installation.uninstall())
        story.app.until("no run is left", lambda: story.runs() == [])
        story.app.until("nobody trains", lambda: not psutil.pid_exists(children[1]))
    story.passes(timedelta(minutes=2))
    assert [worker.poll() for worker in workers] == [None, None]  # they go on with what others ask for
    story.at_rest()
    assert [path for path in (story.folder / "app" / "artifacts").rglob("*") if path.is_file()] == []


def test_after_six_hours_every_token_has_expired_and_the_answer_to_the_check_run_is_lost(story: FinetuneApp) -> None:
    shop = story.repository()
    story.install(shop)
    story.gpu_worker()
    with held(story, 1, "step-2"):
        story.says(shop, "ann", "/finetune")
        story.reached(1, "step-2")
        known = set(story.github.tokens)
        story.passes(timedelta(hours=6))
        rule = story.github.fault(f"POST /repos/{shop.full_name}/check-runs", faults.Lost(faults.status(502)))
    run = story.ended(1)
    assert (run.ending, run.attempts, rule.met) == ("finished", 1, 1)
    assert all(story.github.tokens[text].expires_at < story.clock.now() for text in known)
    story.at_rest()
    assert len(checks(shop)) == 1


def test_two_maintainers_ask_in_the_same_second(story: FinetuneApp) -> None:
    shop = story.repository()
    story.install(shop)
    before = len(story.github.deliveries)
    asked = [shop.comment("ann", "/finetune", 1), shop.comment("abe", "/finetune", 2)]
    story.app.hear(story.github.deliveries[before:])
    story.app.until_idle()
    assert [reactions(comment) for comment in asked] == [["eyes", "rocket"]] * 2
    assert len(story.runs()) == 1
    story.passes(16)
    story.gpu_worker()
    story.ended(1)
    bodies = {comment.issue_number: comment.body for comment in our_comments(shop)}
    assert sorted(bodies) == [1, 2]
    other = 2 if story.run(1).comment_id == asked[0].comment_id else 1
    assert ["Another command had already requested this run" in bodies[issue] for issue in (other, 3 - other)] == [
        True,
        False,
    ]
    story.at_rest()
    assert len(checks(shop)) == 1


@dataclass(frozen=True)
class Said:
    """A comment that starts nothing."""

    login: str
    body: str
    reactions: tuple[str, ...] = ()
    on_pull_request: bool = False


NO_COMMANDS = {
    "quoted": Said("ann", "> /finetune"),
    "in a code block": Said("ann", "```\n/finetune\n```"),
    "indented": Said("ann", "    /finetune"),
    "in an HTML comment": Said("ann", "<!-- /finetune -->"),
    "in the second line": Said("ann", "Please:\n/finetune"),
    "of a bot": Said("helper[bot]", "/finetune"),
    "of a reader": Said("bob", "/finetune", ("confused",)),
    "of who wrote a pull request from a fork": Said("eve", "/finetune", ("confused",), on_pull_request=True),
    "of who may write": Said("wil", "/finetune", ("confused",)),
}


def test_comments_that_are_no_command_of_somebody_who_may_start_nothing(story: FinetuneApp) -> None:
    shop = story.repository()
    story.install(shop)
    shop.roles["wil"] = "triage"
    story.github.account("helper[bot]", type="Bot")
    found = {
        name: story.says(shop, said.login, said.body, 3, on_pull_request=said.on_pull_request)
        for name, said in NO_COMMANDS.items()
    }
    edited = story.says(shop, "ann", "I wonder.")
    story.app.hear(edited.edit("/finetune"))
    story.app.until_idle()
    assert {name: tuple(reactions(comment)) for name, comment in found.items()} == {
        name: said.reactions for name, said in NO_COMMANDS.items()
    }
    assert reactions(edited) == []
    assert (story.runs(), our_comments(shop)) == ([], [])

    # Nor does a command that says something else when its turn comes.
    go_on = threading.Event()
    rule = story.github.fault(f"GET /repos/{shop.full_name}/issues/comments/.*", faults.before(go_on.wait), FOREVER)
    hesitant = shop.comment("abe", "/finetune")
    story.app.until("it is read", lambda: rule.met)
    with story.github.lock:
        hesitant.body = "never mind"
    go_on.set()
    story.app.until_idle()
    assert (story.runs(), our_comments(shop)) == ([], [])
    story.at_rest()


# Of several runs.


def test_a_result_that_arrives_after_a_newer_one_is_counted_and_overrules_nothing(story: FinetuneApp) -> None:
    shop = story.repository()
    installation = story.install(shop)
    ids = installation.installation_id, shop.repository_id
    story.gpu_worker("one")
    (story.gates.folder / "strength-1").write_text(str(LOSES))
    (story.gates.folder / "strength-2").write_text(str(WINS))
    with held(story, 1, "step-2"):
        story.says(shop, "ann", "/finetune")
        story.reached(1, "step-2")
        story.pushes(shop)
        story.gpu_worker("two")
        story.says(shop, "abe", "/finetune", issue=2)
        newer = story.ended(2)
        story.app.until("the training after it", lambda: len(story.runs()) == 3)
        story.ended(3)
    older = story.ended(1)
    outcomes = [(run.result or {}).get("outcome") for run in (older, newer)]
    assert (outcomes, older.made_at < newer.made_at) == (["HARD LOSS", "WIN"], True)
    in_force = story.app.ask(lambda c: load_active_ranking(c, *ids))
    assert (in_force.judged, in_force.by_adapter) == (newer, True)
    versions = story.app.ask(lambda c: calibrations_of(c, installation.installation_id))
    assert versions[-1].threshold == next(v for v in versions if v.run_id == 2).threshold
    assert "a newer" in words(next(check for check in checks(shop) if check["head_sha"] == older.head_sha)).lower()
    story.at_rest()


def test_an_operator_pauses_the_gpus_and_takes_the_budget_back_while_a_run_is_queued(story: FinetuneApp) -> None:
    shop = story.repository()
    installation = story.install(shop)
    story.write(lambda c: save_gpu_state(c, GpuState(paused_because="new cooling")))
    story.says(shop, "ann", "/finetune")
    story.passes(16)
    assert "The operator has paused the GPUs" in our_comments(shop)[0].body
    story.gpu_worker()
    story.app.until("a worker", lambda: story.app.ask(list_gpu_workers))
    story.write(lambda c: remove_budget(c, installation.installation_id))
    story.write(lambda c: save_gpu_state(c, GpuState()))
    assert story.run(1).state == "queued"
    story.says(shop, "abe", "/finetune status", issue=2)
    assert "No run can be started: this account has no GPU budget." in our_comments(shop)[1].body
    assert story.run(1).state == "queued"
    story.set_budget(installation, 500.0)
    assert story.ended(1).ending == "finished"
    story.at_rest()


def test_two_workers_two_repositories_and_a_budget_for_two(story: FinetuneApp) -> None:
    """No cross-talk, the third run is refused, and nobody else reads a word of it."""
    shop, office, quay = (story.repository(name) for name in ("shop", "office", "quay"))
    other = story.repository("stall", owner="other")
    acme = story.install(shop, office, quay, minutes=250.0)
    story.install(other)
    for number in (1, 2):
        (story.gates.folder / f"strength-{number}").write_text(str(WINS))
    with held(story, 1, "step-2"), held(story, 2, "step-2"):
        workers = [story.gpu_worker("one"), story.gpu_worker("two")]
        for repository in (shop, office, quay):
            story.says(repository, "ann", "/finetune")
        children = {story.reached(number, "step-2") for number in (1, 2)}
        assert len(children) == len({story.run(number).worker for number in (1, 2)}) == len(workers)
        assert story.ended(3).ending == "out_of_budget"
        assert first_line(quay).startswith("**Not started: the GPU budget does not cover it.")
        story.says(other, "ann", "/finetune")
    story.all_ended(6)  # two to judge, two refits, one that was refused, and that of the other
    for repository in (shop, office):
        own = [run for run in story.runs() if run.repository_id == repository.repository_id]
        judged, refitted = own
        assert_of(story, judged, repository)
        named = re.findall(r"\b[a-z]+_\w+", repr((refitted.result or {})["shortlist"]["functions"]))
        assert {name.split("_")[0] for name in named} >= {repository.name}
        assert_no_word_of(story, [repository], [shop, office, quay, other])
    assert_no_word_of(story, [other], [shop, office, quay, other])
    story.at_rest()
    usage = story.app.ask(lambda c: usage_of(c, acme.installation_id, month_of(story.clock.now())))
    assert 0 < usage.spent < 250.0


def assert_of(story: FinetuneApp, run: Run, repository: Repository) -> None:
    """What it read are that repository's own functions, and its result is of what it read."""
    content = story.app.parts().artifacts.read_pairs(run)
    pairs = decode_pairs(content, "pairs")
    assert {function.qualified_name.split("_")[0] for function in (*pairs.train, *pairs.holdout)} == {repository.name}
    assert (run.result or {})["pair_set_id"] == pairs.id == run.pair_set_id
    assert (run.result or {})["head_sha"] == repository.head()


def assert_no_word_of(story: FinetuneApp, readers: list[Repository], repositories: list[Repository]) -> None:
    """In all that is said on the readers' pages, no function and no name of any other repository."""
    for reader in readers:
        said = [words(run) for run in reader.check_runs] + [comment.body for comment in our_comments(reader)]
        of_others = [other for other in repositories if other is not reader]
        found = [
            word
            for other in of_others
            for word in (f"{other.name}_", *([other.full_name] if other.owner is not reader.owner else []))
            if any(word in text for text in said)
        ]
        assert found == []
