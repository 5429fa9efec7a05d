"""System calls that a child may not make (seccomp, Linux): what Landlock does not cover, above all the network.

Two filters, one on top of the other: `allow_fetching` leaves what a clone over HTTPS needs, `allow_no_network` nothing.
A refused call fails with EACCES, as if the file system had refused it: https://docs.kernel.org/userspace-api/seccomp_filter.html.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Final

_SET_SECCOMP, _FILTER_MODE = 22, 2  # linux/prctl.h, linux/seccomp.h
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # of classic BPF
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_FOREIGN_CALLS: Final = 0x40000000  # numbers of the x32 ABI begin here

# name: its number on x86-64 and on ARM64
_SERVE: Final = {"listen": (50, 201), "accept": (43, 202), "accept4": (288, 242)}
_CONNECT: Final = {"connect": (42, 203), "bind": (49, 200), "socket": (41, 198)}
_SOCKET: Final = (41, 198)
_NO_MINERS: Final = {
    "execve": (59, 221), "execveat": (322, 281),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),  # bypass all of this
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "open_by_handle_at": (304, 265),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "kexec_load": (246, 104), "init_module": (175, 105), "finit_module": (313, 273),
}  # fmt: skip
_ARCHITECTURES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, name in the kernel
_TO_FETCH: Final = (socket.AF_INET, socket.AF_INET6, getattr(socket, "AF_NETLINK", 16))  # the last for looking up names


def allow_fetching() -> bool:
    """Leave this process sockets of the internet that connect: none of UNIX, none that listen. Return whether it
    worked."""
    return _install([*_NO_MINERS.values(), *_SERVE.values()], _TO_FETCH)


def allow_no_network() -> bool:
    """Leave this process the sockets that it has, and no way to others. Return whether it worked."""
    return _install([*_NO_MINERS.values(), *_SERVE.values(), *_CONNECT.values()], ())


def _install(refused: Sequence[tuple[int, int]], families: Sequence[int]) -> bool:
    """Refuse calls, and sockets of families that are not among `families` unless there are none."""
    if sys.platform != "linux" or platform.machine() not in _ARCHITECTURES:
        return False
    column, architecture = _ARCHITECTURES[platform.machine()]
    program = _program([numbers[column] for numbers in refused], _SOCKET[column], families, architecture)
    code = ctypes.create_string_buffer(b"".join(program))
    pointer = struct.pack("@HP", len(program), ctypes.addressof(code))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    zero = ctypes.c_ulong(0)
    return int(prctl(_SET_SECCOMP, ctypes.c_ulong(_FILTER_MODE), ctypes.c_char_p(pointer), zero, zero)) == 0


def _program(refused: Sequence[int], socket_number: int, families: Sequence[int], architecture: int) -> list[bytes]:
    """Return the instructions, eight bytes each: (operation, jump if true, jump if false, value)."""
    refuse, allow = _step(_RETURN, 0, 0, _REFUSE), _step(_RETURN, 0, 0, _ALLOW)
    steps = [
        _step(_LOAD, 0, 0, _ARCHITECTURE_AT),
        _step(_IF_EQUAL, 1, 0, architecture),
        refuse,
        _step(_LOAD, 0, 0, _NUMBER_AT),
        _step(_IF_AT_LEAST, 0, 1, _FOREIGN_CALLS),
        refuse,
    ]
    for number in refused:
        steps += [_step(_IF_EQUAL, 0, 1, number), refuse]
    if families:
        steps += [_step(_IF_EQUAL, 1, 0, socket_number), allow, _step(_LOAD, 0, 0, _FIRST_ARGUMENT_AT)]
        for family in families:
            steps += [_step(_IF_EQUAL, 0, 1, family), allow]
        return [*steps, refuse]
    return [*steps, allow]


def _step(operation: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("=HBBI", operation, if_true, if_false, value)
