"""No installation keeps every slot of a worker while another waits, and whatever is slow ends eventually."""

from __future__ import annotations

from bot.jobs.shares import Held, at_their_share, who_yields


def test_the_last_slot_is_left_to_others() -> None:
    cases: list[tuple[list[int], int, set[int]]] = [
        ([], 2, set()),
        ([1], 2, {1}),
        ([1, 2], 3, set()),
        ([1, 1, 2], 3, {1}),
        ([1, 1, 1], 4, {1}),
        ([1], 1, {1}),  # it holds the only one, so there is nothing to claim either
        ([1] * 7, 8, {1}),
    ]
    wrong = [(held, got) for held, slots, full in cases if (got := at_their_share(held, slots)) != full]
    assert wrong == []


def test_the_one_that_yields_loses_the_least_or_has_had_its_time() -> None:
    cases: list[tuple[str, list[Held], int | None]] = [
        ("nothing runs", [], None),
        ("the youngest of a crowd", [Held(1, 1, 300.0), Held(2, 1, 20.0)], 2),
        ("but one that has just begun may be about to end", [Held(1, 1, 300.0), Held(2, 1, 1.0)], 1),
        ("nobody yet", [Held(1, 1, 9.0), Held(2, 1, 1.0)], None),
        ("the crowd before the others", [Held(1, 1, 300.0), Held(2, 2, 20.0), Held(3, 2, 15.0)], 3),
        ("the oldest, where each holds one", [Held(1, 1, 40.0), Held(2, 2, 50.0)], 2),
        ("nobody, where none is slow", [Held(1, 1, 20.0), Held(2, 2, 29.0)], None),
        ("the only slot, too", [Held(1, 1, 31.0)], 1),
        ("one that returned gets twice the time", [Held(1, 1, 50.0, yields=1)], None),
        ("and no more than that", [Held(1, 1, 61.0, yields=1), Held(2, 2, 29.0)], 1),
        ("so it ends some time", [Held(1, 1, 3_600.0, yields=7)], None),
    ]
    wrong = [(why, got) for why, held, job in cases if (got := getattr(who_yields(held), "job_id", None)) != job]
    assert wrong == []
