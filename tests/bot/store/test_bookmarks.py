"""Small values by name."""

from __future__ import annotations

from bot.store.bookmarks import load_bookmark, save_bookmark
from tests.bot.store.conftest import Store


def test_a_bookmark_is_the_value_saved_last(store: Store) -> None:
    assert store(load_bookmark, "reconciled") is None
    for value in ("2024-05-01T12:00:00+00:00", {"id": 2**60, "seen": []}, 0, None):
        store(save_bookmark, "reconciled", value)
        store(save_bookmark, "purged", "other")
        assert store(load_bookmark, "reconciled") == value
