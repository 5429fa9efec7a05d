from __future__ import annotations

import stat
from pathlib import Path

from bot.gpu_worker.scratch import run_folder, scratch_folder


def test_scratch_folders_are_private_and_removed(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "gpu") as scratch, run_folder(scratch, 7) as folder:
        (folder / "code").write_text("private")
        assert [stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "gpu", scratch, folder)] == [0o700] * 3
    assert list((tmp_path / "gpu").iterdir()) == []


def test_leftovers_of_killed_workers_are_removed_and_locked_folders_kept(tmp_path: Path) -> None:
    leftover = tmp_path / "work-leftover"
    leftover.mkdir()
    (leftover / ".lock").touch()
    (leftover / "code").write_text("private")
    with scratch_folder(tmp_path) as first:
        assert not leftover.exists()
        with scratch_folder(tmp_path) as second:
            assert first.is_dir()
            assert second != first
