"""A waiting run is queued, or ended with a reason: the real handler and store, and a simulated GitHub."""

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
from bot.disk.clone_cache import CloneCache
from bot.handlers.finetuning import prepare_budget, prepare_pairs
from bot.handlers.finetuning.prepare import prepare
from bot.jobs.context import Parts
from bot.records import GpuState, GpuWorker, Run, Usage
from bot.runs.end_run import cancel
from bot.sandbox.pair_task import PairResult
from bot.sandbox.screening_task import ScreeningFailed, ScreeningTask
from bot.sandbox.supervisor import Supervisor
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
from tests.builders.command_harness import POLICY, SMALL, Harness, open_harness
from tests.builders.finetunings import result

GATHERED = PairResult("d" * 64, "labels", "", {320: 200}, 40, {320: 100})
# With 60 GPU minutes as the limit of a run and nothing known of a device, all of it and half as much are reserved, and
# ten to load the model and write the results.
LIMIT, RESERVED = 60.0, 100.0


class Announced:
    def __init__(self) -> None:
        self.runs: list[int] = []

    async def announce_runs(self, run_ids: list[int]) -> None:
        self.runs += run_ids


@dataclass
class FakeSupervisor:
    """Writes a file as a child does, or fails."""

    gathered: PairResult = GATHERED
    failures: list[ScreeningFailed] = field(default_factory=list)
    orders: list[ScreeningTask] = field(default_factory=list)

    async def prepare_pairs(self, order: ScreeningTask) -> PairResult:
        self.orders.append(order)
        if self.failures:
            raise self.failures.pop(0)
        assert order.pair_task is not None
        (order.folder / order.pair_task.file_name).write_bytes(b"what a run reads")
        return self.gathered


class PrepareHarness:
    """A harness that prepares runs."""

    def __init__(self, harness: Harness, folder: Path) -> None:
        self.harness = harness
        self.artifacts = Artifacts(folder / "artifacts")
        self.supervisor: Any = FakeSupervisor()
        self.announced = Announced()
        self.clones = CloneCache(
            folder / "clones", installation_quota_bytes=1 << 30, total_quota_bytes=1 << 30, free_bytes_kept=0
        )
        usual = harness.parts
        more = {
            "supervisor": SimpleNamespace(prepare_pairs=lambda order: self.supervisor.prepare_pairs(order)),
            "clones": self.clones,
            "artifacts": self.artifacts,
            "announcer": self.announced,
        }
        self.parts = cast(Parts, SimpleNamespace(**vars(usual) | more))

    def asked(self, **changed: Any) -> Run:
        """A run that waits, and its job."""
        harness = self.harness
        values: dict[str, Any] = {
            "purpose": "judge",
            "head_sha": harness.world.head,
            "base_model": SMALL,
            "recipe": {"seeds": [1], "epochs": 1},
            "label_recipe_id": "labels",
        }
        run, is_new = harness.write(
            lambda c: open_run(c, *harness.ids, RunRequest(**values | changed), harness.world.clock.now())
        )
        assert is_new
        self.asks(run)
        return cast(Run, run)

    def asks(self, run: Run) -> None:
        now, key, of_it = self.harness.world.clock.now(), str(run.run_id), {"run_id": run.run_id}
        self.harness.write(lambda c: request_job(c, *self.harness.ids, "prepare", now, key=key, arguments=of_it))

    def prepared(self, **changed: Any) -> Run:
        self.asked(**changed)
        self.does()
        return self.newest

    def does(self) -> Any:
        return self.harness.does("prepare", prepare)

    @property
    def newest(self) -> Run:
        return self.harness.runs()[0]

    @property
    def stored(self) -> list[str]:
        return [found.name for found in self.artifacts.contents() if found.kind == "pairs"]

    def usage(self) -> Usage:
        month = month_of(self.harness.world.clock.now())
        return cast(Usage, self.harness.read(lambda c: usage_of(c, self.harness.ids[0], month)))

    def is_told(self, kind: Any, run: Run) -> bool:
        return [job.arguments for job in self.harness.jobs(kind)] == [{"run_id": run.run_id}]


