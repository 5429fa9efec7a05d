"""Each delivery is stored once and handled once, and again only if its job failed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.records import Event
from bot.store.deliveries import (
    StoredDelivery,
    finish_delivery,
    handled_guids,
    is_storable,
    load_delivery,
    purge_deliveries,
    reopen_delivery,
    store_deliveries,
    unhandled_deliveries,
)
from bot.store.jobs import cancel_jobs, claim_job, finish_job, request_job
from bot.store.tables import deliveries
from tests.bot.store.conftest import Store
from tests.bot.store.values import NOW, after

PUSH = Event("push", "", 1, 7, {"ref": "refs/heads/main", "after": "a" * 40, "forced": False, "size": 3})
PING = Event("ping")


def put(store: Store, *items: tuple[str, Event], at_s: float = 0) -> list[StoredDelivery]:
    return store(store_deliveries, items, after(at_s))


def load(store: Store, delivery: StoredDelivery) -> StoredDelivery:
    loaded = store(load_delivery, delivery.delivery_id, lock=True)
    assert loaded is not None
    return loaded


def answer(store: Store, delivery: StoredDelivery, state: Any) -> int:
    """A job took it over and ended like this."""
    job_id = store(request_job, 1, 7, "screen", NOW)
    store(finish_delivery, delivery.delivery_id, "handled", job_id)
    job = store(claim_job, ["screen"], NOW, NOW)
    assert job is not None
    if state == "cancelled":
        store(cancel_jobs, 1, reason="uninstalled")
    elif state != "running":
        store(finish_job, job, state, NOW)
    return job_id


def test_a_batch_is_stored_and_returned_in_order(store: Store) -> None:
    stored = put(store, ("g2", PING), ("g1", PUSH), ("g3", PUSH))
    assert [(one.guid, one.event) for one in stored] == [("g2", PING), ("g1", PUSH), ("g3", PUSH)]
    assert {(one.state, one.job_id, one.is_new, one.received_at) for one in stored} == {("received", 0, True, NOW)}
    for one in stored:
        loaded = load(store, one)
        assert (loaded.guid, loaded.event, loaded.received_at) == (one.guid, one.event, NOW)
    assert store(load_delivery, 999) is None


def test_an_empty_batch_stores_nothing(store: Store) -> None:
    assert put(store) == []


def test_ten_concurrent_copies_of_a_delivery_are_stored_once(store: Store) -> None:
    stored = put(store, *[("g1", PUSH)] * 10)
    assert [one.is_new for one in stored] == [True] + [False] * 9
    assert len({one.delivery_id for one in stored}) == 1
    assert len(store.rows(deliveries)) == 1


def test_concurrent_batches_in_different_orders_store_each_delivery_once(store: Store) -> None:
    items = [(f"g{number}", PUSH) for number in range(40)]

    async def put_all(batch: list[tuple[str, Event]]) -> list[StoredDelivery]:
        async with store.database.write() as connection:
            return await store_deliveries(connection, batch, NOW)

    async def at_once() -> list[list[StoredDelivery]]:
        return await asyncio.gather(*(put_all(items[turn:] + items[:turn]) for turn in (0, 10, 20, 30)))

    results = store.run(at_once())
    assert len(store.rows(deliveries)) == 40
    assert sum(one.is_new for result in results for one in result) == 40
    numbers = {(one.guid, one.delivery_id) for result in results for one in result}
    assert len(numbers) == 40


def test_a_delivery_not_taken_over_is_announced_again(store: Store) -> None:
    (first,) = put(store, ("g1", PUSH))
    (again,) = put(store, ("g1", PING), at_s=60)
    assert (again.delivery_id, again.state, again.is_new) == (first.delivery_id, "received", False)
    assert (again.event, again.received_at) == (PUSH, NOW), "a guid that is known keeps what it said first"


@pytest.mark.parametrize(
    ("ended", "state"),
    [("done", "handled"), ("running", "handled"), ("cancelled", "handled"), ("failed", "received")],
)
def test_a_redelivery_repeats_only_a_failed_job(store: Store, ended: str, state: str) -> None:
    (first,) = put(store, ("g1", PUSH))
    job_id = answer(store, first, ended)
    mixed = put(store, ("g0", PUSH), ("g1", PUSH))
    assert [one.is_new for one in mixed] == [True, False]
    assert mixed[1].state == state
    assert mixed[1].job_id == (0 if state == "received" else job_id)
    assert load(store, first).state == state


def test_a_delivery_that_was_ignored_is_not_announced_again(store: Store) -> None:
    (first,) = put(store, ("g1", PING))
    store(finish_delivery, first.delivery_id, "ignored", 0)
    assert [(one.state, one.job_id) for one in put(store, ("g1", PING))] == [("ignored", 0)]


def test_a_delivery_can_be_reopened(store: Store) -> None:
    (first,) = put(store, ("g1", PUSH))
    answer(store, first, "done")
    store(reopen_delivery, first.delivery_id)
    reopened = load(store, first)
    assert (reopened.state, reopened.job_id) == ("received", 0)
    assert store(unhandled_deliveries, after(1), 9) == [first.delivery_id]


def test_unhandled_deliveries_are_listed_oldest_first(store: Store) -> None:
    (late,) = put(store, ("g1", PUSH), at_s=5)
    (soon,) = put(store, ("g2", PUSH), at_s=2)
    (done,) = put(store, ("g3", PUSH), at_s=1)
    put(store, ("g4", PUSH), at_s=10)
    answer(store, done, "done")
    assert store(unhandled_deliveries, after(10), 9) == [soon.delivery_id, late.delivery_id]
    assert store(unhandled_deliveries, after(10), 1) == [soon.delivery_id]


def test_a_guid_is_handled_unless_it_is_unknown_or_its_job_failed(store: Store) -> None:
    _, ignored = put(store, ("waiting", PUSH), ("ignored", PING))
    store(finish_delivery, ignored.delivery_id, "ignored", 0)
    for ended in ("failed", "done"):
        (delivery,) = put(store, (ended, PUSH))
        answer(store, delivery, ended)
    many = [f"unknown {number}" for number in range(1200)]
    assert store(handled_guids, ["waiting", "ignored", "done", "failed", *many]) == {"waiting", "ignored", "done"}
    assert store(handled_guids, []) == set()


def test_old_deliveries_are_purged(store: Store) -> None:
    put(store, ("old", PUSH))
    put(store, ("new", PUSH), at_s=10)
    assert store(purge_deliveries, after(10)) == 1
    assert [row["guid"] for row in store.rows(deliveries)] == ["new"]


TOO_MUCH = {
    "no guid": ("", PUSH),
    "long guid": ("g" * 65, PUSH),
    "a NUL": ("g\0", PUSH),
    "a lone surrogate": ("g\udc80", PUSH),
    "long event": ("g", Event("e" * 65)),
    "long action": ("g", Event("push", "a" * 65)),
    "control characters": ("g", Event("push", "a\nb")),
    "a huge installation": ("g", Event("push", "", 1 << 63)),
    "a negative repository": ("g", Event("push", "", 1, -1)),
}


def test_a_delivery_that_does_not_fit_the_columns_is_detected() -> None:
    wrong = [(case, got) for case, (guid, event) in TOO_MUCH.items() if (got := is_storable(guid, event))]
    assert wrong == []


@given(st.text(max_size=70), st.text(max_size=70), st.integers(-1, 1 << 64))
def test_a_delivery_that_fits_is_valid_utf8_and_bigint(guid: str, action: str, number: int) -> None:
    if is_storable(guid, Event("push", action, number, number)):
        assert 0 < len(guid.encode()) <= 64 * 4
        assert "\0" not in guid + action
        assert 0 <= number < 1 << 63
