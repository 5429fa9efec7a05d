"""Where clones are stored, which are evicted when room is short, and that nothing else is ever deleted."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from bot.disk.clone_cache import CloneCache
from bot.disk.private_folders import size_bytes
from pipeline.git.errors import DiskFull

PLENTY = 1 << 40


def clones_in(root: Path, **changes: Any) -> CloneCache:
    limits: dict[str, Any] = {
        "installation_quota_bytes": PLENTY,
        "total_quota_bytes": PLENTY,
        "free_bytes_kept": 0,
        "pack_limit_bytes": 1_000,
    }
    return CloneCache(root, **limits | changes)


def fill(clones: CloneCache, installation_id: int, repository_id: int, size: int = 100) -> Path:
    """Store a clone of `size` bytes as the most recently used one."""
    folder = clones.prepare(installation_id, repository_id)
    (folder / "clone.git").mkdir(exist_ok=True)
    (folder / "clone.git" / "pack").write_bytes(bytes(size))
    with clones.in_use(installation_id, repository_id):
        clones.mark_used(installation_id, repository_id)
    return folder


def there(root: Path) -> list[str]:
    return sorted(f"{f.parent.name}/{f.name}" for f in root.glob("[0-9]*/*") if f.is_dir())


def test_a_folder_is_named_by_ids_and_private(tmp_path: Path) -> None:
    clones = clones_in(tmp_path / "clones")
    folder = clones.prepare(7, 21)
    assert folder == clones.folder(7, 21) == tmp_path / "clones" / "7" / "21"
    assert [p.stat().st_mode & 0o777 for p in (folder, folder.parent)] == [0o700, 0o700]


def test_ids_must_be_numbers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        clones_in(tmp_path).folder("../../etc", 1)  # type: ignore[arg-type]


def test_over_its_quota_an_installation_loses_its_least_recently_used_clone(tmp_path: Path) -> None:
    clones = clones_in(tmp_path, installation_quota_bytes=250)
    for repository_id in (1, 2, 3):
        fill(clones, 7, repository_id)
    fill(clones, 8, 1)
    clones.mark_used(7, 1)
    clones.prepare(7, 4)
    assert there(tmp_path) == ["7/1", "7/3", "7/4", "8/1"]


def test_over_the_total_quota_the_least_recently_used_clone_goes(tmp_path: Path) -> None:
    clones = clones_in(tmp_path, total_quota_bytes=250)
    for installation_id in (1, 2, 3):
        fill(clones, installation_id, 5)
    clones.prepare(4, 5)
    assert there(tmp_path) == ["2/5", "3/5", "4/5"]


def test_the_order_of_use_survives_the_process(tmp_path: Path) -> None:
    clones = clones_in(tmp_path)
    for repository_id in (1, 2, 3):
        fill(clones, 7, repository_id)
        os.utime(tmp_path / "7" / f"{repository_id}.lock", (repository_id, repository_id))
    os.utime(tmp_path / "7" / "1.lock", (9, 9))
    clones_in(tmp_path, total_quota_bytes=200).prepare(7, 4)
    assert there(tmp_path) == ["7/1", "7/3", "7/4"]


def test_the_requested_clone_is_never_evicted(tmp_path: Path) -> None:
    clones = clones_in(tmp_path, installation_quota_bytes=50)
    folder = fill(clones, 7, 1, size=500)
    assert clones.prepare(7, 1) == folder
    assert size_bytes(folder) == 500


def test_a_clone_in_use_is_never_evicted(tmp_path: Path) -> None:
    clones = clones_in(tmp_path, total_quota_bytes=150)
    fill(clones, 7, 1)
    with clones.in_use(7, 1):
        fill(clones, 7, 2)
        fill(clones, 7, 3)
        assert there(tmp_path) == ["7/1", "7/3"]
    clones.prepare(7, 4)
    assert there(tmp_path) == ["7/3", "7/4"]


HOLDS = """
import sys
from pathlib import Path
from bot.disk.clone_cache import CloneCache
clones = CloneCache(Path(sys.argv[1]), installation_quota_bytes=1, total_quota_bytes=1, free_bytes_kept=0)
with clones.in_use(7, 1):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.faults
def test_a_clone_used_by_another_process_stays_until_that_process_ends(tmp_path: Path) -> None:
    clones = clones_in(tmp_path, total_quota_bytes=50)
    fill(clones, 7, 1)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        clones.prepare(7, 2)
        assert there(tmp_path) == ["7/1", "7/2"]
        other.kill()
    clones.prepare(7, 2)
    assert there(tmp_path) == ["7/2"]


def test_a_full_disk_evicts_clones_and_then_raises(tmp_path: Path) -> None:
    def free_bytes(folder: Path) -> int:
        return 500 - size_bytes(tmp_path)

    clones = clones_in(tmp_path, free_bytes_kept=350, free_bytes=free_bytes)
    fill(clones, 7, 1)
    fill(clones, 8, 2)
    clones.prepare(9, 3)
    assert there(tmp_path) == ["8/2", "9/3"]
    (tmp_path / "something else").write_bytes(bytes(300))
    with pytest.raises(DiskFull, match="and no clone can be removed: free some, or set ASSAY_DATA_DIR"):
        clones.prepare(9, 4)
    assert there(tmp_path) == ["9/3"]


def test_an_unwritable_root_raises_disk_full(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DiskFull, match="no folder for a clone can be made"):
        clones_in(tmp_path / "file" / "clones").prepare(7, 1)


