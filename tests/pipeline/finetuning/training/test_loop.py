from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from pipeline.finetuning.artifact_store import StoreError, open_store
from pipeline.finetuning.events import (
    CheckpointSaved,
    MicroBatchHalved,
    Resumed,
    TrainingEvent,
    TrainingStep,
    Validated,
)
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.training.checkpoints import Checkpoints
from pipeline.finetuning.training.loop import Stopped, Trained, train
from pipeline.finetuning.training.pad import pad
from pipeline.records import AssayError
from tests.builders.bag_ranker import BagRanker, planted

pytestmark = pytest.mark.finetune

RECIPE = FinetuneRecipe(
    batch_size=16, epochs=3, learning_rate=1e-2, head_learning_rate=1e-2, micro_batch_tokens=400, validations=4
)
SEQUENCES, TARGETS = planted(128, share=0.4)
STEPS = 24


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(ranker: BagRanker | None = None, recipe: FinetuneRecipe = RECIPE, **more: Any) -> Trained:
    arguments: dict[str, Any] = {"seed": 1, "device": "cpu", "clock": count().__next__} | more
    return train(ranker or BagRanker(), SEQUENCES, TARGETS, recipe, **arguments)


def rho(ranker: BagRanker) -> float:
    assert not ranker.training
    sequences, targets = planted(60, seed=9)
    with torch.inference_mode():
        return float(spearmanr(ranker(*pad(sequences, ranker.pad_id)).numpy(), targets).statistic)


def assert_same(one: Trained, other: Trained) -> None:
    assert one.state.keys() == other.state.keys()
    assert all(torch.equal(one.state[name], other.state[name]) for name in one.state)
    assert [replace(point, seconds=0) for point in one.curve] == [replace(point, seconds=0) for point in other.curve]
    assert (one.best_step, one.best_rho, one.tokens) == (other.best_step, other.best_rho, other.tokens)


def test_a_planted_signal_is_found() -> None:
    ranker = BagRanker()
    trained = run(ranker, validate=rho)
    assert (trained.ended, trained.steps_done, trained.planned) == ("completed", STEPS, STEPS)
    assert trained.curve[-1].loss < trained.curve[0].loss - 0.1
    assert trained.best_rho is not None
    assert trained.best_rho > 0.5
    assert trained.padding_share < 0.1
    assert rho(ranker.eval()) == trained.best_rho  # the ranker is left as it was at the best step


def test_a_seed_determines_every_bit() -> None:
    one, again, other = run(seed=1), run(seed=1), run(seed=2)
    assert_same(one, again)
    assert not torch.equal(one.state["head.weight"], other.state["head.weight"])


def test_validation_does_not_affect_training() -> None:
    def draws(ranker: BagRanker) -> float:
        torch.rand(7)
        return 0.0

    watched = run(validate=draws)
    assert [point.loss for point in watched.curve] == [point.loss for point in run().curve]


class Killed(BaseException):
    """As the process would be by kill -9: nothing that training does can stop it."""


def killed_at(step: int) -> Callable[[TrainingEvent], None]:
    def watch(event: TrainingEvent) -> None:
        if isinstance(event, TrainingStep) and event.step == step:
            raise Killed

    return watch


def killed_after_a_checkpoint(step: int) -> Callable[[TrainingEvent], None]:
    def watch(event: TrainingEvent) -> None:
        if isinstance(event, CheckpointSaved) and event.step >= step:
            raise Killed

    return watch


@pytest.mark.parametrize(
    "kill",
    [killed_at(3), killed_at(10), killed_after_a_checkpoint(10), killed_at(18), killed_at(STEPS)],
    ids=["before the first", "right before one", "right after one", "between, after a validation", "at the end"],
)
def test_a_run_killed_at_any_moment_ends_with_the_same_bits(
    kill: Callable[[TrainingEvent], None], tmp_path: Path
) -> None:
    whole = run(validate=rho)
    with pytest.raises(Killed):
        run(validate=rho, checkpoints=Checkpoints(open_store(tmp_path / "a"), "fit", every_steps=5), watch=kill)
    (tmp_path / "a").mkdir(exist_ok=True)
    shutil.move(tmp_path / "a", tmp_path / "b")  # and it goes on elsewhere
    resumed = run(validate=rho, checkpoints=Checkpoints(open_store(tmp_path / "b"), "fit", every_steps=5))
    assert_same(resumed, whole)


