from __future__ import annotations

import stat
from pathlib import Path

from bot.gpu_worker.scratch import run_folder, scratch_folder


def test_a_folder_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "gpu") as scratch, run_folder(scratch, 7) as folder:
        (folder / "code").write_text("private")
        assert [stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "gpu", scratch, folder)] == [0o700] * 3
    assert list((tmp_path / "gpu").iterdir()) == []


def test_what_a_killed_worker_left_is_removed_and_what_another_holds_is_not(tmp_path: Path) -> None:
    left = tmp_path / "work-left"
    left.mkdir()
    (left / ".lock").touch()
    (left / "code").write_text("private")
    with scratch_folder(tmp_path) as first:
        assert not left.exists()
        with scratch_folder(tmp_path) as second:
            assert first.is_dir()
            assert second != first
