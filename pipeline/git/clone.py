"""Clone the default branch of a repository into a bare folder, and fetch new commits into it later.

An interruption (Ctrl-C, kill, a full disk, a dropped connection) leaves the folder complete or absent:
1. a lock beside the folder excludes other processes, so leftover temporary files can be removed;
2. the pack is received into a temporary file, checked and indexed, and then made visible, its index last;
3. the branch is written, then HEAD, each by an atomic rename.
A first clone goes into a temporary folder that is renamed at the end. When packs accumulate, or the stored clone is
damaged, everything is received again and the old packs are deleted.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from pipeline.git.errors import DiskFull, FileTooLarge, Unavailable
from pipeline.git.http import Credentials
from pipeline.git.objects import ObjectReader
from pipeline.git.pack_index import index_pack
from pipeline.git.packs import ObjectProblem, Pack, has_own_checksum
from pipeline.git.remote import Remote, RemoteHead
from pipeline.git.repository import open_repository
from pipeline.git.url import CloneUrl, looks_like_url, parse_url
from pipeline.records import AssayError, printable

__all__ = ["CloneUrl", "clone_or_fetch", "is_damaged", "looks_like_url", "parse_url"]

MAX_PACKS: Final = 20
MAX_HAVES: Final = 64
LOCK_POLL_S: Final = 0.2
_REPORT_BYTES: Final = 1 << 20
_TEMPORARY: Final = ".part"  # in the names of temporary folders and files
_DETACHED: Final = b"refs/heads/HEAD"  # if the server names no branch

Progress = Callable[[str], None]


def clone_or_fetch(
    url: CloneUrl,
    into: Path,
    *,
    credentials: tuple[str, str] | None = None,
    progress: Progress | None = None,
    timeout_s: float = 60,
    max_bytes: int | None = None,
    ca_bundle: Path | None = None,
    proxies: Mapping[str, str] | None = None,
    from_scratch: bool = False,
) -> Path:
    """Bring the clone in `into` up to date with the default branch of `url`, and return `into`.

    `credentials` are (user, password) and are never stored. `timeout_s` limits connecting, each wait for data, and the
    wait for another process that uses the same folder. `max_bytes` limits the size of the received pack. `proxies`
    ("http", "https", "no") replace those of the environment. `from_scratch` receives everything again, to repair a
    damaged clone. Raises AssayError, or the subclass in `errors` that fits.
    """
    report = progress or (lambda line: None)
    secret = Credentials(*credentials) if credentials else None
    remote = Remote(url, credentials=secret, timeout_s=timeout_s, ca_bundle=ca_bundle, proxies=proxies)
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(remote), _locked(into, timeout_s, report):
            _remove_leftovers(into)
            if _is_clone(into):
                _update(remote, into, report, max_bytes, from_scratch)
            else:
                _clone(remote, into, report, max_bytes)
    except OSError as error:
        raise _disk_error(error, into) from None
    return into


def is_damaged(into: Path) -> bool:
    """Return whether any byte of a stored clone has changed since it was received. Reads all of its packs."""
    try:
        return not all(_has_own_checksum(path) for path in (into / "objects" / "pack").iterdir())
    except OSError:
        return True


def _has_own_checksum(path: Path) -> bool:
    with open(path, "rb") as file:
        return has_own_checksum(file, os.fstat(file.fileno()).st_size)


def _clone(remote: Remote, into: Path, report: Progress, max_bytes: int | None) -> None:
    head = remote.head()
    temporary = into.with_name(f"{into.name}{_TEMPORARY}{os.getpid()}")
    try:
        _init_bare(temporary, remote.url)
        _receive(remote, temporary, head, [], report, max_bytes)
        _write_head(temporary, head)
        _sync(temporary)
        os.rename(temporary, into)
        _sync(into.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _update(remote: Remote, into: Path, report: Progress, max_bytes: int | None, from_scratch: bool) -> None:
    head = remote.head()
    _init_bare(into, remote.url)
    stored = None if from_scratch else _stored_head(into)
    packs = sorted((into / "objects" / "pack").glob("*.pack"))
    if stored is None or len(packs) >= MAX_PACKS:
        report("repacking: receiving everything again" if stored else "the stored clone is damaged: receiving it again")
        kept = _receive(remote, into, head, [], report, max_bytes)
        _write_head(into, head)
        _delete_packs(into, kept)
        return
    if not _has_commit(into, head.id):
        _receive(remote, into, head, _haves(into, stored), report, max_bytes)
    _write_head(into, head)


def _receive(
    remote: Remote, git_dir: Path, head: RemoteHead, have: list[bytes], report: Progress, max_bytes: int | None
) -> str:
    """Receive, check and index a pack, then make it visible. Return its name without suffix."""
    folder = git_dir / "objects" / "pack"
    received = folder / f"received{_TEMPORARY}.pack"
    index = received.with_suffix(".idx")
    try:
        with open(received, "wb") as file:
            remote.receive(head.id, have, _ReportingWriter(file.write, report).write, max_bytes)
            file.flush()
            os.fsync(file.fileno())
        index_pack(received, lambda done, total: report(f"indexing {done * 100 // max(1, total)} %"))
        name = "pack-" + hashlib.sha1(index.read_bytes(), usedforsecurity=False).hexdigest()
        os.replace(received, folder / f"{name}.pack")
        os.replace(index, folder / f"{name}.idx")
        _sync(folder)
    except ObjectProblem as problem:
        raise AssayError(f"{remote.url} sent an unusable pack ({problem}): try again") from None
    finally:
        received.unlink(missing_ok=True)
        index.unlink(missing_ok=True)
    if not _has_commit(git_dir, head.id):
        raise Unavailable(f"{remote.url} did not send the head of its default branch: try again later")
    return name


class _ReportingWriter:
    """A writer that reports how much has been received."""

    def __init__(self, write: Callable[[bytes], object], report: Progress) -> None:
        self._write = write
        self._report = report
        self._bytes = 0

    def write(self, data: bytes) -> None:
        before = self._bytes // _REPORT_BYTES
        self._write(data)
        self._bytes += len(data)
        if self._bytes // _REPORT_BYTES != before:
            self._report(f"receiving {self._bytes / 1e6:,.0f} MB")


def _init_bare(git_dir: Path, url: CloneUrl) -> None:
    """Create the files of a bare repository, without refs and without credentials."""
    for folder in ("objects/pack", "objects/info", "refs/heads"):
        (git_dir / folder).mkdir(parents=True, exist_ok=True)
    config = f'[core]\n\trepositoryformatversion = 0\n\tbare = true\n[remote "origin"]\n\turl = "{url}"\n'
    if not _has_content(git_dir / "config", config.encode()):
        _replace(git_dir / "config", config.encode())
    if not (git_dir / "HEAD").is_file():
        _replace(git_dir / "HEAD", b"ref: " + _DETACHED + b"\n")


def _write_head(git_dir: Path, head: RemoteHead) -> None:
    """Write the branch (into packed-refs, so that its name never becomes a path), then HEAD."""
    ref = head.ref or _DETACHED
    current = (git_dir / "HEAD").read_bytes().strip().removeprefix(b"ref: ")
    lines = [b"%s %s" % (head.id.hex().encode(), ref)]
    if current != ref:
        lines += [line for line in _packed_refs(git_dir) if line[41:] == current]  # until HEAD has moved
    lines.sort(key=lambda line: line[41:])
    _replace(git_dir / "packed-refs", b"# pack-refs with: sorted \n" + b"\n".join(lines) + b"\n")
    _replace(git_dir / "HEAD", b"ref: " + ref + b"\n")


def _packed_refs(git_dir: Path) -> list[bytes]:
    try:
        return (git_dir / "packed-refs").read_bytes().splitlines()
    except FileNotFoundError:
        return []


def _has_content(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False


def _replace(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    unfinished = path.with_name(path.name + _TEMPORARY)
    with open(unfinished, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def _sync(folder: Path) -> None:
    """Make the renames in a folder survive a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _is_clone(into: Path) -> bool:
    """Return whether the folder holds a clone, damaged or not. Raises AssayError if it holds anything else."""
    if not os.path.lexists(into):
        return False
    if (into / "objects" / "pack").is_dir():
        return True
    if into.is_dir() and not any(into.iterdir()):
        into.rmdir()
        return False
    raise AssayError(f"{printable(os.fsencode(into))} exists and is not a clone: move it away")