def test_a_run_killed_in_the_middle_of_a_step_ends_with_the_same_bits(tmp_path: Path) -> None:
    calls = count()

    def before(ids: Tensor) -> None:
        if next(calls) == 41:
            raise Killed

    checkpoints = Checkpoints(open_store(tmp_path), "fit", every_steps=2)
    with pytest.raises(Killed):
        run(BagRanker(before=before), checkpoints=checkpoints)
    assert_same(run(checkpoints=checkpoints), run())


def test_a_run_killed_repeatedly_ends_with_the_same_bits(tmp_path: Path) -> None:
    checkpoints = Checkpoints(open_store(tmp_path), "fit", every_steps=1)
    for step in range(2, STEPS, 3):
        with pytest.raises(Killed):
            run(validate=rho, checkpoints=checkpoints, watch=killed_at(step))
    assert_same(run(validate=rho, checkpoints=checkpoints), run(validate=rho))


@pytest.mark.parametrize("stop_at", [0, 1, 2, 30, 31, 32, 33])
def test_a_stopped_run_saves_and_resumes_with_the_same_bits(stop_at: int, tmp_path: Path) -> None:
    polls = count()
    checkpoints = Checkpoints(open_store(tmp_path), "fit")
    with pytest.raises(Stopped, match="SIGTERM"):
        run(checkpoints=checkpoints, stop=lambda: "SIGTERM" if next(polls) >= stop_at else None, clock=lambda: 0.0)
    assert next(polls) == stop_at + 1
    saved = checkpoints.latest()
    assert (saved is None) == (stop_at < 3)
    assert_same(run(checkpoints=checkpoints), run())


def test_a_run_stopped_while_validating_validates_again_and_ends_with_the_same_bits(tmp_path: Path) -> None:
    def stopped(ranker: BagRanker) -> float:
        torch.rand(5)
        raise Stopped("SIGTERM")

    checkpoints = Checkpoints(open_store(tmp_path), "fit")
    with pytest.raises(Stopped, match="SIGTERM"):
        run(validate=stopped, checkpoints=checkpoints)
    saved = checkpoints.latest()
    assert saved is not None
    assert saved.step == STEPS // 4
    assert_same(run(validate=rho, checkpoints=checkpoints), run(validate=rho))


def test_a_completed_run_is_not_repeated(tmp_path: Path) -> None:
    checkpoints = Checkpoints(open_store(tmp_path), "fit")
    whole = run(validate=rho, checkpoints=checkpoints)
    events: list[TrainingEvent] = []
    assert_same(run(validate=rho, checkpoints=checkpoints, watch=events.append), whole)
    assert events == [Resumed(STEPS)]


def test_a_time_limit_gives_the_best_so_far_and_can_be_lifted(tmp_path: Path) -> None:
    events: list[TrainingEvent] = []
    checkpoints = Checkpoints(open_store(tmp_path), "fit", every_s=math.inf)

    def clock() -> float:
        return float(sum(isinstance(event, TrainingStep) for event in events))

    falling = iter([0.3, 0.6, 0.5])
    ended = run(
        validate=lambda ranker: next(falling),
        watch=events.append,
        clock=clock,
        deadline_s=20,
        checkpoints=checkpoints,
    )
    assert (ended.ended, ended.steps_done, ended.best_step, ended.best_rho) == ("time limit", 20, 12, 0.6)
    first_half = run(steps=12, planned=STEPS)
    assert all(torch.equal(ended.state[name], first_half.state[name]) for name in ended.state)
    resumed = run(validate=lambda ranker: 0.1, checkpoints=checkpoints)
    assert (resumed.ended, resumed.steps_done, resumed.best_step) == ("completed", STEPS, 12)


def test_a_time_limit_without_validation_returns_the_last_step() -> None:
    ticks = count()
    ended = run(clock=ticks.__next__, deadline_s=40)
    assert ended.ended == "time limit"
    assert 0 < ended.steps_done == ended.best_step < STEPS


