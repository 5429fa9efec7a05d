from __future__ import annotations

import pytest

from bot.gpu_worker.next_state import STOPPED, Again, Finish, decide, most_minutes, timed_out, training_minutes
from bot.gpu_worker.training_task import Answer, Delivered, Died, Failure, Halted

ON = "it goes on from its last checkpoint"
KILLED = "the process that trains was killed: the machine may be short of memory"


@pytest.mark.parametrize(
    ("answer", "attempts", "wanted"),
    [
        (Delivered({"n": 1}, "r", {"a": "b"}), 9, Finish("finished", "", {"n": 1}, "r", {"a": "b"})),
        (Halted(), 1, Again(STOPPED, counts=False, pause_s=0.0)),
        (Halted(), 9, Again(STOPPED, counts=False, pause_s=0.0)),
        (Failure("input", "too few pairs"), 1, Finish("crashed", "too few pairs")),
        (Failure("memory", "out of memory"), 1, Finish("crashed", "out of memory")),
        (Failure("bug", "it stopped"), 1, Finish("crashed", "it stopped")),
        (Failure("store", "the store is away"), 2, Again(f"the store is away: {ON}")),
        (Failure("store", "the store is away"), 3, Finish("crashed", "the store is away; it was begun 3 times")),
        (Failure("device", "the GPU was lost (CUDA error: x): run it"), 1, Again(f"the GPU was lost: {ON}")),
        (Died(-9), 1, Again(f"{KILLED}: {ON}")),
        (Died(-9), 4, Finish("crashed", f"{KILLED}; it was begun 4 times")),
        (Died(-6), 1, Again(f"the process that trains crashed (signal 6): {ON}")),
        (Died(1), 2, Again(f"the process that trains ended without a word (exit status 1): {ON}")),
    ],
)
def test_every_end_of_a_process_has_its_consequence(answer: Answer, attempts: int, wanted: Finish | Again) -> None:
    assert decide(answer, attempts) == wanted


def test_a_run_may_take_a_quarter_more_than_its_training_and_ten_minutes() -> None:
    assert most_minutes(360.0) == 460.0
    assert timed_out(360.0) == Finish(
        "timed_out",
        "it was stopped after 460 minutes: 360 minutes of training are allowed, and loading and judging took longer "
        "than the rest",
    )


def test_a_run_trains_and_takes_no_longer_than_was_reserved_for_it() -> None:
    assert (training_minutes(360.0, 100.0), most_minutes(90.0, 100.0)) == (90.0, 100.0)
    assert (training_minutes(60.0, 100.0), most_minutes(60.0, 100.0)) == (60.0, 85.0)
    assert training_minutes(360.0, 10.5) == 1.0  # reserved by an earlier release: something has to be left to train
    assert (training_minutes(360.0, 0.0), most_minutes(360.0, 0.0)) == (360.0, 460.0)
