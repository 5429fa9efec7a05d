"""Store the files that must outlive a run: in a local directory, or at any fsspec URL.

Files are atomic: written beside their place, synced and renamed locally; object stores show an object only once it is
complete. A folder has one writer at a time.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import fsspec

from pipeline.records import AssayError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(://|::)")
_SECRET = re.compile(r"(?<=//)[^/@]*@|\?.*")
_PARTIAL = ".part"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class StoreError(AssayError):
    """A file cannot be read or written; the message says what to do."""


class MissingError(StoreError):
    """A file does not exist."""


class Store(Protocol):
    """Files by name: parts of letters, digits, `.`, `_` and `-`, joined by `/`. Every method raises StoreError."""

    where: str  # for messages, without secrets

    def write(self, name: str, data: bytes) -> str:
        """Write or replace the file and return its SHA-256 (64 hexadecimal digits)."""
        ...

    def read(self, name: str) -> bytes:
        """Return the whole file. Raises MissingError if it does not exist."""
        ...

    def names(self) -> tuple[str, ...]:
        """Return all names, sorted; none if the folder does not exist yet."""
        ...

    def delete(self, name: str) -> None:
        """Delete the file if it exists."""
        ...


def open_store(url: str | Path) -> Store:
    """Open the store in a directory (it need not exist yet) or at an fsspec URL (`s3://bucket/folder`)."""
    text = str(url)
    if text.startswith("file://"):
        return LocalStore(Path(text.removeprefix("file://")))
    return RemoteStore(text) if _SCHEME.match(text) else LocalStore(Path(text))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class LocalStore:
    """A directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.where = str(folder)

    def write(self, name: str, data: bytes) -> str:
        path = self._path(name)
        partial = path.with_name(f".{path.name}{_PARTIAL}")
        with _explained(f"cannot write {path}", self.where):
            path.parent.mkdir(parents=True, exist_ok=True)
            for stale in path.parent.glob(f".*{_PARTIAL}"):  # of a process that was killed
                stale.unlink(missing_ok=True)
            try:
                _write_synced(partial, data)
                partial.replace(path)
            except BaseException:
                with suppress(OSError):
                    partial.unlink()
                raise
            _sync_folder(path.parent)
        return sha256(data)

    def read(self, name: str) -> bytes:
        path = self._path(name)
        with _explained(f"cannot read {path}", self.where):
            return path.read_bytes()

    def names(self) -> tuple[str, ...]:
        with _explained(f"cannot list {self._folder}", self.where):
            names = (p.relative_to(self._folder).as_posix() for p in self._folder.rglob("*") if p.is_file())
            return tuple(sorted(name for name in names if _NAME.fullmatch(name)))

    def delete(self, name: str) -> None:
        path = self._path(name)
        with _explained(f"cannot delete {path}", self.where):
            path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / _checked(name)


class RemoteStore:
    """A folder behind fsspec, which finds credentials in its usual places."""

    def __init__(self, url: str) -> None:
        self.where = _SECRET.sub("", url)
        try:
            self._files: Any
            self._files, root = fsspec.url_to_fs(url)
        except (ImportError, ValueError) as error:  # fsspec names the package to install
            raise StoreError(f"cannot open {self.where}: {_one_line(error)}") from None
        self._root = str(root).rstrip("/")

    def write(self, name: str, data: bytes) -> str:
        path = self._path(name)
        with _explained(f"cannot write {self.where}/{name}", self.where):
            try:
                self._files.pipe_file(path, data)
            except FileNotFoundError:  # a store that has folders
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
                self._files.pipe_file(path, data)
        return sha256(data)

    def read(self, name: str) -> bytes:
        path = self._path(name)
        with _explained(f"cannot read {self.where}/{name}", self.where):
            return bytes(self._files.cat_file(path))

    def names(self) -> tuple[str, ...]:
        with _explained(f"cannot list {self.where}", self.where):
            self._files.invalidate_cache()  # another process may have written
            try:
                names = [str(path).removeprefix(self._root).lstrip("/") for path in self._files.find(self._root)]
            except FileNotFoundError:
                return ()
        return tuple(sorted(name for name in names if _NAME.fullmatch(name)))

    def delete(self, name: str) -> None:
        path = self._path(name)
        with _explained(f"cannot delete {self.where}/{name}", self.where), suppress(FileNotFoundError):
            self._files.rm_file(path)

    def _path(self, name: str) -> str:
        return f"{self._root}/{_checked(name)}"


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise StoreError(f"{name!r} is not a valid file name in a store")
    return name


@contextmanager
def _explained(failure: str, where: str) -> Iterator[None]:
    """Turn errors of a file system into one line that says what to do."""
    try:
        yield
    except StoreError:
        raise
    except FileNotFoundError:
        raise MissingError(f"{failure}: no such file") from None
    except OSError as error:
        if error.errno in _FULL:
            raise StoreError(f"disk full: {failure}; free some space there, the last good checkpoint is kept") from None
        reason = error.strerror or _one_line(error)
        raise StoreError(f"{failure}: {reason}; check that {where} can be written, or choose another folder") from None


def _one_line(error: Exception) -> str:
    return " ".join(_SECRET.sub("", str(error)).split()) or type(error).__name__


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, on systems that support it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
