"""A button counts where its check run is a row of ours."""

from __future__ import annotations

from bot.store.buttons import pressed_check_run
from bot.store.check_runs import make_check_run, mark_posted
from bot.store.installations import save_installation
from bot.store.repositories import save_repository
from tests.bot.store.conftest import Store
from tests.bot.store.values import HEAD, NOW, installation, repository


def test_a_check_run_is_found_by_githubs_number_in_its_own_repository_alone(store: Store) -> None:
    for number in (1, 2):
        store(save_installation, installation(number), NOW)
        store(save_repository, repository(7, number))
    store(make_check_run, 1, 7, "assay/screen", HEAD, 3, "success", NOW)  # never posted
    made = store(make_check_run, 1, 7, "assay/finetune", HEAD, 3, "success", NOW)
    store(mark_posted, 1, made.row_id, 4711, NOW)
    found = store(pressed_check_run, 1, 7, 4711)
    assert found is not None
    assert (found.row_id, found.name) == (made.row_id, "assay/finetune")
    assert store(pressed_check_run, 1, 7, 4712) is None
    assert store(pressed_check_run, 1, 8, 4711) is None
    assert store(pressed_check_run, 2, 7, 4711) is None
    assert store(pressed_check_run, 1, 7, 0) is None