@contextlib.contextmanager
def open_prepare_harness(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrepareHarness]:
    policy = replace(POLICY, finetune_minutes=LIMIT, pack_limit_bytes=1 << 24)
    with open_harness(folder, policy) as harness:
        opened = PrepareHarness(harness, folder)
        monkeypatch.setattr(Harness, "parts", property(lambda _: opened.parts))
        harness.gives_budget(200.0)
        yield opened


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrepareHarness]:
    """A repository with a budget of 200 minutes."""
    with open_prepare_harness(tmp_path, monkeypatch) as opened:
        yield opened


def ended(run: Run) -> tuple[str, str]:
    assert run.state == "ended"
    return run.ending or "", run.reason or ""


# What goes well


def test_a_run_is_gathered_reserved_queued_reported_and_announced(harness: PrepareHarness) -> None:
    run = harness.prepared()
    assert (run.state, run.pair_set_id, run.estimated_minutes) == ("queued", GATHERED.id, RESERVED)
    assert run.budget_month == month_of(harness.harness.world.clock.now())
    assert harness.usage() == Usage(0.0, RESERVED)
    assert harness.artifacts.read_pairs(run) == b"what a run reads"
    assert harness.is_told("reply", run)
    assert harness.harness.jobs("result") == []
    assert harness.announced.runs == [run.run_id]


def test_the_child_gets_the_pinned_commit_and_a_token_for_this_repository_alone(harness: PrepareHarness) -> None:
    pinned = "c" * 40
    harness.asked(head_sha=pinned)
    harness.harness.world.shop.rename("store")
    harness.does()
    (order,) = harness.supervisor.orders
    assert (order.pair_task.kind, order.pair_task.head_sha) == ("pairs", pinned)
    assert order.url.endswith("/acme/store.git")
    token = harness.harness.world.github.tokens[order.token]
    assert token.permissions == {"contents": "read", "metadata": "read"}
    assert token.repository_ids == frozenset({harness.harness.ids[1]})
    assert order.seen_at == int(harness.newest.made_at.timestamp())


def test_no_window_ends_later_than_the_screening_saw_the_same_head(harness: PrepareHarness) -> None:
    screening_id = harness.harness.is_measured()
    seen_at = int(harness.harness.world.clock.now().timestamp())
    harness.harness.world.clock.advance(timedelta(days=2))
    harness.prepared(screening_id=screening_id)
    assert harness.supervisor.orders[0].seen_at == seen_at


def test_nothing_stays_beside_the_clone(harness: PrepareHarness) -> None:
    harness.prepared()
    assert not (harness.clones.folder(*harness.harness.ids) / "pairs.parquet").exists()


def test_a_known_device_reduces_the_reservation(harness: PrepareHarness) -> None:
    now = harness.harness.world.clock.now()
    harness.harness.write(lambda c: note_gpu_worker(c, GpuWorker("box", "NVIDIA H100", None, now)))
    assert harness.prepared().estimated_minutes < RESERVED


def is_finished(harness: PrepareHarness, **changed: Any) -> Run:
    """A run that was prepared, done by a GPU worker, and won."""
    run, now = harness.prepared(), harness.harness.world.clock.now()
    found = finetune_json(result(strength=10.0)) | changed
    assert found["outcome"] == "WIN"

    async def finish(connection: Any) -> None:
        held = await claim_run(connection, "box", now, now, lease_s=60)
        assert held is not None
        await finish_run(connection, held, "finished", "", now, spent_minutes=5.0, result=found)

    harness.harness.write(finish)
    assert harness.newest.run_id == run.run_id
    return harness.newest


