from __future__ import annotations

from bot.gpu_worker.next_state import Finish, Requeue, decide, max_total_minutes, timed_out, training_minutes
from bot.gpu_worker.training_task import Delivered, Died, Failure, Reply, Stopped
from bot.messages.reasons import WORKER_STOPPED

ON = "it resumes from its last checkpoint"
KILLED = "the training process was killed: the machine may be short of memory"


def test_each_reply_decides_the_next_state() -> None:
    cases: list[tuple[Reply, int, Finish | Requeue]] = [
        (Delivered({"n": 1}, "r", {"a": "b"}), 9, Finish("finished", "", {"n": 1}, "r", {"a": "b"})),
        (Stopped(), 1, Requeue(WORKER_STOPPED, counts=False, pause_s=0.0)),
        (Stopped(), 9, Requeue(WORKER_STOPPED, counts=False, pause_s=0.0)),
        (Failure("input", "too few pairs"), 1, Finish("crashed", "too few pairs")),
        (Failure("memory", "out of memory"), 1, Finish("crashed", "out of memory")),
        (Failure("bug", "it stopped"), 1, Finish("crashed", "it stopped")),
        (Failure("store", "the store is away"), 1, Requeue(f"the store is away: {ON}", pause_s=60.0)),
        (Failure("store", "the store is away"), 2, Requeue(f"the store is away: {ON}", pause_s=300.0)),
        (Failure("store", "the store is away"), 3, Finish("crashed", "the store is away; attempt 3 was the last")),
        (Failure("device", "the GPU was lost (CUDA error: x): run it"), 1, Requeue(f"the GPU was lost: {ON}")),
        (Died(-9), 1, Requeue(f"{KILLED}: {ON}")),
        (Died(-9), 4, Finish("crashed", f"{KILLED}; attempt 4 was the last")),
        (Died(-6), 1, Requeue(f"the training process crashed (signal 6): {ON}")),
        (Died(1), 2, Requeue(f"the training process ended without a result (exit status 1): {ON}")),
    ]
    wrong = [
        (reply, attempts, got, expected)
        for reply, attempts, expected in cases
        if (got := decide(reply, attempts)) != expected
    ]
    assert wrong == []


def test_the_total_limit_is_a_quarter_more_than_training_plus_ten_minutes() -> None:
    assert max_total_minutes(360.0) == 460.0
    assert timed_out(360.0) == Finish(
        "timed_out",
        "it was stopped after 460 minutes: training may take 360 minutes, and loading and evaluation used up the rest",
    )


def test_training_and_total_limits_respect_the_reservation() -> None:
    assert (training_minutes(360.0, 100.0), max_total_minutes(90.0, 100.0)) == (90.0, 100.0)
    assert (training_minutes(60.0, 100.0), max_total_minutes(60.0, 100.0)) == (60.0, 85.0)
    assert training_minutes(360.0, 10.5) == 1.0  # reserved by an earlier release: leave a minimum to train
    assert (training_minutes(360.0, 0.0), max_total_minutes(360.0, 0.0)) == (360.0, 460.0)
