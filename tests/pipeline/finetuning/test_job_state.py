from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.finetuning.artifact_store import open_store
from pipeline.finetuning.job_folder import RESULT, WORK, require_usable, working_folder
from pipeline.finetuning.job_state import Embedded, JobState
from pipeline.records import AssayError
from tests.builders.finetunings import run

pytestmark = pytest.mark.finetune


def state(folder: Path, pair_set_id: str = "b" * 64, recipe_id: str = "0123456789ab") -> JobState:
    return JobState(open_store(folder), pair_set_id=pair_set_id, recipe_id=recipe_id)


def test_finished_parts_round_trip_to_the_last_bit(tmp_path: Path) -> None:
    done = run(1, np.random.default_rng(0).normal(size=50))
    first = state(tmp_path)
    assert (first.run(1), first.fit(1), first.embedded()) == (None, None, None)
    first.keep_fit(1, done.fit)
    first.keep_run(done, b"tensors")
    first.keep_embedded(Embedded(done.scores, 2.5))
    again = state(tmp_path)
    stored, embedded = again.run(1), again.embedded()
    assert stored is not None
    assert embedded is not None
    assert stored.scores.tolist() == done.scores.tolist()
    assert (stored.fit, stored.refit_losses, stored.refit_work) == (done.fit, done.refit_losses, done.refit_work)
    assert embedded.scores is not None
    assert (embedded.scores.tolist(), embedded.seconds) == (done.scores.tolist(), 2.5)
    assert again.adapter(1) == b"tensors"
    assert again.seconds_spent([1, 2]) == 17.0


def test_completing_a_seed_deletes_its_checkpoints_only(tmp_path: Path) -> None:
    done = run(1, np.zeros(3))
    first = state(tmp_path)
    for name in ("seed-1/fit/step-1.json", "seed-1/refit/step-2.json", "seed-12/fit/step-1.json"):
        first.store.write(name, b"{}")
    first.keep_fit(1, done.fit)
    first.keep_run(done, b"tensors")
    assert first.store.names() == (
        "job.json", "seed-1/adapter", "seed-1/done.json", "seed-1/fit.json", "seed-12/fit/step-1.json"
    )  # fmt: skip


def test_a_changed_adapter_is_refused(tmp_path: Path) -> None:
    done = run(1, np.zeros(3))
    first = state(tmp_path)
    first.keep_fit(1, done.fit)
    first.keep_run(done, b"tensors")
    (tmp_path / "seed-1" / "adapter").write_bytes(b"others")
    with pytest.raises(AssayError, match="seed-1/adapter of the unfinished job is damaged"):
        state(tmp_path).adapter(1)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"planned_steps": 1}'])
def test_a_damaged_state_is_an_error(tmp_path: Path, content: bytes) -> None:
    first = state(tmp_path)
    first.store.write("seed-1/fit.json", content)
    with pytest.raises(AssayError, match="damaged: delete that folder"):
        state(tmp_path).fit(1)


@pytest.mark.parametrize("other", [{"pair_set_id": "c" * 64}, {"recipe_id": "ba9876543210"}])
def test_the_state_of_another_job_is_refused(tmp_path: Path, other: dict[str, str]) -> None:
    state(tmp_path)
    with pytest.raises(AssayError, match=f"this one is of .*{next(iter(other.values()))[:12]}"):
        state(tmp_path, **other)


def test_a_forgotten_job_leaves_the_files_of_others(tmp_path: Path) -> None:
    first = state(tmp_path)
    first.store.write("seed-1/fit/step-1.json", b"{}")
    first.store.write("diary.txt", b"mine")
    first.forget()
    assert first.store.names() == ("diary.txt",)


def test_a_folder_is_locked_by_one_process(tmp_path: Path) -> None:
    with (
        working_folder(tmp_path / "out"),
        pytest.raises(AssayError, match="another process is using"),
        working_folder(tmp_path / "out"),
    ):
        raise AssertionError("two processes in one folder")


def test_a_folder_without_job_state_but_with_a_result_is_finished(tmp_path: Path) -> None:
    (tmp_path / WORK).mkdir()
    require_usable(tmp_path)
    (tmp_path / RESULT).write_text("{}")
    with pytest.raises(AssayError, match="a finished job"):
        require_usable(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [RESULT]


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(AssayError, match="--out"):
            require_usable(out)
