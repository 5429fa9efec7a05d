from __future__ import annotations

import errno
import hashlib
import os
import resource
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from pipeline.finetuning.artifact_store import MissingError, Store, StoreError, open_store
from pipeline.records import AssayError

pytestmark = pytest.mark.finetune


def local(tmp_path: Path) -> Store:
    return open_store(tmp_path / "kept")


def local_url(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}/kept")


def in_memory(tmp_path: Path) -> Store:
    return open_store(f"memory://{uuid.uuid4().hex}/kept")


@pytest.fixture(params=[local, local_url, in_memory])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    opened: Callable[[Path], Store] = request.param
    return opened(tmp_path)


def test_a_written_file_is_read_back(store: Store) -> None:
    assert store.names() == ()
    digest = store.write("run/step-1.bin", b"\x00\xff")
    assert digest == hashlib.sha256(b"\x00\xff").hexdigest()
    assert store.read("run/step-1.bin") == b"\x00\xff"
    store.write("a.json", b"{}")
    assert store.names() == ("a.json", "run/step-1.bin")


def test_a_file_is_replaced_as_a_whole(store: Store) -> None:
    store.write("a", b"long content")
    store.write("a", b"short")
    assert (store.read("a"), store.names()) == (b"short", ("a",))


def test_deleting_a_file_removes_it_and_deleting_a_missing_one_is_fine(store: Store) -> None:
    store.write("a", b"1")
    store.delete("a")
    store.delete("a")
    store.delete("never/there")
    assert store.names() == ()
    with pytest.raises(MissingError, match="no such file"):
        store.read("a")


def test_a_name_cannot_leave_the_folder(store: Store, subtests: pytest.Subtests) -> None:
    cases: list[str] = [
        "",
        "../a",
        "a/../b",
        "/etc/passwd",
        "a//b",
        ".hidden",
        "a/.b",
        "a\\b",
        "a b",
        "a/",
        "é",
        "a\n",
        "-rf",
        "C:a",
    ]
    for name in cases:
        with subtests.test(name=name):
            for use in (store.read, store.delete, lambda name: store.write(name, b"")):
                with pytest.raises(StoreError, match="is not a valid file name"):
                    use(name)


def test_another_process_sees_the_same_files(tmp_path: Path) -> None:
    local(tmp_path).write("run/a", b"1")
    assert local(tmp_path).read("run/a") == b"1"


def test_the_partial_file_of_a_killed_writer_is_ignored_and_removed(tmp_path: Path) -> None:
    store = local(tmp_path)
    store.write("run/a", b"1")
    stale = tmp_path / "kept" / "run" / ".b.part"
    stale.write_bytes(b"half")
    assert store.names() == ("run/a",)
    store.write("run/c", b"3")
    assert not stale.exists()


@pytest.fixture
def files_of_at_most_1_kb() -> Iterator[None]:
    """The system itself refuses to write more, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("files_of_at_most_1_kb")
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    store = local(tmp_path)
    store.write("run/a", b"old")
    with pytest.raises(StoreError, match=r"^disk full: cannot write .*run/a; free some space there, the last good"):
        store.write("run/a", bytes(5_000))
    assert (store.read("run/a"), store.names()) == (b"old", ("run/a",))
    assert [path.name for path in (tmp_path / "kept" / "run").iterdir()] == ["a"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_while_syncing_is_reported_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AssayError, match=r"^disk full: "):
        local(tmp_path).write("a", b"1")
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_file_is_synced_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: seen.append((tmp_path / "kept" / "a").exists()))
    local(tmp_path).write("a", b"1")
    assert seen == [False, True]  # the file, then the folder


def test_a_folder_that_is_a_file_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot write .*: File exists; check that .* can be written"):
        local(tmp_path).write("a", b"1")


def test_a_failing_remote_store_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise PermissionError("Access\nDenied")

    store = in_memory(tmp_path)
    monkeypatch.setattr(type(fsspec.filesystem("memory")), "pipe_file", refuse)
    with pytest.raises(StoreError, match=r"cannot write memory://.*/kept/a: Access Denied; check that memory://"):
        store.write("a", b"1")


@pytest.mark.parametrize("url", ["nothing://bucket/folder", "nothing://user:secret@bucket/folder?token=secret"])
def test_an_unknown_kind_of_url_is_reported_without_its_secrets(url: str) -> None:
    with pytest.raises(StoreError, match="cannot open nothing://bucket/folder: Protocol not known") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)