def test_the_estimate_uses_earlier_runs_of_the_same_model(harness: PrepareHarness) -> None:
    is_finished(harness, tokens=1_000_000, training_seconds=1_000.0)
    run = harness.prepared(head_sha="c" * 40)
    # 200 and 100 prompts of 128 tokens, one seed, one epoch. Trained: 2 x 25,600, and 38,400 once more. Scored: eight
    # validations of 25,600, twice 12,800, embeddings 25,600, the head 38,400. 89,600 + 294,400 / 2 = 236,800 tokens of
    # a thousandth of a second are 3.95 minutes, with the margin 4.93, rounded up, beside ten to load the model.
    assert run.estimated_minutes == 15.0


@pytest.mark.parametrize(("purpose", "window_s"), [("refit", 60_000_000), ("score", 0)])
def test_a_refit_gets_a_ranking_set_with_a_window_of_the_same_length(
    harness: PrepareHarness, purpose: str, window_s: int
) -> None:
    winner = is_finished(harness)
    run = harness.prepared(purpose=purpose, judged_run_id=winner.run_id, head_sha="c" * 40)
    order = harness.supervisor.orders[-1]
    assert (run.state, order.pair_task.kind, order.pair_task.window_s) == ("queued", "ranking", window_s)


# What ends a run


def test_too_little_to_train_on_is_refused_before_anything_is_reserved(harness: PrepareHarness) -> None:
    for gathered, said in (
        (replace(GATHERED, train={320: 99}), "99 functions, and at least 100"),
        (replace(GATHERED, positives=9), "9 of 200 functions had a fix, and at least 10"),
    ):
        harness.supervisor.gathered = gathered
        run = harness.prepared()
        assert ended(run) == ("refused", f"there is too little to train on: {said} are needed")
        assert harness.usage() == Usage(0.0, 0.0)
        assert harness.announced.runs == []
    assert [job.arguments["run_id"] for job in harness.harness.jobs("result")] == [1, 2]


def test_a_run_over_budget_ends_with_the_date_of_renewal(harness: PrepareHarness) -> None:
    harness.prepared()
    assert harness.prepared(head_sha="c" * 40).state == "queued"
    run = harness.prepared(head_sha="e" * 40)
    assert ended(run) == (
        "out_of_budget",
        "it may take up to 100 GPU minutes, and 0 of this month’s 200 are left; the budget renews on "
        "1 April 2026 (UTC)",
    )
    assert harness.usage() == Usage(0.0, 2 * RESERVED)
    harness.harness.world.clock.advance(timedelta(days=31))
    assert harness.prepared(head_sha="f" * 40).state == "queued"


def test_the_servers_ceiling_applies_beside_the_budget(harness: PrepareHarness) -> None:
    harness.harness.write(lambda c: save_gpu_state(c, GpuState(ceiling_minutes=110.0)))
    assert harness.prepared().state == "queued"
    ending, reason = ended(harness.prepared(head_sha="c" * 40))
    assert (ending, "this server has 10 left this month" in reason) == ("out_of_budget", True)


def test_without_a_budget_the_run_is_refused(harness: PrepareHarness) -> None:
    harness.harness.write(lambda c: remove_budget(c, harness.harness.ids[0]))
    ending, reason = ended(harness.prepared())
    assert (ending, "no GPU budget" in reason) == ("refused", True)
    assert harness.supervisor.orders == []


def test_a_budget_removed_during_gathering_ends_the_run(harness: PrepareHarness) -> None:
    class Takes(FakeSupervisor):
        async def prepare_pairs(self, order: ScreeningTask) -> PairResult:
            async with harness.harness.database.write() as connection:
                await remove_budget(connection, harness.harness.ids[0])
            return await super().prepare_pairs(order)

    harness.supervisor = Takes()
    assert ended(harness.prepared())[0] == "refused"
    assert harness.announced.runs == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"finetune_enabled": False}, "disabled for this repository"),
        ({"finetune_base_model": list(PRESETS)[1]}, "no longer allowed here"),
    ],
)
def test_a_configuration_changed_meanwhile_is_heeded(
    harness: PrepareHarness, config: dict[str, Any], said: str
) -> None:
    stored = {"head_sha": "", "found": True, "config": config, "problems": []}
    harness.harness.write(lambda c: save_repository_config(c, *harness.harness.ids, stored))
    ending, reason = ended(harness.prepared())
    assert (ending, said in reason) == ("refused", True)


