"""Keep a bare clone of a repository's default branch in a folder of ours: clone it once, fetch what is new afterwards.

Whatever happens in the middle (Ctrl-C, kill, a full disk, an answer that breaks off), the folder is whole or absent:
1. a lock beside the folder keeps a second process away, so leftovers that are found are nobody's and are removed;
2. the pack is received into a temporary file, checked and indexed, and only then becomes visible (its index, last);
3. then the branch is written, then HEAD, each by an atomic rename.
A first clone happens in a temporary folder that is renamed at the end. Past some packs, or where the stored clone is
damaged, everything is received once more and the old packs are dropped.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
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
from pipeline.git.packs import ObjectProblem, Pack
from pipeline.git.remote import Remote, RemoteHead
from pipeline.git.repository import open_repository
from pipeline.git.url import CloneUrl, looks_like_url, parse_url
from pipeline.records import AssayError, printable

__all__ = ["CloneUrl", "clone_or_fetch", "is_damaged", "looks_like_url", "parse_url"]

MOST_PACKS: Final = 20
MOST_HAVES: Final = 64
LOCK_POLL_S: Final = 0.2
_REPORT_BYTES: Final = 1 << 20
_PART: Final = ".part"  # of the names of temporary folders and files
_DETACHED: Final = b"refs/heads/HEAD"  # where a server names no branch

Progress = Callable[[str], None]


def clone_or_fetch(
    url: CloneUrl,
    into: Path,
    *,
    credentials: tuple[str, str] | None = None,
    progress: Progress | None = None,
    timeout_s: float = 60,
    most_bytes: int | None = None,
    ca_bundle: Path | None = None,
    proxies: Mapping[str, str] | None = None,
    afresh: bool = False,
) -> Path:
    """Bring `into` up to date with the default branch of `url`, and return it.

    `credentials` are (user, password) and are never stored. `timeout_s` bounds connecting, each wait for data, and
    the wait for another process that works on the same folder. `most_bytes` bounds the pack that is received.
    `proxies` ("http", "https", "no") stand in for those of the environment. `afresh` receives everything once more
    (for a stored clone that turned out damaged). Raises AssayError, as a kind of `clone_problems` where it is one.
    """
    say = progress or (lambda line: None)
    secret = Credentials(*credentials) if credentials else None
    remote = Remote(url, credentials=secret, timeout_s=timeout_s, ca_bundle=ca_bundle, proxies=proxies)
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(remote), _locked(into, timeout_s, say):
            _remove_leftovers(into)
            if _is_ours(into):
                _update(remote, into, say, most_bytes, afresh)
            else:
                _clone(remote, into, say, most_bytes)
    except OSError as error:
        raise _disk_problem(error, into) from None
    return into


def is_damaged(into: Path) -> bool:
    """Whether a stored clone is not what was once received, to the last bit. Reads every byte of its packs."""
    try:
        return not all(_has_own_checksum(path) for path in (into / "objects" / "pack").iterdir())
    except OSError:
        return True


def _has_own_checksum(path: Path) -> bool:
    """Packs and their indexes end with the SHA-1 of what stands before."""
    with open(path, "rb") as file:
        left_bytes = file.seek(0, os.SEEK_END) - 20
        if left_bytes < 0:
            return False
        file.seek(left_bytes)
        checksum = file.read()
        file.seek(0)
        digest = hashlib.sha1(usedforsecurity=False)
        while chunk := file.read(min(left_bytes, 1 << 20)):
            digest.update(chunk)
            left_bytes -= len(chunk)
    return digest.digest() == checksum


def _clone(remote: Remote, into: Path, say: Progress, most_bytes: int | None) -> None:
    head = remote.head()
    part = into.with_name(f"{into.name}{_PART}{os.getpid()}")
    try:
        _lay_out(part, remote.url)
        _receive(remote, part, head, [], say, most_bytes)
        _point_head(part, head)
        _sync(part)
        os.rename(part, into)
        _sync(into.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _update(remote: Remote, into: Path, say: Progress, most_bytes: int | None, afresh: bool) -> None:
    head = remote.head()
    _lay_out(into, remote.url)
    stored = None if afresh else _stored_head(into)
    packs = sorted((into / "objects" / "pack").glob("*.pack"))
    if stored is None or len(packs) >= MOST_PACKS:
        say("receiving everything once more" if stored else "the stored clone is damaged: receiving it once more")
        kept = _receive(remote, into, head, [], say, most_bytes)
        _point_head(into, head)
        _drop_packs(into, kept)
        return
    if not _has(into, head.id):
        _receive(remote, into, head, _haves(into, stored), say, most_bytes)
    _point_head(into, head)


def _receive(
    remote: Remote, git_dir: Path, head: RemoteHead, have: list[bytes], say: Progress, most_bytes: int | None
) -> str:
    """Receive, check and index a pack, then make it visible; return its name without ending."""
    folder = git_dir / "objects" / "pack"
    received = folder / f"received{_PART}.pack"
    index = received.with_suffix(".idx")
    try:
        with open(received, "wb") as file:
            remote.receive(head.id, have, _Reporting(file.write, say).write, most_bytes)
            file.flush()
            os.fsync(file.fileno())
        index_pack(received, lambda done, total: say(f"indexing {done * 100 // max(1, total)} %"))
        name = "pack-" + hashlib.sha1(index.read_bytes(), usedforsecurity=False).hexdigest()
        os.replace(received, folder / f"{name}.pack")
        os.replace(index, folder / f"{name}.idx")
        _sync(folder)
    except ObjectProblem as problem:
        raise AssayError(f"{remote.url} sent a pack that cannot be used ({problem}): try again") from None
    finally:
        received.unlink(missing_ok=True)
        index.unlink(missing_ok=True)
    if not _has(git_dir, head.id):
        raise Unavailable(f"{remote.url} did not send the head of its default branch: try again later")
    return name


class _Reporting:
    """A write function that says how much it has written."""

    def __init__(self, write: Callable[[bytes], object], say: Progress) -> None:
        self._write = write
        self._say = say
        self._bytes = 0

    def write(self, data: bytes) -> None:
        before = self._bytes // _REPORT_BYTES
        self._write(data)
        self._bytes += len(data)
        if self._bytes // _REPORT_BYTES != before:
            self._say(f"receiving {self._bytes / 1e6:,.0f} MB")


def _lay_out(git_dir: Path, url: CloneUrl) -> None:
    """The files of a bare repository, without refs. Credentials have no place here."""
    for folder in ("objects/pack", "objects/info", "refs/heads"):
        (git_dir / folder).mkdir(parents=True, exist_ok=True)
    config = f'[core]\n\trepositoryformatversion = 0\n\tbare = true\n[remote "origin"]\n\turl = "{url}"\n'
    if not _holds(git_dir / "config", config.encode()):
        _replace(git_dir / "config", config.encode())
    if not (git_dir / "HEAD").is_file():
        _replace(git_dir / "HEAD", b"ref: " + _DETACHED + b"\n")


def _point_head(git_dir: Path, head: RemoteHead) -> None:
    """Write the branch (into packed-refs: its name never becomes a path), then HEAD."""
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


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    unfinished = path.with_name(path.name + _PART)
    with open(unfinished, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def _sync(folder: Path) -> None:
    """Make renames in a folder last through a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _is_ours(into: Path) -> bool:
    """Whether there is a clone of ours, damaged or not. Raises AssayError where something else is in the way."""
    if not os.path.lexists(into):
        return False
    if (into / "objects" / "pack").is_dir():
        return True
    if into.is_dir() and not any(into.iterdir()):
        into.rmdir()
        return False
    raise AssayError(f"{printable(os.fsencode(into))} is in the way and is no clone: move it away")