def test_room_is_the_minimum_of_all_limits(tmp_path: Path) -> None:
    assert clones_in(tmp_path / "none").room_for(7) == 1_000
    assert clones_in(tmp_path, free_bytes=lambda folder: 300, free_bytes_kept=100).room_for(7) == 200
    assert clones_in(tmp_path, free_bytes=lambda folder: 300, free_bytes_kept=400).room_for(7) == 0
    limited = clones_in(tmp_path, installation_quota_bytes=500, total_quota_bytes=600)
    fill(limited, 7, 1)
    fill(limited, 8, 1, size=150)
    assert limited.room_for(7) == 500  # what is idle could go
    with limited.in_use(7, 1):
        assert limited.room_for(7) == 400
        assert limited.room_for(8) == 500
        with limited.in_use(8, 1):
            assert limited.room_for(7) == 350


def test_removing_a_repository_or_an_installation_leaves_nothing(tmp_path: Path) -> None:
    clones = clones_in(tmp_path)
    for key in ((7, 1), (7, 2), (8, 1)):
        fill(clones, *key)
    clones.remove(7, 1)
    assert there(tmp_path) == ["7/2", "8/1"]
    clones.remove(7)
    clones.remove(7)
    clones.remove(9, 9)
    assert there(tmp_path) == ["8/1"]
    clones.remove(8, 1)
    assert [path for path in tmp_path.rglob("*") if path.name != ".removed"] == []


def test_removal_does_not_wait_for_users(tmp_path: Path) -> None:
    clones = clones_in(tmp_path)
    folder = fill(clones, 7, 1)
    with clones.in_use(7, 1):
        clones.remove(7, 1)
        assert not folder.exists()
        clones.mark_used(7, 1)
        clones.prepare(7, 1)
        with clones.in_use(7, 1):  # whoever begins anew has a lock of its own
            assert folder.is_dir()
    assert clones.orphans(set()) == [(7, 1)]


def test_many_threads_use_evict_and_remove_concurrently(tmp_path: Path) -> None:
    problems: list[BaseException] = []

    def work(number: int) -> None:
        clones = clones_in(tmp_path, total_quota_bytes=300)
        try:
            for turn in range(15):
                key = (1 + (number + turn) % 2, 1 + turn % 3)
                with clones.in_use(*key):
                    (clones.prepare(*key) / f"{number}").write_bytes(bytes(100))
                    clones.mark_used(*key)
                if turn % 5 == 4:
                    clones.remove(key[0])
                elif turn % 3 == 2:
                    clones.remove(*key)
        except FileNotFoundError:  # a removal between `prepare` and writing: what the screening would fail of
            pass
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_orphans_are_stored_but_unknown(tmp_path: Path) -> None:
    clones = clones_in(tmp_path)
    for key in ((7, 1), (7, 2), (8, 1)):
        fill(clones, *key)
    for junk in ("07/1", "7/x", "7/-1", "٧/1", "7/1e3"):
        (tmp_path / junk).mkdir(parents=True)
    assert clones.orphans({(7, 1)}) == [(7, 2), (8, 1)]
    assert clones_in(tmp_path / "nothing").orphans(set()) == []


def test_links_in_a_clone_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(bytes(5_000))
    clones = clones_in(tmp_path / "clones")
    folder = fill(clones, 7, 1)
    (folder / "out").symlink_to(outside)
    (folder / "precious").symlink_to(outside / "precious")
    (folder / "circle").symlink_to(folder)
    assert size_bytes(folder) < 1_000
    clones.remove(7, 1)
    assert not folder.exists()
    assert (outside / "precious").stat().st_size == 5_000


def test_a_link_in_place_of_a_folder_or_lock_is_replaced(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    clones = clones_in(tmp_path / "clones")
    folder = fill(clones, 7, 1)
    clones.remove(7, 1)
    folder.parent.mkdir(exist_ok=True)
    folder.symlink_to(outside)
    folder.with_name("1.lock").symlink_to(outside / "precious")
    (tmp_path / "clones" / "8").symlink_to(outside)
    with clones.in_use(7, 1):
        assert not clones.prepare(7, 1).is_symlink()
    assert clones.orphans(set()) == [(7, 1)]
    clones.remove(8)
    assert (outside / "precious").read_text() == "mine"
    assert os.listdir(tmp_path / "clones") != []


def test_unreadable_folders_and_interrupted_removals_are_deleted(tmp_path: Path) -> None:
    folder = fill(clones_in(tmp_path), 7, 1)
    (folder / "closed" / "inner").mkdir(parents=True)
    (folder / "closed" / "inner").chmod(0)
    (folder / "closed").chmod(0)
    (tmp_path / ".removed" / "half").mkdir(parents=True)
    (tmp_path / ".removed" / "link").symlink_to(tmp_path)
    clones = clones_in(tmp_path)
    clones.prepare(8, 1)
    clones.remove(7, 1)
    assert os.listdir(tmp_path / ".removed") == []
    assert there(tmp_path) == ["8/1"]


def test_a_root_that_is_a_link_to_a_larger_disk_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "clones").symlink_to(tmp_path / "disk")
    clones = clones_in(tmp_path / "clones")
    fill(clones, 7, 1)
    assert clones.orphans(set()) == [(7, 1)]
    assert there(tmp_path / "disk") == ["7/1"]