def test_the_repositorys_limit_of_minutes_reduces_the_reservation(harness: PrepareHarness) -> None:
    stored = {"head_sha": "", "found": True, "config": {"finetune_max_minutes": 20}, "problems": []}
    harness.harness.write(lambda c: save_repository_config(c, *harness.harness.ids, stored))
    assert harness.prepared().estimated_minutes == 40.0


@pytest.mark.parametrize("state", ["suspended", "refused"])
def test_an_inactive_installation_starts_no_run(harness: PrepareHarness, state: Any) -> None:
    harness.harness.write(lambda c: set_installation_state(c, harness.harness.ids[0], state))
    assert ended(harness.prepared())[0] == "cancelled"
    assert harness.supervisor.orders == []


def test_a_command_deleted_meanwhile_starts_no_run(harness: PrepareHarness) -> None:
    shop = harness.harness.world.shop
    shop.roles["ann"] = "maintain"
    comment = shop.comment("ann", "/finetune")
    run = harness.asked(asked_by=comment.user.account_id, comment_id=comment.comment_id)
    del harness.harness.world.github.comments[comment.comment_id]
    harness.does()
    assert ended(harness.newest)[0] == "cancelled"
    assert harness.is_told("result", run)
    assert harness.supervisor.orders == []


def test_a_lost_role_starts_no_run_and_a_kept_one_does(harness: PrepareHarness) -> None:
    shop = harness.harness.world.shop
    shop.roles["ann"] = "maintain"
    comment = shop.comment("ann", "/finetune")
    asked = {"asked_by": comment.user.account_id, "comment_id": comment.comment_id}
    assert harness.prepared(**asked).state == "queued"
    shop.roles["ann"] = "read"
    assert ended(harness.prepared(head_sha="c" * 40, **asked))[0] == "cancelled"


def test_an_archived_repository_is_refused(harness: PrepareHarness) -> None:
    harness.harness.world.shop.archive()
    assert ended(harness.prepared()) == ("refused", "the repository is archived")


def test_an_adapter_without_its_judged_run_is_not_refitted(harness: PrepareHarness) -> None:
    ending, reason = ended(harness.prepared(purpose="refit", judged_run_id=77))
    assert (ending, "no longer known" in reason) == ("refused", True)


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
def test_an_unusable_history_ends_the_run_with_the_reason(
    harness: PrepareHarness, failure: ScreeningFailed, ending: str
) -> None:
    harness.supervisor.failures = [failure]
    run = harness.prepared()
    assert (run.reason or "").endswith(failure.sentence)
    assert (ended(run)[0], harness.stored) == (ending, [])
    assert harness.is_told("result", run)


@pytest.mark.parametrize("kind", ["disk_full", "unavailable", "interrupted", "killed", "refused"])
def test_a_transient_failure_is_retried(harness: PrepareHarness, kind: Any) -> None:
    harness.supervisor.failures = [ScreeningFailed(kind, "not now")]
    assert harness.prepared().state == "waiting"
    harness.harness.world.clock.advance(timedelta(hours=1))
    harness.does()
    assert harness.newest.state == "queued"


def test_an_unavailable_store_is_waited_for(harness: PrepareHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*values: object) -> None:
        raise StoreError("away")

    with monkeypatch.context() as patched:
        patched.setattr(harness.artifacts, "put_pairs", away)
        assert harness.prepared().state == "waiting"
    harness.harness.world.clock.advance(timedelta(hours=1))
    harness.does()
    assert harness.newest.state == "queued"


