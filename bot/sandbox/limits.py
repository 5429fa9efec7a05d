"""Resource limits of a child process, and explanations of how one that exceeded them ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

_SET_PARENT_DEATH_SIGNAL = 1  # linux/prctl.h
_SET_DUMPABLE = 4
_SET_NO_NEW_PRIVILEGES = 38
_MB = 1 << 20
_FROM_OUTSIDE = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)  # a service manager, or a person
OUT_OF_MEMORY = 77  # exit status of a process that had no memory left to report it


@dataclass(frozen=True)
class Limits:
    """Limits of one process. Memory means data (RLIMIT_DATA): files mapped for reading do not count."""

    memory_mb: int
    cpu_s: int
    wall_s: float
    file_bytes: int

    @staticmethod
    def parse(values: Mapping[str, Any]) -> Limits:
        """Parse the JSON values. Raises KeyError, TypeError or ValueError."""
        return Limits(
            int(values["memory_mb"]), int(values["cpu_s"]), float(values["wall_s"]), int(values["file_bytes"])
        )


@dataclass(frozen=True)
class Ending:
    """How a process ended, as reported by its parent."""

    exit_code: int  # negative: the signal
    cpu_s: float
    peak_mb: float


def limit_this_process(limits: Limits) -> None:
    """Apply the limits: exceeding memory or file size raises, exceeding CPU time kills. Wall time is the caller's."""
    data_bytes = limits.memory_mb * _MB
    _limit("RLIMIT_DATA", data_bytes, data_bytes)
    _limit("RLIMIT_CPU", limits.cpu_s, limits.cpu_s + 5)
    _limit("RLIMIT_FSIZE", limits.file_bytes, limits.file_bytes)
    _limit("RLIMIT_CORE", 0, 0)
    _limit("RLIMIT_NPROC", 0, 0)  # it starts no process, so nothing outlives it; not enforced for root


def _limit(name: str, soft: int, hard: int) -> None:
    kind = getattr(resource, name)
    _, ceiling = resource.getrlimit(kind)
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    with contextlib.suppress(ValueError, OSError):  # macOS defines some limits without supporting them
        resource.setrlimit(kind, (soft, hard))


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process as soon as `parent` (a pid) ends, however it ends. Linux only."""
    if sys.platform == "linux":
        _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before the request
        os.kill(os.getpid(), signal.SIGKILL)


def protect_this_process() -> None:
    """Deny other processes of this user access to this one's memory, and forbid gaining privileges by exec."""
    if sys.platform == "linux":
        _prctl(_SET_DUMPABLE, 0)
        _prctl(_SET_NO_NEW_PRIVILEGES, 1)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, ctypes.c_ulong(value), *(ctypes.c_ulong(0),) * 3)


def too_much_memory(limits: Limits) -> str:
    return f"ran out of memory (limit {limits.memory_mb:,} MB)"


def too_much_time(limits: Limits) -> str:
    return f"took longer than {_span(limits.wall_s)}"


def too_much_processor(limits: Limits) -> str:
    return f"used more than {_span(limits.cpu_s)} of processor time"


def too_large_file(limits: Limits) -> str:
    return f"needed a file larger than the limit of {limits.file_bytes / 1e6:,.0f} MB"


def explain(ending: Ending, limits: Limits) -> tuple[Literal["memory", "time", "killed", "crash"], str]:
    """Return failure kind and sentence for a process that ended without a reply.

    No limit on memory kills with SIGKILL: an allocation fails instead. So the kernel chose it, perhaps for what a
    neighbour used, and another attempt may succeed.
    """
    number = -ending.exit_code
    if number == signal.SIGXCPU or (number > 0 and ending.cpu_s >= limits.cpu_s):
        return "time", too_much_processor(limits)
    # C code aborts when an allocation fails. A buffer that doubles when full fails at a third of the limit already.
    if number in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS) and ending.peak_mb > limits.memory_mb / 3:
        return "memory", too_much_memory(limits)
    if ending.exit_code == OUT_OF_MEMORY:
        return "memory", too_much_memory(limits)
    if number == signal.SIGKILL:
        return "killed", "was killed: the machine is short of memory"
    if number in _FROM_OUTSIDE:
        return "killed", f"was stopped from outside (signal {number})"
    if number > 0:
        return "crash", f"crashed (signal {number})"
    return "crash", f"ended without a reply (exit status {ending.exit_code})"


def _span(seconds: float) -> str:
    return f"{seconds / 60:,.0f} minutes" if seconds >= 120 else f"{seconds:g} s"
