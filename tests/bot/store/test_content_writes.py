"""Slots under GitHub's content limits are taken before a request is sent, one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.store.content_writes import forget_writes, reserve_write
from bot.store.installations import save_installation
from bot.store.tables import content_writes
from tests.bot.store.conftest import Store
from tests.bot.store.values import NOW, after, installation


def five_a_minute(times: Sequence[datetime], now: datetime) -> datetime:
    recent = [time for time in times if time > now - timedelta(minutes=1)]
    return now if len(recent) < 5 else recent[-5] + timedelta(minutes=1)


def test_a_slot_is_counted_or_refused_with_the_time_of_the_next(store: Store) -> None:
    taken = [store(reserve_write, 1, after(number), five_a_minute) for number in range(7)]
    assert taken == [None] * 5 + [after(60)] * 2
    assert len(store.rows(content_writes)) == 5
    assert store(reserve_write, 1, after(60), five_a_minute) is None
    assert store(reserve_write, 2, after(6), five_a_minute) is None, "another installation has its own limit"


def test_the_rule_sees_the_last_hour_oldest_first(store: Store) -> None:
    seen: list[datetime] = []

    def look(times: Sequence[datetime], now: datetime) -> datetime:
        seen[:] = times
        return now

    for at_s in (30, 0, 3600):
        store(reserve_write, 1, after(at_s), look)
    assert seen == [NOW, after(30)]
    store(reserve_write, 1, after(3601), look)
    assert seen == [after(30), after(3600)]


def test_concurrent_writes_do_not_take_the_same_slot(store: Store) -> None:
    store(save_installation, installation(), NOW)

    async def ask() -> datetime | None:
        async with store.database.write() as connection:
            return await reserve_write(connection, 1, NOW, five_a_minute)

    async def all_at_once() -> list[datetime | None]:
        return await asyncio.gather(*(ask() for _ in range(20)))

    answers = store.run(all_at_once())
    assert answers.count(None) == len(store.rows(content_writes)) == 5


def test_writes_that_no_window_reaches_are_deleted(store: Store) -> None:
    for at_s in (0, 10):
        store(reserve_write, 1, after(at_s), five_a_minute)
    assert store(forget_writes, after(10)) == 1
    assert [row["written_at"] for row in store.rows(content_writes)] == [after(10)]
