"""Confinement of a child (Linux): it writes to its own folder, reads only what Python, TLS and DNS need, and connects
only to where it clones from, for as long as it clones.

Without it, a repository that takes over the child could read the App's key and the database, which belong to the same
user. Landlock (Linux 5.13 and later; TCP ports 6.7 and later) revokes that access irreversibly and needs no privileges:
https://docs.kernel.org/userspace-api/landlock.html. `bot/sandbox/seccomp.py` does what it does not cover. On other
systems only the resource limits confine a child; `bot/sandbox/protections.py` tries what holds.
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
from bot.sandbox.seccomp import allow_fetching, allow_no_network

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_QUERY_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_NET_PORT: Final = 2
_CONNECT_TCP, _TCP = 2, 3  # both: and to bind
_TCP_SINCE: Final = 4  # version
_EXECUTE, _READ_FILE, _READ_FOLDER = 1 << 0, 1 << 2, 1 << 3
_WRITE_FILE, _TRUNCATE = 1 << 1, 1 << 14
_FILE_RIGHTS: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_READ: Final = _EXECUTE | _READ_FILE | _READ_FOLDER
_SCOPE_SIGNALS_AND_SOCKETS: Final = 3  # no signals or abstract sockets across the boundary; version 6 and later

_SYSTEM: Final = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/nix/store"),
    *("/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/ld.so.cache", "/etc/localtime"),
    *("/etc/hosts", "/etc/host.conf", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services"),
    *("/dev/urandom", "/dev/random", "/proc/self"),
)


def confine(folder: Path, also_read: Iterable[Path] = ()) -> bool:
    """Restrict this process to its folder, as `confine_files`, and leave it no network."""
    confined = confine_files(folder, also_read)
    leave_network()
    return confined


def confine_files(folder: Path, also_read: Iterable[Path] = ()) -> bool:
    """Restrict this process to writing below `folder` and reading the system and `also_read`; return whether it worked.

    Creates `folder`. Call `limits.protect_this_process` first: the kernel requires it.
    """
    version = _version()
    if version < 1:
        return False
    everything = (1 << {1: 13, 2: 14}.get(version, 15)) - 1
    attributes = struct.pack("QQQ", everything, 0, _SCOPE_SIGNALS_AND_SOCKETS if version >= 6 else 0)
    ruleset = _call(_CREATE_RULESET, attributes, 24 if version >= 6 else 8, 0)
    if ruleset < 0:
        return False
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _allow(ruleset, folder, everything & ~_EXECUTE)
        _allow(ruleset, Path(os.devnull), (_READ_FILE | _WRITE_FILE) & everything)
        for path in (*_python_paths(), *map(Path, _SYSTEM), *also_read):
            _allow(ruleset, path, _READ)
        return _call(_RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def reach_only(ports: Iterable[int]) -> None:
    """Leave this process connections to these TCP ports, and the lookup of names."""
    _confine_tcp(ports)
    allow_fetching()


def leave_network() -> None:
    """Leave this process the sockets that it has, and no way to others."""
    _confine_tcp(())
    allow_no_network()


def _confine_tcp(ports: Iterable[int]) -> None:
    if _version() < _TCP_SINCE:
        return
    ruleset = _call(_CREATE_RULESET, struct.pack("QQ", 0, _TCP), 16, 0)
    if ruleset < 0:
        return
    try:
        for port in ports:
            _call(_ADD_RULE, ruleset, _NET_PORT, struct.pack("QQ", _CONNECT_TCP, port), 0)
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _version() -> int:
    return _call(_CREATE_RULESET, None, 0, _QUERY_VERSION) if sys.platform == "linux" else -1


def _python_paths() -> Iterable[Path]:
    """Yield the interpreter, its packages, our own two packages (not their parent folder) and the CA certificates."""
    yield from (Path(sys.prefix), Path(sys.base_prefix))
    yield from (Path(path) for package in (bot, pipeline) for path in package.__path__)
    paths = ssl.get_default_verify_paths()
    yield from (Path(path) for path in (paths.openssl_cafile, paths.openssl_capath))


def _allow(ruleset: int, path: Path, access: int) -> None:
    """Grant access to a path and everything below it; skip a path that does not exist."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            allowed = access if path.is_dir() else access & _FILE_RIGHTS
            _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", allowed, fd), 0)
        finally:
            os.close(fd)


def _call(number: int, *arguments: int | bytes | None) -> int:
    as_c = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return int(_LIBC.syscall(ctypes.c_long(number), *as_c))
