"""From a run that waits to one that is queued, or ended with a reason: the real handler, store and simulated GitHub."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.disk.artifacts import Artifacts
from bot.disk.clone_cache import Clones
from bot.handlers.finetuning import prepare_budget, prepare_pairs
from bot.handlers.finetuning.prepare import prepare
from bot.jobs.context import Parts
from bot.records import GpuState, GpuWorker, Run, Usage
from bot.runs.end_run import cancel
from bot.sandbox.pair_task import Gathered
from bot.sandbox.screening_task import ScreeningFailed, ScreenOrder
from bot.sandbox.supervisor import Nursery
from bot.store.budgets import (
    month_of,
    note_gpu_worker,
    remove_budget,
    save_gpu_state,
    set_budget,
    usage_of,
)
from bot.store.configs import save_repository_config
from bot.store.installations import set_installation_state
from bot.store.jobs import request_job
from bot.store.runs import RunRequest, claim_run, finish_run, open_run
from pipeline.finetuning.artifact_store import StoreError
from pipeline.finetuning.pair_file import decode_pairs
from pipeline.finetuning.recipe import PRESETS
from pipeline.reports.finetune_json import finetune_json
from tests.builders.broken import healthy
from tests.builders.command_desk import POLICY, SMALL, Desk, open_desk
from tests.builders.finetunings import result

GATHERED = Gathered("d" * 64, "labels", "", {320: 200}, 40, {320: 100})
# With 60 GPU minutes as the limit of a run and nothing known of a device, all of it and half as much are reserved, and
# ten to load the model and write the results.
LIMIT, RESERVED = 60.0, 100.0


class Announced:
    def __init__(self) -> None:
        self.runs: list[int] = []

    async def announce_runs(self, run_ids: list[int]) -> None:
        self.runs += run_ids


@dataclass
class FakeNursery:
    """Writes a file as a child does, or fails."""

    gathered: Gathered = GATHERED
    failures: list[ScreeningFailed] = field(default_factory=list)
    orders: list[ScreenOrder] = field(default_factory=list)

    async def gather(self, order: ScreenOrder) -> Gathered:
        self.orders.append(order)
        if self.failures:
            raise self.failures.pop(0)
        assert order.gather is not None
        (order.folder / order.gather.file_name).write_bytes(b"what a run reads")
        return self.gathered


class PrepareDesk:
    """A desk at which runs are prepared."""

    def __init__(self, desk: Desk, folder: Path) -> None:
        self.desk = desk
        self.artifacts = Artifacts(folder / "artifacts")
        self.nursery: Any = FakeNursery()
        self.announced = Announced()
        self.clones = Clones(
            folder / "clones", installation_quota_bytes=1 << 30, total_quota_bytes=1 << 30, free_bytes_kept=0
        )
        usual = desk.parts
        more = {
            "nursery": SimpleNamespace(gather=lambda order: self.nursery.gather(order)),
            "clones": self.clones,
            "artifacts": self.artifacts,
            "announcer": self.announced,
        }
        self.parts = cast(Parts, SimpleNamespace(**vars(usual) | more))

    def asked(self, **changed: Any) -> Run:
        """A run that waits, and its job."""
        desk = self.desk
        values: dict[str, Any] = {
            "purpose": "judge",
            "head_sha": desk.world.head,
            "base_model": SMALL,
            "recipe": {"seeds": [1], "epochs": 1},
            "label_recipe_id": "labels",
        }
        run, is_new = desk.write(
            lambda c: open_run(c, *desk.ids, RunRequest(**values | changed), desk.world.clock.now())
        )
        assert is_new
        self.asks(run)
        return cast(Run, run)

    def asks(self, run: Run) -> None:
        now, key, of_it = self.desk.world.clock.now(), str(run.run_id), {"run_id": run.run_id}
        self.desk.write(lambda c: request_job(c, *self.desk.ids, "prepare", now, key=key, arguments=of_it))

    def prepared(self, **changed: Any) -> Run:
        self.asked(**changed)
        self.does()
        return self.newest

    def does(self) -> Any:
        return self.desk.does("prepare", prepare)

    @property
    def newest(self) -> Run:
        return self.desk.runs()[0]

    @property
    def stored(self) -> list[str]:
        return [found.name for found in self.artifacts.contents() if found.kind == "pairs"]

    def usage(self) -> Usage:
        month = month_of(self.desk.world.clock.now())
        return cast(Usage, self.desk.read(lambda c: usage_of(c, self.desk.ids[0], month)))

    def is_told(self, kind: Any, run: Run) -> bool:
        return [job.arguments for job in self.desk.jobs(kind)] == [{"run_id": run.run_id}]


@contextlib.contextmanager
def open_prepare_desk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrepareDesk]:
    policy = replace(POLICY, finetune_minutes=LIMIT, pack_limit_bytes=1 << 24)
    with open_desk(folder, policy) as desk:
        opened = PrepareDesk(desk, folder)
        monkeypatch.setattr(Desk, "parts", property(lambda _: opened.parts))
        desk.gives_budget(200.0)
        yield opened


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrepareDesk]:
    """A repository with a budget of 200 minutes."""
    with open_prepare_desk(tmp_path, monkeypatch) as opened:
        yield opened


def ended(run: Run) -> tuple[str, str]:
    assert run.state == "ended"
    return run.ending, run.reason


# What goes well


def test_a_run_is_gathered_reserved_queued_told_and_announced(desk: PrepareDesk) -> None:
    run = desk.prepared()
    assert (run.state, run.pair_set_id, run.estimated_minutes) == ("queued", GATHERED.id, RESERVED)
    assert run.budget_month == month_of(desk.desk.world.clock.now())
    assert desk.usage() == Usage(0.0, RESERVED)
    assert desk.artifacts.read_pairs(run) == b"what a run reads"
    assert desk.is_told("reply", run)
    assert desk.desk.jobs("result") == []
    assert desk.announced.runs == [run.run_id]


def test_the_child_is_told_the_pin_and_gets_a_token_for_this_repository_alone(desk: PrepareDesk) -> None:
    pinned = "c" * 40
    desk.asked(head_sha=pinned)
    desk.desk.world.shop.rename("store")
    desk.does()
    (order,) = desk.nursery.orders
    assert (order.gather.kind, order.gather.head_sha) == ("pairs", pinned)
    assert order.url.endswith("/acme/store.git")
    token = desk.desk.world.github.tokens[order.token]
    assert token.permissions == {"contents": "read", "metadata": "read"}
    assert token.repository_ids == frozenset({desk.desk.ids[1]})
    assert order.seen_at == int(desk.newest.made_at.timestamp())


def test_no_window_ends_later_than_the_screening_saw_the_same_head(desk: PrepareDesk) -> None:
    screening_id = desk.desk.is_measured()
    seen_at = int(desk.desk.world.clock.now().timestamp())
    desk.desk.world.clock.advance(timedelta(days=2))
    desk.prepared(screening_id=screening_id)
    assert desk.nursery.orders[0].seen_at == seen_at


def test_nothing_stays_beside_the_clone(desk: PrepareDesk) -> None:
    desk.prepared()
    assert not (desk.clones.folder(*desk.desk.ids) / "pairs.parquet").exists()


def test_a_device_that_is_known_makes_the_reservation_smaller(desk: PrepareDesk) -> None:
    now = desk.desk.world.clock.now()
    desk.desk.write(lambda c: note_gpu_worker(c, GpuWorker("box", "NVIDIA H100", None, now)))
    assert desk.prepared().estimated_minutes < RESERVED


def is_finished(desk: PrepareDesk, **changed: Any) -> Run:
    """A run that was prepared, done by a GPU worker, and won."""
    run, now = desk.prepared(), desk.desk.world.clock.now()
    found = finetune_json(result(strength=10.0)) | changed
    assert found["outcome"] == "WIN"

    async def finish(connection: Any) -> None:
        held = await claim_run(connection, "box", now, now, lease_s=60)
        assert held is not None
        await finish_run(connection, held, "finished", "", now, spent_minutes=5.0, result=found)

    desk.desk.write(finish)
    assert desk.newest.run_id == run.run_id
    return desk.newest


def test_earlier_runs_of_the_same_model_tell_how_long_the_next_one_takes(desk: PrepareDesk) -> None:
    is_finished(desk, tokens=1_000_000, training_seconds=1_000.0)
    run = desk.prepared(head_sha="c" * 40)
    # 200 and 100 prompts of 128 tokens, one seed, one epoch. Trained: 2 x 25,600, and 38,400 once more. Scored: eight
    # validations of 25,600, twice 12,800, embeddings 25,600, the head 38,400. 89,600 + 294,400 / 2 = 236,800 tokens of
    # a thousandth of a second are 3.95 minutes, with the margin 4.93, rounded up, beside ten to load the model.
    assert run.estimated_minutes == 15.0


@pytest.mark.parametrize(("purpose", "window_s"), [("refit", 60_000_000), ("score", 0)])
def test_an_adapter_that_won_gets_a_ranking_set_of_as_long_a_window(
    desk: PrepareDesk, purpose: str, window_s: int
) -> None:
    winner = is_finished(desk)
    run = desk.prepared(purpose=purpose, judged_run_id=winner.run_id, head_sha="c" * 40)
    order = desk.nursery.orders[-1]
    assert (run.state, order.gather.kind, order.gather.window_s) == ("queued", "ranking", window_s)


# What ends a run


def test_too_little_to_train_on_is_refused_before_anything_is_reserved(desk: PrepareDesk) -> None:
    for gathered, said in (
        (replace(GATHERED, train={320: 99}), "99 functions to train on, and at least 100"),
        (replace(GATHERED, positives=9), "9 of 200 functions to train on were fixed, and at least 10"),
    ):
        desk.nursery.gathered = gathered
        run = desk.prepared()
        assert ended(run) == ("refused", f"there is too little to train on: {said} are needed")
        assert desk.usage() == Usage(0.0, 0.0)
        assert desk.announced.runs == []
    assert [job.arguments["run_id"] for job in desk.desk.jobs("result")] == [1, 2]


def test_what_the_budget_does_not_hold_any_more_ends_with_when_it_renews(desk: PrepareDesk) -> None:
    desk.prepared()
    assert desk.prepared(head_sha="c" * 40).state == "queued"
    run = desk.prepared(head_sha="e" * 40)
    assert ended(run) == (
        "out_of_budget",
        "it may take up to 100 GPU minutes, and 0 of the 200 of this month are left; the budget renews on "
        "1 April 2026 (UTC)",
    )
    assert desk.usage() == Usage(0.0, 2 * RESERVED)
    desk.desk.world.clock.advance(timedelta(days=31))
    assert desk.prepared(head_sha="f" * 40).state == "queued"


def test_the_limit_of_the_whole_server_holds_beside_the_budget(desk: PrepareDesk) -> None:
    desk.desk.write(lambda c: save_gpu_state(c, GpuState(ceiling_minutes=110.0)))
    assert desk.prepared().state == "queued"
    ending, reason = ended(desk.prepared(head_sha="c" * 40))
    assert (ending, "this server has 10 left this month" in reason) == ("out_of_budget", True)


def test_without_a_budget_the_run_is_refused(desk: PrepareDesk) -> None:
    desk.desk.write(lambda c: remove_budget(c, desk.desk.ids[0]))
    ending, reason = ended(desk.prepared())
    assert (ending, "no budget" in reason or "a budget" in reason) == ("refused", True)
    assert desk.nursery.orders == []


def test_a_budget_that_goes_while_pairs_are_gathered_queues_nothing(desk: PrepareDesk) -> None:
    class Takes(FakeNursery):
        async def gather(self, order: ScreenOrder) -> Gathered:
            async with desk.desk.database.write() as connection:
                await remove_budget(connection, desk.desk.ids[0])
            return await super().gather(order)

    desk.nursery = Takes()
    assert ended(desk.prepared())[0] == "refused"
    assert desk.announced.runs == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"finetune_enabled": False}, "switched off for this repository"),
        ({"finetune_base_model": list(PRESETS)[1]}, "may not be used here"),
    ],
)
def test_a_configuration_that_forbids_it_meanwhile_is_heeded(
    desk: PrepareDesk, config: dict[str, Any], said: str
) -> None:
    stored = {"head_sha": "", "found": True, "config": config, "problems": []}
    desk.desk.write(lambda c: save_repository_config(c, *desk.desk.ids, stored))
    ending, reason = ended(desk.prepared())
    assert (ending, said in reason) == ("refused", True)


def test_the_repositorys_own_limit_of_minutes_makes_the_reservation_smaller(desk: PrepareDesk) -> None:
    stored = {"head_sha": "", "found": True, "config": {"finetune_max_minutes": 20}, "problems": []}
    desk.desk.write(lambda c: save_repository_config(c, *desk.desk.ids, stored))
    assert desk.prepared().estimated_minutes == 40.0


@pytest.mark.parametrize("state", ["suspended", "refused"])
def test_an_installation_that_is_not_served_starts_nothing(desk: PrepareDesk, state: Any) -> None:
    desk.desk.write(lambda c: set_installation_state(c, desk.desk.ids[0], state))
    assert ended(desk.prepared())[0] == "cancelled"
    assert desk.nursery.orders == []


def test_a_command_that_was_deleted_before_its_turn_came_starts_nothing(desk: PrepareDesk) -> None:
    shop = desk.desk.world.shop
    shop.roles["ann"] = "maintain"
    comment = shop.comment("ann", "/finetune")
    run = desk.asked(asked_by=comment.user.account_id, comment_id=comment.comment_id)
    del desk.desk.world.github.comments[comment.comment_id]
    desk.does()
    assert ended(desk.newest)[0] == "cancelled"
    assert desk.is_told("result", run)
    assert desk.nursery.orders == []


def test_a_role_that_was_lost_meanwhile_starts_nothing_and_one_that_is_kept_does(desk: PrepareDesk) -> None:
    shop = desk.desk.world.shop
    shop.roles["ann"] = "maintain"
    comment = shop.comment("ann", "/finetune")
    asked = {"asked_by": comment.user.account_id, "comment_id": comment.comment_id}
    assert desk.prepared(**asked).state == "queued"
    shop.roles["ann"] = "read"
    assert ended(desk.prepared(head_sha="c" * 40, **asked))[0] == "cancelled"


def test_an_archived_repository_is_refused(desk: PrepareDesk) -> None:
    desk.desk.world.shop.archive()
    assert ended(desk.prepared()) == ("refused", "the repository is archived")


def test_an_adapter_whose_judgement_is_gone_is_not_trained_once_more(desk: PrepareDesk) -> None:
    ending, reason = ended(desk.prepared(purpose="refit", judged_run_id=77))
    assert (ending, "not known any more" in reason) == ("refused", True)


# What fails


@pytest.mark.parametrize(
    ("failure", "ending"),
    [
        (ScreeningFailed("moved", "commit cccccccccccc is not part of the default branch any more"), "refused"),
        (ScreeningFailed("too_large", "more than a limit"), "refused"),
        (ScreeningFailed("unreadable", "no commit yet"), "refused"),
        (ScreeningFailed("memory", "ran out of memory"), "crashed"),
        (ScreeningFailed("crash", "stopped on an error"), "crashed"),
    ],
)
def test_a_history_that_gives_nothing_ends_the_run_with_what_is_wrong(
    desk: PrepareDesk, failure: ScreeningFailed, ending: str
) -> None:
    desk.nursery.failures = [failure]
    run = desk.prepared()
    assert run.reason.endswith(failure.sentence)
    assert (ended(run)[0], desk.stored) == (ending, [])
    assert desk.is_told("result", run)


@pytest.mark.parametrize("kind", ["disk_full", "unavailable", "interrupted", "refused"])
def test_what_may_pass_is_tried_again(desk: PrepareDesk, kind: Any) -> None:
    desk.nursery.failures = [ScreeningFailed(kind, "not now")]
    assert desk.prepared().state == "waiting"
    desk.desk.world.clock.advance(timedelta(hours=1))
    desk.does()
    assert desk.newest.state == "queued"


def test_a_store_that_is_away_is_waited_for(desk: PrepareDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*values: object) -> None:
        raise StoreError("away")

    with monkeypatch.context() as patched:
        patched.setattr(desk.artifacts, "put_pairs", away)
        assert desk.prepared().state == "waiting"
    desk.desk.world.clock.advance(timedelta(hours=1))
    desk.does()
    assert desk.newest.state == "queued"


def test_a_link_that_a_child_left_is_not_followed(desk: PrepareDesk, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the App's key")

    class TakenOver(FakeNursery):
        async def gather(self, order: ScreenOrder) -> Gathered:
            (order.folder / "pairs.parquet").symlink_to(tmp_path / "secret")
            return GATHERED

    desk.nursery = TakenOver()
    assert (ended(desk.prepared())[0], desk.stored) == ("crashed", [])


def test_a_file_past_the_limit_is_not_taken(desk: PrepareDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_pairs, "MOST_FILE_BYTES", 5)
    assert (ended(desk.prepared())[0], desk.stored) == ("refused", [])


def test_a_preparation_that_was_killed_is_done_again_and_reserves_once(desk: PrepareDesk) -> None:
    class Killed(BaseException):
        pass

    class Dies(Announced):
        async def announce_runs(self, run_ids: list[int]) -> None:
            raise Killed

    run = desk.asked()
    desk.artifacts.put_pairs(*desk.desk.ids, b"what a run reads", GATHERED.id)  # by one who was killed after that
    vars(desk.parts)["announcer"] = Dies()
    with pytest.raises(Killed):
        desk.does()
    assert desk.newest.state == "queued"
    vars(desk.parts)["announcer"] = desk.announced
    desk.asks(run)
    desk.does()
    assert desk.usage() == Usage(0.0, RESERVED)
    assert len(desk.nursery.orders) == 1


def test_a_run_that_is_cancelled_while_it_is_gathered_is_not_queued(desk: PrepareDesk) -> None:
    run = desk.asked()

    class Cancels(FakeNursery):
        async def gather(self, order: ScreenOrder) -> Gathered:
            async with desk.desk.database.write() as connection:
                assert await cancel(connection, run, desk.desk.world.clock.now(), "by a command")
            return await super().gather(order)

    desk.nursery = Cancels()
    desk.does()
    assert ended(desk.newest) == ("cancelled", "by a command")
    assert (desk.announced.runs, desk.usage()) == ([], Usage(0.0, 0.0))


# With a real child


def test_a_real_child_gathers_the_pinned_commit(
    desk: PrepareDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_budget, "FEWEST_TRAINED_ON", 2)
    monkeypatch.setattr(prepare_budget, "FEWEST_POSITIVES", 1)
    shop = desk.desk.world.shop
    history = healthy()
    shutil.rmtree(shop.git_dir)
    history.write(shop.git_dir)
    pinned = desk.desk.world.head
    desk.nursery = nursery = Nursery()
    desk.desk.runner.run(nursery.start())
    try:
        vars(desk.parts)["policy"] = replace(desk.parts.policy, web_url=desk.desk.world.github.url)
        run = desk.asked()
        history.commit("fix: later", {"m0.py": "def f(x):\n    y = x\n    return y\n"})
        shutil.rmtree(shop.git_dir)
        history.write(shop.git_dir)
        assert desk.desk.world.head != pinned
        desk.does()
    finally:
        desk.desk.runner.run(nursery.close())
    assert (desk.newest.state, desk.newest.reason) == ("queued", "")
    pairs = decode_pairs(desk.artifacts.get_pairs(desk.newest))
    assert (pairs.head_sha, pairs.id, run.head_sha) == (pinned, desk.newest.pair_set_id, pinned)


def test_budgets_set_smaller_than_what_is_reserved_give_nothing_more(desk: PrepareDesk) -> None:
    desk.prepared()
    now = desk.desk.world.clock.now()
    desk.desk.write(lambda c: set_budget(c, desk.desk.ids[0], 105.0, 1, now))
    ending, reason = ended(desk.prepared(head_sha="c" * 40))
    assert (ending, "5 of the 105 of this month are left" in reason) == ("out_of_budget", True)
