"""The check runs of fine-tuning runs are found again, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest

from bot.store.check_runs import make_check_run, mark_posted
from bot.store.finetune_checks import posted_as, posted_for_run, posted_on
from bot.store.installations import save_installation
from bot.store.repositories import save_repository
from tests.bot.store.conftest import Store
from tests.bot.store.values import HEAD, NEXT, NOW, installation, repository

NAME = "assay/finetune"


@pytest.fixture
def store(store: Store) -> Store:
    for number in (1, 2):
        store(save_installation, installation(number), NOW)
        store(save_repository, repository(7, number))
    return store


def written(store: Store, head_sha: str = HEAD, run_id: int = 5, *, name: str = NAME, posted: int = 77) -> Any:
    row = store(make_check_run, 1, 7, name, head_sha, 0, "neutral", NOW, run_id=run_id)
    if posted:
        store(mark_posted, 1, row.row_id, posted, NOW)
    return row


def test_the_newest_that_is_posted_is_found_by_its_run_and_by_its_commit(store: Store) -> None:
    written(store)
    newest = written(store)
    written(store, posted=0)
    written(store, name="assay/screen")
    written(store, NEXT, run_id=6)
    for found in (store(posted_for_run, 1, 7, 5), store(posted_on, 1, 7, HEAD)):
        assert found is not None
        assert found.row_id == newest.row_id
    assert store(posted_for_run, 1, 7, 4) is store(posted_on, 1, 7, "c" * 40) is None
    assert store(posted_for_run, 2, 7, 5) is store(posted_on, 2, 7, HEAD) is None


def test_it_is_found_by_the_name_that_github_knows_it_by(store: Store) -> None:
    row = written(store)
    found = store(posted_as, 1, 7, row.external_id)
    assert found is not None
    assert found.row_id == row.row_id
    assert store(posted_as, 2, 7, row.external_id) is None


@pytest.mark.parametrize(
    "external_id",
    [
        "",
        "assay/finetune",
        "assay/finetune/",
        "assay/screen/1",
        "assay/finetune/x",
        "assay/finetune/²",
        f"{NAME}/{'9' * 30}",
    ],
)
def test_what_is_no_name_of_ours_finds_nothing(store: Store, external_id: str) -> None:
    written(store)
    assert store(posted_as, 1, 7, external_id) is None