def test_an_expired_time_limit_takes_no_step() -> None:
    ended = run(clock=lambda: 5.0, deadline_s=5.0)
    assert (ended.steps_done, ended.curve, ended.padding_share, ended.tokens_per_second) == (0, (), 0.0, 0.0)
    assert torch.equal(ended.state["head.weight"], BagRanker().head.weight.detach())


def test_a_refit_follows_the_same_schedule_and_ends_at_the_best_step() -> None:
    whole = run()
    refit = run(steps=10, planned=STEPS)
    assert [point.learning_rate for point in refit.curve] == [point.learning_rate for point in whole.curve[:10]]
    assert [point.loss for point in refit.curve] == [point.loss for point in whole.curve[:10]]


def test_validations_are_evenly_spaced_and_the_last_step_is_one() -> None:
    events: list[TrainingEvent] = []
    given = iter([0.2, None, math.nan, 0.2])
    trained = run(validate=lambda ranker: next(given), watch=events.append)
    validated = [event for event in events if isinstance(event, Validated)]
    assert validated == [Validated(6, 0.2), Validated(12, None), Validated(18, None), Validated(24, 0.2)]
    assert (trained.best_step, trained.best_rho) == (6, 0.2)  # the first of equals
    assert {point.step: point.rho for point in trained.curve if point.rho is not None} == {6: 0.2, 24: 0.2}


def test_without_any_rho_the_last_step_is_the_best() -> None:
    trained = run(validate=lambda ranker: None)
    assert (trained.best_step, trained.best_rho) == (STEPS, None)


def test_more_validations_than_steps_validate_after_each() -> None:
    trained = run(validate=lambda ranker: 0.0, recipe=replace(RECIPE, validations=100), steps=5)
    assert [point.rho for point in trained.curve] == [0.0] * 5


def test_each_step_is_reported() -> None:
    events: list[TrainingEvent] = []
    trained = run(watch=events.append)
    reported = [event for event in events if isinstance(event, TrainingStep)]
    assert [event.step for event in reported] == list(range(1, STEPS + 1))
    assert {event.steps for event in reported} == {STEPS}
    assert all(event.gradient_norm > 0 and event.memory_mb is None for event in reported)
    last = reported[-1]
    assert (last.tokens, last.padding_share) == (trained.tokens, trained.padding_share)
    assert trained.tokens_per_second == trained.tokens / trained.seconds


class SmallDevice:
    """Memory for so many tokens at once, in a forward pass that keeps its activations or not."""

    def __init__(self, tokens: int, words: str = "CUDA out of memory. Tried to allocate 2.00 GiB") -> None:
        self.tokens = tokens
        self.words = words

    def __call__(self, ids: Tensor) -> None:
        torch.rand(3)  # what dropout drew before memory ran out
        if ids.numel() > self.tokens:
            raise torch.OutOfMemoryError(self.words) if "CUDA" in self.words else RuntimeError(self.words)


@pytest.mark.parametrize("words", ["CUDA out of memory.", "DefaultCPUAllocator: can't allocate memory: 5 bytes"])
def test_running_out_of_memory_halves_the_micro_batch_and_repeats_the_step(words: str) -> None:
    events: list[TrainingEvent] = []
    large = replace(RECIPE, micro_batch_tokens=100_000, lora_dropout=0.0)
    trained = run(BagRanker(dropout=0, before=SmallDevice(150, words)), large, watch=events.append)
    halved = [event.tokens for event in events if isinstance(event, MicroBatchHalved)]
    assert halved
    assert halved == sorted(halved, reverse=True)
    assert 75 <= halved[-1] <= 150
    assert trained.steps_done == STEPS
    roomy = run(BagRanker(dropout=0), large)
    for name, tensor in roomy.state.items():
        torch.testing.assert_close(trained.state[name], tensor, rtol=1e-2, atol=1e-3)


def test_the_smaller_micro_batch_is_remembered_by_a_checkpoint(tmp_path: Path) -> None:
    events: list[TrainingEvent] = []
    checkpoints = Checkpoints(open_store(tmp_path), "fit", every_steps=3)

    def small() -> BagRanker:
        return BagRanker(before=SmallDevice(150))

    whole = run(small())
    with pytest.raises(Killed):
        run(small(), checkpoints=checkpoints, watch=killed_at(11))
    assert_same(run(small(), checkpoints=checkpoints, watch=events.append), whole)
    assert not [event for event in events if isinstance(event, MicroBatchHalved)]