def _stored_head(into: Path) -> bytes | None:
    """The head of the stored clone, None where it is damaged as far as can be told without reading all of it."""
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
    """Whether the pack ends with the checksum that its index remembers: finds cut-off files, not flipped bits."""
    pack = Pack(index)
    try:
        pack.open()
        return pack.bytes_at(pack.end, 20) == pack.checksum
    finally:
        pack.close()
        pack.close_index()


def _has(git_dir: Path, commit: bytes) -> bool:
    """Whether a commit is there; then so is everything it reaches, since packs become visible only when whole."""
    with ObjectReader(git_dir / "objects", cache_bytes=1 << 20) as reader:
        try:
            reader.commit(commit)
        except ObjectProblem:
            return False
    return True


def _haves(git_dir: Path, head: bytes) -> list[bytes]:
    """Some commits that we have: the head and its first parents at growing distances, for rewritten histories."""
    haves = [head]
    step, taken = 1, 0
    with ObjectReader(git_dir / "objects", cache_bytes=1 << 20) as reader:
        commit = head
        while len(haves) < MOST_HAVES:
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


def _drop_packs(git_dir: Path, kept: str) -> None:
    """Remove every pack but one, index first. Who reads them now keeps what is open."""
    folder = git_dir / "objects" / "pack"
    for ending in (".idx", ".pack"):
        for path in folder.glob(f"*{ending}"):
            if path.stem != kept:
                path.unlink(missing_ok=True)


def _remove_leftovers(into: Path) -> None:
    """What a killed process left behind; the lock says that nobody is at work."""
    for path in into.parent.glob(f"{_escaped(into.name)}{_PART}*"):
        shutil.rmtree(path, ignore_errors=True)
    for folder in (into, into / "objects" / "pack"):
        for path in folder.glob(f"*{_PART}*"):
            path.unlink(missing_ok=True)
    for pack in (into / "objects" / "pack").glob("*.pack"):
        if not pack.with_suffix(".idx").exists():
            pack.unlink(missing_ok=True)


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


@contextlib.contextmanager
def _locked(into: Path, timeout_s: float, say: Progress) -> Iterator[None]:
    """Hold the lock of a folder. The system lets go of it when a process ends, however it ends."""
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
                    say("waiting for another assay that works on the same clone")
                waiting = True
            if time.monotonic() > give_up_at_s:
                raise Unavailable(
                    f"another assay is working on {printable(os.fsencode(into))}: try again when it is done"
                )
            time.sleep(LOCK_POLL_S)
        yield


def _disk_problem(error: OSError, into: Path) -> AssayError:
    place = printable(os.fsencode(into.parent))
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        kind = FileTooLarge if error.errno == errno.EFBIG else DiskFull
        return kind(f"no space left in {place}: free some, or set ASSAY_DATA_DIR to a larger disk")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return AssayError(f"{place} cannot be written to: set ASSAY_DATA_DIR to a folder of yours")
    return AssayError(f"cannot write to {place}: {error.strerror or error}")