def test_a_link_that_a_child_left_is_not_followed(harness: PrepareHarness, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the App's key")

    class TakenOver(FakeSupervisor):
        async def prepare_pairs(self, order: ScreeningTask) -> PairResult:
            (order.folder / "pairs.parquet").symlink_to(tmp_path / "secret")
            return GATHERED

    harness.supervisor = TakenOver()
    assert (ended(harness.prepared())[0], harness.stored) == ("crashed", [])


def test_a_file_over_the_limit_is_refused(harness: PrepareHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_pairs, "MAX_PAIR_FILE_BYTES", 5)
    assert (ended(harness.prepared())[0], harness.stored) == ("refused", [])


def test_a_killed_preparation_is_repeated_and_reserves_once(harness: PrepareHarness) -> None:
    class Killed(BaseException):
        pass

    class Dies(Announced):
        async def announce_runs(self, run_ids: list[int]) -> None:
            raise Killed

    run = harness.asked()
    harness.artifacts.put_pairs(
        *harness.harness.ids, b"what a run reads", GATHERED.id
    )  # by one who was killed after that
    vars(harness.parts)["announcer"] = Dies()
    with pytest.raises(Killed):
        harness.does()
    assert harness.newest.state == "queued"
    vars(harness.parts)["announcer"] = harness.announced
    harness.asks(run)
    harness.does()
    assert harness.usage() == Usage(0.0, RESERVED)
    assert len(harness.supervisor.orders) == 1


def test_a_run_cancelled_during_gathering_is_not_queued(harness: PrepareHarness) -> None:
    run = harness.asked()

    class Cancels(FakeSupervisor):
        async def prepare_pairs(self, order: ScreeningTask) -> PairResult:
            async with harness.harness.database.write() as connection:
                assert await cancel(connection, run, harness.harness.world.clock.now(), "by a command")
            return await super().prepare_pairs(order)

    harness.supervisor = Cancels()
    harness.does()
    assert ended(harness.newest) == ("cancelled", "by a command")
    assert (harness.announced.runs, harness.usage()) == ([], Usage(0.0, 0.0))


# With a real child


def test_a_real_child_gathers_the_pinned_commit(
    harness: PrepareHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_budget, "MIN_TRAINED_ON", 2)
    monkeypatch.setattr(prepare_budget, "MIN_POSITIVES", 1)
    shop = harness.harness.world.shop
    history = healthy()
    shutil.rmtree(shop.git_dir)
    history.write(shop.git_dir)
    pinned = harness.harness.world.head
    harness.supervisor = supervisor = Supervisor()
    harness.harness.runner.run(supervisor.start())
    try:
        vars(harness.parts)["policy"] = replace(harness.parts.policy, web_url=harness.harness.world.github.url)
        run = harness.asked()
        history.commit("fix: later", {"m0.py": "def f(x):\n    y = x\n    return y\n"})
        shutil.rmtree(shop.git_dir)
        history.write(shop.git_dir)
        assert harness.harness.world.head != pinned
        harness.does()
    finally:
        harness.harness.runner.run(supervisor.close())
    assert (harness.newest.state, harness.newest.reason) == ("queued", None)
    pairs = decode_pairs(harness.artifacts.get_pairs(harness.newest))
    assert (pairs.head_sha, pairs.id, run.head_sha) == (pinned, harness.newest.pair_set_id, pinned)


def test_a_budget_below_the_reserved_minutes_allows_no_further_run(harness: PrepareHarness) -> None:
    harness.prepared()
    now = harness.harness.world.clock.now()
    harness.harness.write(lambda c: set_budget(c, harness.harness.ids[0], 105.0, 1, now))
    ending, reason = ended(harness.prepared(head_sha="c" * 40))
    assert (ending, "5 of this month’s 105 are left" in reason) == ("out_of_budget", True)