def test_memory_too_small_for_one_sequence_is_an_error() -> None:
    with pytest.raises(AssayError, match="out of memory at step 1: lower max_tokens, set gradient_checkpointing"):
        run(BagRanker(before=SmallDevice(10)))


def test_a_loss_that_is_not_finite_names_the_step_and_the_learning_rate(tmp_path: Path) -> None:
    ranker = BagRanker()

    def spoil(event: TrainingEvent) -> None:
        if isinstance(event, CheckpointSaved) and event.step == 6:
            with torch.no_grad():
                ranker.head.weight.fill_(math.nan)

    checkpoints = Checkpoints(open_store(tmp_path), "fit", every_steps=1)
    with pytest.raises(AssayError, match=r"training diverged at step 7 \(loss nan.*lower learning_rate.*0\.01;"):
        run(ranker, checkpoints=checkpoints, watch=spoil)
    saved = checkpoints.latest()
    assert saved is not None
    assert saved.step == 6
    assert all(tensor.isfinite().all() for tensor in saved.trainable.values())
    assert_same(run(checkpoints=checkpoints), run())


def test_a_lost_gpu_is_reported_and_the_run_resumes_later(tmp_path: Path) -> None:
    calls = count()

    def before(ids: Tensor) -> None:
        if next(calls) == 30:
            raise RuntimeError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA")

    checkpoints = Checkpoints(open_store(tmp_path), "fit", every_steps=1)
    with pytest.raises(AssayError, match=r"^the GPU was lost \(CUDA error: unspecified launch failure\): run the same"):
        run(BagRanker(before=before), checkpoints=checkpoints)
    assert_same(run(checkpoints=checkpoints), run())


def test_a_bug_is_not_mistaken_for_a_lost_gpu() -> None:
    def before(ids: Tensor) -> None:
        raise RuntimeError("size mismatch")

    with pytest.raises(RuntimeError, match="size mismatch"):
        run(BagRanker(before=before))


def test_a_full_disk_ends_the_run_and_keeps_the_last_intact_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path)
    write = store.write

    def full(name: str, data: bytes) -> str:
        if "000000010" in name:
            raise StoreError("disk full: the last good checkpoint is kept")
        return write(name, data)

    monkeypatch.setattr(store, "write", full)
    with pytest.raises(AssayError, match=r"^disk full"):
        run(checkpoints=Checkpoints(store, "fit", every_steps=5))
    saved = Checkpoints(open_store(tmp_path), "fit").latest()
    assert saved is not None
    assert saved.step == 5


@pytest.mark.parametrize("changed", [{"seed": 2}, {"recipe": replace(RECIPE, lora_rank=8)}, {"steps": 5}])
def test_a_checkpoint_of_another_run_is_refused(changed: dict[str, Any], tmp_path: Path) -> None:
    checkpoints = Checkpoints(open_store(tmp_path), "fit")
    run(checkpoints=checkpoints, steps=3)
    with pytest.raises(AssayError, match="was made from other data, by another recipe or with another seed"):
        run(checkpoints=checkpoints, **({"steps": 3} | changed))


def test_settings_that_fit_the_machine_do_not_make_it_another_run(tmp_path: Path) -> None:
    checkpoints = Checkpoints(open_store(tmp_path), "fit")
    run(checkpoints=checkpoints, steps=3)
    assert run(recipe=replace(RECIPE, micro_batch_tokens=100), checkpoints=checkpoints, steps=3).steps_done == 3


def test_seconds_of_earlier_processes_count(tmp_path: Path) -> None:
    checkpoints = Checkpoints(open_store(tmp_path), "fit", every_steps=1)
    with pytest.raises(Killed):
        run(checkpoints=checkpoints, watch=killed_at(12), clock=count(0, 10).__next__)
    resumed = run(checkpoints=checkpoints, clock=count(0, 1000).__next__)
    seconds = [point.seconds for point in resumed.curve]
    assert seconds == sorted(seconds)
    assert resumed.seconds > seconds[10] > 100
