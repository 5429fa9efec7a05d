"""Installations are remembered as GitHub last described them."""

from __future__ import annotations

import asyncio
import time

from bot.store.installations import (
    delete_installation,
    list_installations,
    load_installation,
    lock_installation,
    save_installation,
    set_installation_state,
)
from bot.store.jobs import claim_job, request_job
from bot.store.tables import installations
from tests.bot.store.conftest import Store
from tests.bot.store.values import NOW, after, installation


def test_an_installation_comes_back_as_it_was_saved(store: Store) -> None:
    huge = installation(2**62, account_type="User", permissions={"checks": "write", "metadata": "read"})
    for one in (installation(), huge):
        store(save_installation, one, NOW)
        assert store(load_installation, one.installation_id) == one
    assert store(list_installations) == [installation(), huge]
    assert store(load_installation, 3) is None


def test_saving_again_keeps_when_it_was_served(store: Store) -> None:
    store(save_installation, installation(), NOW)
    store(request_job, 1, 7, "screen", NOW)
    store(claim_job, ["screen"], NOW, after(5))
    renamed = installation(account_login="acme-renamed", state="suspended", permissions={})
    store(save_installation, renamed, after(9))
    assert store(load_installation, 1) == renamed
    (row,) = store.rows(installations)
    assert (row["synced_at"], row["served_at"]) == (after(9), after(5))


def test_a_state_is_set_and_an_unknown_installation_stays_unknown(store: Store) -> None:
    store(save_installation, installation(), NOW)
    store(set_installation_state, 1, "refused")
    store(set_installation_state, 2, "refused")
    assert store(list_installations) == [installation(state="refused")]


def test_deleting_an_unknown_installation_does_nothing(store: Store) -> None:
    store(delete_installation, 1)
    store(delete_installation, 1)


def test_a_lock_excludes_others_until_commit(store: Store) -> None:
    store(save_installation, installation(), NOW)
    order: list[str] = []

    async def hold(name: str, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        async with store.database.write() as connection:
            await lock_installation(connection, 1)
            order.append(f"{name} has it")
            await asyncio.sleep(0.1)
            order.append(f"{name} gives it back")

    async def both() -> None:
        await asyncio.gather(hold("one", 0), hold("other", 0.03))

    begun = time.monotonic()
    store.run(both())
    assert order == ["one has it", "one gives it back", "other has it", "other gives it back"]
    assert time.monotonic() - begun >= 0.2
