"""Where the files of fine-tuning runs lie, and that nothing stays which should go."""

from __future__ import annotations

import stat
import uuid
from pathlib import Path

import pytest

from bot.disk.artifacts import Artifacts, PairsChanged, PairsGone, Stored
from pipeline.finetuning.artifact_store import StoreError, open_store
from pipeline.finetuning.pair_file import encode_pairs
from pipeline.records import AssayError
from tests.builders.pair_sets import planted
from tests.builders.runs import a_run

ID, OTHER = "1" * 64, "2" * 64
LEASE = "abcdef0123456789abcdef0123456789"


@pytest.fixture(params=["folder", "file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder by its path, by a file:// URL, and a store that is no folder."""
    forms = {"folder": str(tmp_path / "store"), "file": f"file://{tmp_path}/store/"}
    return forms.get(request.param, f"memory://artifacts-{uuid.uuid4().hex}")


def names(url: str) -> list[str]:
    return list(open_store(url).names())


def test_files_are_stored_by_repository_id(url: str) -> None:
    artifacts, run = Artifacts(url), a_run(lease_token=LEASE)
    artifacts.put_pairs(1, 2, b"pairs", ID)
    open_store(artifacts.checkpoints_url(run)).write("job.json", b"{}")
    artifacts.open_done(artifacts.done_name(run)).write("result.json", b"{}")
    assert names(url) == [
        f"installations/1/repositories/2/pairs/{ID}.parquet",
        "installations/1/repositories/2/runs/7/checkpoints/job.json",
        "installations/1/repositories/2/runs/7/done/abcdef012345/result.json",
    ]
    assert artifacts.run_url(run) == f"{url.rstrip('/')}/installations/1/repositories/2/runs/7"


def test_existing_pairs_are_not_overwritten(url: str) -> None:
    artifacts = Artifacts(url)
    artifacts.put_pairs(1, 2, b"pairs", ID)
    artifacts.put_pairs(1, 2, b"written by another version of a library", ID)
    assert artifacts.read_pairs(a_run(pair_set_id=ID)) == b"pairs"


def test_pairs_are_verified_before_use(url: str) -> None:
    artifacts, pairs, others = Artifacts(url), planted(seed=1), planted(seed=2)
    artifacts.put_pairs(1, 2, encode_pairs(pairs), pairs.id)
    artifacts.put_pairs(1, 2, encode_pairs(pairs), others.id)
    artifacts.put_pairs(1, 2, encode_pairs(others)[:-20], OTHER)
    assert artifacts.get_pairs(a_run(pair_set_id=pairs.id)) == encode_pairs(pairs)
    for wrong, error in ((others.id, PairsChanged), (OTHER, AssayError), (ID, PairsGone)):
        with pytest.raises(error, match="run 7"):
            artifacts.get_pairs(a_run(pair_set_id=wrong))


def test_pairs_of_another_repository_are_not_found(url: str) -> None:
    artifacts = Artifacts(url)
    artifacts.put_pairs(1, 2, b"pairs", ID)
    with pytest.raises(PairsGone):
        artifacts.read_pairs(a_run(repository_id=3, pair_set_id=ID))


@pytest.mark.parametrize("wrong", ["", "../../secret", "1" * 63, "1" * 63 + "A", "1" * 64 + "\n"])
def test_pairs_must_be_named_by_a_hash(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not the id"):
        Artifacts(tmp_path).put_pairs(1, 2, b"", wrong)


@pytest.mark.parametrize("token", ["", "abc", "../../../x/y/z", "ABCDEF0123456789"])
def test_results_must_be_named_by_a_lease(token: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no lease"):
        Artifacts(tmp_path).done_name(a_run(lease_token=token))


def filled(url: str) -> Artifacts:
    artifacts = Artifacts(url)
    for repository_id in (2, 3):
        artifacts.put_pairs(1, repository_id, b"pairs", ID)
        artifacts.put_pairs(1, repository_id, b"pairs", OTHER)
        for run_id in (7, 8):
            run = a_run(repository_id=repository_id, run_id=run_id, lease_token=LEASE)
            open_store(artifacts.checkpoints_url(run)).write("seed-1/fit/step-4.ckpt", b"x")
            artifacts.open_done(artifacts.done_name(run)).write("seed-1/adapter.safetensors", b"x")
    artifacts.put_pairs(4, 5, b"pairs", ID)
    return artifacts


def test_leftovers_are_removed_and_the_results_kept(url: str) -> None:
    artifacts = filled(url)
    zombie = a_run(lease_token="9" * 32)
    artifacts.open_done(artifacts.done_name(zombie)).write("result.json", b"{}")
    over = a_run(artifacts=artifacts.done_name(a_run(lease_token=LEASE)))
    before = names(url)
    artifacts.remove_leftovers(over)
    gone = set(before) - set(names(url))
    assert {name.removeprefix("installations/1/repositories/2/runs/7/") for name in gone} == {
        "checkpoints/seed-1/fit/step-4.ckpt",
        "done/999999999999/result.json",
    }
    artifacts.remove_leftovers(over)
    assert set(before) - set(names(url)) == gone


def test_a_run_without_results_leaves_nothing(url: str) -> None:
    artifacts = filled(url)
    artifacts.remove_leftovers(a_run(artifacts=""))
    assert not any("/2/runs/7/" in name for name in names(url))


def test_removing_a_run_keeps_its_pairs(url: str) -> None:
    artifacts = filled(url)
    before = len(names(url))
    artifacts.remove_run(a_run())
    assert before - len(names(url)) == 2
    assert artifacts.read_pairs(a_run(pair_set_id=ID))


def test_contents_are_listed_once_and_removable_one_by_one(url: str) -> None:
    artifacts = filled(url)
    open_store(artifacts.checkpoints_url(a_run())).write("job.json", b"{}")
    lease, of = LEASE[:12], [s for s in artifacts.contents() if s.repository_id == 2 and s.kind]
    assert of == [
        Stored(1, 2, "checkpoints", 7),
        Stored(1, 2, "checkpoints", 8),
        Stored(1, 2, "done", 7, lease),
        Stored(1, 2, "done", 8, lease),
        Stored(1, 2, "pairs", name=ID),
        Stored(1, 2, "pairs", name=OTHER),
    ]
    for stored in of:
        artifacts.remove(stored)
        left = [s for s in artifacts.contents() if s.repository_id == 2 and s.kind]
        assert left == of[of.index(stored) + 1 :]
        artifacts.remove(stored)
    assert len(names(url)) == 7


def test_removing_a_repository_or_an_installation_removes_everything(url: str) -> None:
    artifacts = filled(url)
    artifacts.remove_repository(1, 2)
    assert not any(name.startswith("installations/1/repositories/2/") for name in names(url))
    assert {(s.installation_id, s.repository_id) for s in artifacts.contents()} == {(1, 3), (4, 5)}
    artifacts.remove_installation(1)
    assert names(url) == [f"installations/4/repositories/5/pairs/{ID}.parquet"]
    artifacts.remove_installation(1)


def test_a_repository_with_only_a_partial_file_is_listed(tmp_path: Path) -> None:
    place = tmp_path / "installations/1/repositories/2/pairs"
    place.mkdir(parents=True)
    (place / ".x.parquet.part").write_bytes(b"code")
    assert Artifacts(tmp_path).contents() == (Stored(1, 2, ""),)


def test_folders_are_private_and_removed_when_empty(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "store"
    artifacts = filled(str(folder))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    half_written = folder / "installations/1/repositories/2/pairs/.x.parquet.part"
    half_written.write_bytes(b"code")
    for installation_id in (1, 4):
        artifacts.remove_installation(installation_id)
    assert list(folder.rglob("*")) == []


def test_links_in_the_store_are_removed_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_text("me")
    artifacts = filled(str(tmp_path / "store"))
    (tmp_path / "store/installations/1/repositories/2/pairs/link").symlink_to(outside)
    artifacts.remove_installation(1)
    assert (outside / "keep").read_text() == "me"


def test_an_unwritable_folder_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="ASSAY_ARTIFACTS_URL"):
        Artifacts(tmp_path / "file" / "store").put_pairs(1, 2, b"", ID)
