"""What a child process may take, and in words why one ended that took more."""

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
OUT_OF_MEMORY = 77  # exit status of a process that had no memory left even to say so


@dataclass(frozen=True)
class Limits:
    """Of one process. Memory is what it writes to: a file that is mapped to be read does not count."""

    memory_mb: int
    cpu_s: int
    wall_s: float
    file_bytes: int

    @staticmethod
    def parse(values: Mapping[str, Any]) -> Limits:
        return Limits(
            int(values["memory_mb"]), int(values["cpu_s"]), float(values["wall_s"]), int(values["file_bytes"])
        )


@dataclass(frozen=True)
class Ending:
    """How a process ended, as its parent saw it."""

    exit_code: int  # negative: the signal
    cpu_s: float
    peak_mb: float


def limit_this_process(limits: Limits) -> None:
    """From here on; what is over a limit fails (memory, files) or ends the process (time). Wall time is not seen to."""
    data_bytes = limits.memory_mb * _MB
    _limit("RLIMIT_DATA", data_bytes, data_bytes)
    _limit("RLIMIT_CPU", limits.cpu_s, limits.cpu_s + 5)
    _limit("RLIMIT_FSIZE", limits.file_bytes, limits.file_bytes)
    _limit("RLIMIT_CORE", 0, 0)
    _limit("RLIMIT_NPROC", 0, 0)  # it starts no process, so nothing outlives it; the system lets root all the same


def _limit(name: str, soft: int, hard: int) -> None:
    kind = getattr(resource, name)
    _, most = resource.getrlimit(kind)
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    with contextlib.suppress(ValueError, OSError):  # macOS knows some limits by name only
        resource.setrlimit(kind, (soft, hard))


def die_with_parent(parent: int) -> None:
    """The system kills this process as soon as `parent` ends, also by SIGKILL. Only Linux can."""
    if sys.platform == "linux":
        _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before it could be asked for
        os.kill(os.getpid(), signal.SIGKILL)


def protect_this_process() -> None:
    """No other process of this user looks into this one's memory, and no program that it starts gains rights."""
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


def explain(ending: Ending, limits: Limits) -> tuple[Literal["memory", "time", "crash"], str]:
    """Kind and words for a process that ended without an answer."""
    number = -ending.exit_code
    if number == signal.SIGXCPU or (number > 0 and ending.cpu_s >= limits.cpu_s):
        return "time", too_much_processor(limits)
    # C code aborts where it gets no memory. What doubles when it is full fails at a third of the limit already.
    if number in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS) and ending.peak_mb > limits.memory_mb / 3:
        return "memory", too_much_memory(limits)
    if ending.exit_code == OUT_OF_MEMORY:
        return "memory", too_much_memory(limits)
    if number == signal.SIGKILL:
        return "memory", "was killed: the machine is short of memory"
    if number > 0:
        return "crash", f"crashed (signal {number})"
    return "crash", f"ended without an answer (exit status {ending.exit_code})"


def _span(seconds: float) -> str:
    return f"{seconds / 60:,.0f} minutes" if seconds >= 120 else f"{seconds:g} s"
