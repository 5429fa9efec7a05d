import os
from pathlib import Path

import pytest

from bot.cli.files import read_whole, require_writable, write_whole
from pipeline.records import AssayError


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_whole(path, "ρ ≥ 0.03\n")
    assert read_whole(path, 100).decode() == "ρ ≥ 0.03\n"
    write_whole(path, "new")
    assert read_whole(path, 3) == b"new"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_written_file_is_readable_as_the_umask_says(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    before = os.umask(0o027)
    try:
        write_whole(path, "x")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_failure_in_the_middle_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.txt"
    write_whole(path, "old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_what_cannot_be_written_is_said_before_the_work(tmp_path: Path) -> None:
    require_writable(tmp_path / "file.txt")
    assert os.listdir(tmp_path) == []
    with pytest.raises(AssayError, match=r"is a folder: name a file in it"):
        require_writable(tmp_path)
    with pytest.raises(AssayError, match=r"there is no folder .*none to write file\.txt in"):
        require_writable(tmp_path / "none" / "file.txt")


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * ((1 << 20) + 1))
    os.mkfifo(tmp_path / "pipe")
    for path, words in (
        (tmp_path / "none", "cannot read .*none: No such file"),
        (tmp_path, "is not a file"),
        (tmp_path / "pipe", "is not a file"),  # opening it would wait for ever
        (tmp_path / "big", "larger than 1 MB"),
        (Path("a\0b"), "cannot read"),
    ):
        with pytest.raises(AssayError, match=words) as refusal:
            read_whole(path, 1 << 20)
        assert "\n" not in str(refusal.value)