def _stored_head(into: Path) -> bytes | None:
    """Return the head of the stored clone, or None if a quick check (not of every byte) finds it damaged."""
    try:
        head = open_repository(into).head
        for index in (into / "objects" / "pack").glob("*.idx"):
            if not _is_whole(index):
                return None
        with ObjectReader(into / "objects", cache_bytes=1 << 20) as reader:
            tree = reader.commit(head)[5:45]
            reader.tree(bytes.fromhex(tree.decode("ascii", "replace")))
    except (AssayError, ObjectProblem, ValueError):
        return None
    return head


def _is_whole(index: Path) -> bool:
    """Return whether the pack ends with the checksum in its index. Detects truncation, not flipped bits."""
    pack = Pack(index)
    try:
        pack.open()
        return pack.bytes_at(pack.end, 20) == pack.checksum
    finally:
        pack.close()
        pack.close_index()


def _has_commit(git_dir: Path, commit: bytes) -> bool:
    """Return whether a commit is stored. If so, all it reaches is too: packs become visible only when complete."""
    with ObjectReader(git_dir / "objects", cache_bytes=1 << 20) as reader:
        try:
            reader.commit(commit)
        except ObjectProblem:
            return False
    return True


def _haves(git_dir: Path, head: bytes) -> list[bytes]:
    """Return some stored commits: the head and first parents at growing distances, in case the branch was rewritten."""
    haves = [head]
    step, taken = 1, 0
    with ObjectReader(git_dir / "objects", cache_bytes=1 << 20) as reader:
        commit = head
        while len(haves) < MAX_HAVES:
            try:
                content = reader.commit(commit)
                if content[46:53] != b"parent ":
                    break
                commit = bytes.fromhex(content[53:93].decode("ascii", "replace"))
            except (ObjectProblem, ValueError):
                break
            taken += 1
            if taken == step:
                haves.append(commit)
                step, taken = step + max(1, step // 2), 0
    return haves


def _delete_packs(git_dir: Path, kept: str) -> None:
    """Delete every pack but one, indexes first. Processes that have them open can read on."""
    folder = git_dir / "objects" / "pack"
    for suffix in (".idx", ".pack"):
        for path in folder.glob(f"*{suffix}"):
            if path.stem != kept:
                path.unlink(missing_ok=True)


def _remove_leftovers(into: Path) -> None:
    """Remove the temporary files of a killed process. Requires the lock."""
    for path in into.parent.glob(f"{glob.escape(into.name)}{_TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True)
    for folder in (into, into / "objects" / "pack"):
        for path in folder.glob(f"*{_TEMPORARY}*"):
            path.unlink(missing_ok=True)
    for pack in (into / "objects" / "pack").glob("*.pack"):
        if not pack.with_suffix(".idx").exists():
            pack.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(into: Path, timeout_s: float, report: Progress) -> Iterator[None]:
    """Hold the lock of a folder. The system releases it when the process ends, even if it is killed."""
    lock = into.with_name(into.name + ".lock")
    with open(lock, "ab") as file:
        give_up_at_s = time.monotonic() + timeout_s
        waiting = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    report("waiting for another assay process to finish with this clone")
                waiting = True
            if time.monotonic() > give_up_at_s:
                raise Unavailable(
                    f"another assay process is using {printable(os.fsencode(into))}: try again when it has finished"
                )
            time.sleep(LOCK_POLL_S)
        yield


def _disk_error(error: OSError, into: Path) -> AssayError:
    place = printable(os.fsencode(into.parent))
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        kind = FileTooLarge if error.errno == errno.EFBIG else DiskFull
        return kind(f"no space left in {place}: free some, or set ASSAY_DATA_DIR to a larger disk")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return AssayError(f"{place} is not writable: set ASSAY_DATA_DIR to a folder that is")
    return AssayError(f"cannot write to {place}: {error.strerror or error}")
