from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipeline.finetuning.artifact_store import StoreError, open_store, sha256
from pipeline.finetuning.training.checkpoints import Checkpoints, CurvePoint, TrainState, refuse_foreign
from pipeline.records import AssayError

pytestmark = pytest.mark.finetune


def state(step: int, run: str = "run") -> TrainState:
    return TrainState(
        run=run,
        step=step,
        trainable={"a.weight": torch.full((3, 2), float(step)), "b": torch.tensor(-0.0)},
        optimizer={"0/exp_avg": torch.rand(3, 2), "0/step": torch.tensor(float(step))},
        random={"cpu": torch.get_rng_state()},
        best={"a.weight": torch.ones(3, 2)},
        best_step=1,
        best_rho=0.1 + 0.2,
        curve=tuple(CurvePoint(n, 1 / n, 0.5, 1e-4, None if n % 2 else 0.25, 10 * n, 0.1 * n) for n in range(1, step)),
        tokens=100 * step,
        padded_tokens=108 * step,
        seconds=1.5,
        micro_batch_tokens=512,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def checkpoints(folder: Path) -> Checkpoints:
    return Checkpoints(open_store(folder), "seed-1/fit")


def assert_equal(loaded: TrainState | None, expected: TrainState) -> None:
    assert loaded is not None
    for name in TrainState.__dataclass_fields__:
        one, other = getattr(loaded, name), getattr(expected, name)
        if not isinstance(other, dict):
            assert one == other, name
            continue
        assert one.keys() == other.keys()
        for key, tensor in other.items():
            assert (one[key].dtype, one[key].numpy().tobytes()) == (tensor.dtype, tensor.numpy().tobytes()), key


def test_an_empty_store_has_no_checkpoint(checkpoints: Checkpoints) -> None:
    assert checkpoints.latest() is None


def test_a_checkpoint_round_trips_to_the_last_bit(checkpoints: Checkpoints) -> None:
    saved = state(7)
    checkpoints.save(saved)
    assert_equal(checkpoints.latest(), saved)


def test_a_copy_of_the_folder_works_as_well(checkpoints: Checkpoints, folder: Path, tmp_path: Path) -> None:
    checkpoints.save(saved := state(7))
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert_equal(Checkpoints(open_store(tmp_path / "elsewhere"), "seed-1/fit").latest(), saved)


def test_a_remote_store_works_as_well() -> None:
    store = open_store("memory://checkpoints-of-a-test")
    Checkpoints(store, "fit").save(saved := state(3))
    assert_equal(Checkpoints(store, "fit").latest(), saved)


def test_the_newest_two_are_kept(checkpoints: Checkpoints, folder: Path) -> None:
    for step in (1, 2, 3):
        checkpoints.save(state(step))
    assert sorted(path.name for path in (folder / "seed-1" / "fit").iterdir()) == [
        f"step-00000000{step}.{kind}" for step in (2, 3) for kind in ("json", "manifest.json", "safetensors")
    ]


def test_the_files_are_safetensors_and_json_and_hold_no_pickle(checkpoints: Checkpoints, folder: Path) -> None:
    checkpoints.save(state(7))
    for path in (folder / "seed-1" / "fit").iterdir():
        content = path.read_bytes()
        header = content[8 : 8 + int.from_bytes(content[:8], "little")] if path.suffix == ".safetensors" else content
        assert isinstance(json.loads(header), dict)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace_by_another_kind(path: Path) -> None:
    path.write_bytes(b"[]")


@pytest.mark.parametrize("damage", [cut_short, flip_a_bit, replace_by_another_kind, Path.unlink])
@pytest.mark.parametrize("kind", ["safetensors", "json", "manifest.json"])
def test_a_damaged_checkpoint_is_skipped_for_the_one_before(
    checkpoints: Checkpoints, folder: Path, damage: Callable[[Path], None], kind: str
) -> None:
    checkpoints.save(state(1))
    checkpoints.save(state(2))
    damage(folder / "seed-1" / "fit" / f"step-000000002.{kind}")
    again = Checkpoints(open_store(folder), "seed-1/fit")
    assert_found(again, 1)
    again.save(state(3))
    assert_found(again, 3)
    names = {path.name.partition(".")[0] for path in (folder / "seed-1" / "fit").iterdir()}
    assert names == {"step-000000001", "step-000000003"}  # the damaged one is not one of the two good ones


def assert_found(checkpoints: Checkpoints, step: int) -> None:
    loaded = checkpoints.latest()
    assert loaded is not None
    assert loaded.step == step


def test_only_damaged_checkpoints_count_as_none(checkpoints: Checkpoints, folder: Path) -> None:
    checkpoints.save(state(1))
    flip_a_bit(folder / "seed-1" / "fit" / "step-000000001.safetensors")
    assert checkpoints.latest() is None


@pytest.mark.parametrize("written", [1, 2])
def test_an_incomplete_checkpoint_is_ignored(
    checkpoints: Checkpoints, folder: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    checkpoints.save(state(1))
    store = open_store(folder)
    left = iter([store.write] * written)
    monkeypatch.setattr(store, "write", lambda name, data: next(left)(name, data))
    with pytest.raises(StopIteration):
        Checkpoints(store, "seed-1/fit").save(state(2))
    assert len(list((folder / "seed-1" / "fit").iterdir())) == 3 + written
    assert_found(checkpoints, 1)


def test_a_full_disk_keeps_the_last_intact_checkpoint(
    checkpoints: Checkpoints, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save(state(1))

    def full(*_: object) -> str:
        raise StoreError("disk full")

    monkeypatch.setattr("pipeline.finetuning.artifact_store.LocalStore.write", full)
    with pytest.raises(StoreError, match="disk full"):
        checkpoints.save(state(2))
    assert_found(checkpoints, 1)


def test_foreign_files_are_left_alone(checkpoints: Checkpoints, folder: Path) -> None:
    (folder / "seed-1" / "fit" / "deeper").mkdir(parents=True)
    foreign = [folder / "seed-1" / "fit" / name for name in ("notes.txt", "step-1.json", "deeper/step-000000009.json")]
    for path in foreign:
        path.write_text("mine")
    for step in (1, 2, 3):
        checkpoints.save(state(step))
    checkpoints.delete()
    assert all(path.read_text() == "mine" for path in foreign)
    assert checkpoints.latest() is None


def test_other_prefixes_are_other_runs(checkpoints: Checkpoints, folder: Path) -> None:
    checkpoints.save(state(1))
    other = Checkpoints(open_store(folder), "seed-1/refit")
    assert other.latest() is None
    other.save(state(5))
    other.delete()
    assert_found(checkpoints, 1)


def test_an_unrecorded_checkpoint_is_ignored(checkpoints: Checkpoints, folder: Path) -> None:
    recorded = checkpoints.save(state(1))
    checkpoints.save(state(2))  # by whoever else can write there
    assert recorded.sha256 == sha256((folder / recorded.manifest).read_bytes())
    assert_found(Checkpoints(open_store(folder), "seed-1/fit", known={recorded.sha256}), 1)
    assert Checkpoints(open_store(folder), "seed-1/fit", known=()).latest() is None


def test_a_checkpoint_renamed_to_a_later_step_is_ignored(checkpoints: Checkpoints, folder: Path) -> None:
    checkpoints.save(state(1))
    for path in list((folder / "seed-1" / "fit").iterdir()):
        renamed = path.with_name(path.name.replace("001", "009"))
        renamed.write_bytes(path.read_bytes().replace(b"000000001", b"000000009"))
    assert_found(checkpoints, 1)


def test_a_checkpoint_is_due_after_a_number_of_steps_or_seconds(folder: Path) -> None:
    cases: list[tuple[int, float, float, bool]] = [
        (0, 1e9, 0, False),
        (1, 59.9, 0, False),
        (1, 60, 3, True),
        (4, 0, 0, False),
        (5, 0, 100, True),
        (1, 60, 5, False),  # saving is slow: at most a twentieth of the time goes into it
        (1, 100, 5, True),
    ]
    wrong = [
        (steps, seconds, cost_s, got, due)
        for steps, seconds, cost_s, due in cases
        if (got := Checkpoints(open_store(folder), "fit", every_steps=5, every_s=60).is_due(steps, seconds, cost_s))
        is not due
    ]
    assert wrong == []


def test_without_a_number_of_steps_only_time_counts(folder: Path) -> None:
    assert not Checkpoints(open_store(folder), "fit").is_due(10_000, 59, 0)


def test_a_checkpoint_of_another_run_is_refused() -> None:
    refuse_foreign(state(3), "run")
    with pytest.raises(AssayError, match="the checkpoint of step 3 was made from other data"):
        refuse_foreign(state(3), "another")
