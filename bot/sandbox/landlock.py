"""What files a child may reach: its own folder, and to be read what Python, TLS and name resolution need. Linux only.

A repository that takes over the child's process would else find the App's key and the database, which belong to the
same user. Landlock (Linux 5.13 and later) takes that away for good, without any right that an ordinary user lacks:
https://docs.kernel.org/userspace-api/landlock.html. Where the system has none, a child is confined by limits alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import ssl
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import bot
import pipeline

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_ASK_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_EXECUTE, _READ_FILE, _READ_FOLDER = 1 << 0, 1 << 2, 1 << 3
_WRITE_FILE, _TRUNCATE = 1 << 1, 1 << 14
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_READ: Final = _EXECUTE | _READ_FILE | _READ_FOLDER
_NO_SIGNALS_OUTSIDE: Final = 3  # nor abstract sockets; from version 6 on

_SYSTEM: Final = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/nix/store"),
    *("/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/ld.so.cache", "/etc/localtime"),
    *("/etc/hosts", "/etc/host.conf", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services"),
    *("/dev/urandom", "/dev/random", "/proc/self"),
)


def confine(folder: Path, also_read: Iterable[Path] = ()) -> bool:
    """From here on this process writes below `folder` only, and reads nothing of the worker's. Whether it worked.

    `folder` is made where it is not there. Needs `limits.protect_this_process` before.
    """
    version = _call(_CREATE_RULESET, None, 0, _ASK_VERSION) if sys.platform == "linux" else -1
    if version < 1:
        return False
    everything = (1 << {1: 13, 2: 14}.get(version, 15)) - 1
    attributes = struct.pack("QQQ", everything, 0, _NO_SIGNALS_OUTSIDE if version >= 6 else 0)
    ruleset = _call(_CREATE_RULESET, attributes, 24 if version >= 6 else 8, 0)
    if ruleset < 0:
        return False
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _allow(ruleset, folder, everything & ~_EXECUTE)
        _allow(ruleset, Path(os.devnull), (_READ_FILE | _WRITE_FILE) & everything)
        for place in (*_python_places(), *map(Path, _SYSTEM), *also_read):
            _allow(ruleset, place, _READ)
        return _call(_RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def _python_places() -> Iterable[Path]:
    """The interpreter, what is installed beside it, our own code (not what lies beside it), and its certificates."""
    yield from (Path(sys.prefix), Path(sys.base_prefix))
    yield from (Path(place) for package in (bot, pipeline) for place in package.__path__)
    paths = ssl.get_default_verify_paths()
    yield from (Path(path) for path in (paths.openssl_cafile, paths.openssl_capath))


def _allow(ruleset: int, place: Path, access: int) -> None:
    """Whatever is at or below a place; nothing where it is not there."""
    with contextlib.suppress(OSError):
        fd = os.open(place, os.O_PATH | os.O_CLOEXEC)
        try:
            allowed = access if place.is_dir() else access & _OF_FILES
            _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", allowed, fd), 0)
        finally:
            os.close(fd)


def _call(number: int, *arguments: int | bytes | None) -> int:
    as_c = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return int(_LIBC.syscall(ctypes.c_long(number), *as_c))
