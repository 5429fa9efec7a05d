"""A reply has a row before GitHub is called: one per comment, found by its run, updated until it is given up."""

from __future__ import annotations

import pytest

from bot.records import Reply
from bot.store.installations import delete_installation, save_installation
from bot.store.reply_comments import (
    GIVEN_UP,
    create_reply,
    give_up_reply,
    load_reply,
    note_reply_posted,
    note_reply_tried,
    replies_of_run,
)
from bot.store.repositories import delete_repository, save_repository
from tests.bot.store.conftest import Store
from tests.bot.store.values import NOW, after, installation, repository

MINE = (1, 7)


@pytest.fixture
def store(store: Store) -> Store:
    for number in (1, 2):
        store(save_installation, installation(number), NOW)
        store(save_repository, repository(7, number))
    return store


def make(store: Store, comment_id: int = 50, run_id: int = 3, installation_id: int = 1) -> Reply:
    return store(create_reply, installation_id, 7, comment_id, 12, NOW, run_id=run_id)


def test_a_comment_has_one_reply(store: Store) -> None:
    made = make(store)
    assert made == Reply(made.reply_id, 1, 7, 50, 12, 3, "", 0, "", None, NOW)
    assert store(create_reply, *MINE, 50, 12, after(9), text="another") == made
    assert store(load_reply, 1, made.reply_id) == made
    assert make(store, comment_id=51).reply_id != made.reply_id


def test_the_replies_of_a_run_are_listed_oldest_first(store: Store) -> None:
    first, second = make(store, 50), make(store, 51)
    make(store, 52, run_id=4)
    store(create_reply, *MINE, 53, 12, NOW, text="no run")
    assert store(replies_of_run, 1, 3) == [first, second]


def test_a_reply_is_tried_then_posted_then_given_up(store: Store) -> None:
    made = make(store)
    store(note_reply_tried, 1, made.reply_id, after(1))
    tried = store(load_reply, 1, made.reply_id)
    assert tried is not None
    assert (tried.posted_id, tried.posted_at) == (0, after(1))
    store(note_reply_posted, 1, made.reply_id, 3_000_000_001, "d" * 64, after(2))
    posted = store(load_reply, 1, made.reply_id)
    assert posted is not None
    assert (posted.posted_id, posted.posted_digest, posted.posted_at) == (3_000_000_001, "d" * 64, after(2))
    store(give_up_reply, 1, made.reply_id)
    given_up = store(load_reply, 1, made.reply_id)
    assert given_up is not None
    assert (given_up.posted_id, given_up.posted_digest) == (3_000_000_001, GIVEN_UP)


def test_no_installation_reads_or_changes_anothers_replies(store: Store) -> None:
    mine, theirs = make(store), make(store, installation_id=2)
    assert store(load_reply, 2, mine.reply_id) is None
    assert store(replies_of_run, 2, 3) == [theirs]
    store(give_up_reply, 2, mine.reply_id)
    store(note_reply_posted, 2, mine.reply_id, 1, "d" * 64, NOW)
    assert store(load_reply, 1, mine.reply_id) == mine


def test_replies_are_deleted_with_their_repository_and_installation(store: Store) -> None:
    mine, theirs = make(store), make(store, installation_id=2)
    store(delete_repository, *MINE)
    assert store(load_reply, 1, mine.reply_id) is None
    store(delete_installation, 2)
    assert store(load_reply, 2, theirs.reply_id) is None
