"""Run a command and say what it took: wall time, CPU of the whole process tree, and the memory of each process."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_POLL_S = 0.05
_RSS_UNITS_PER_MIB = 1 << 20 if sys.platform == "darwin" else 1 << 10


class CommandFailed(Exception):
    """A command of the benchmark ended with another exit code than 0."""


@dataclass(frozen=True)
class Run:
    """One finished command. Memory is resident size in MiB."""

    wall_s: float
    cpu_s: float  # user and system, of the process and of every descendant that was waited for
    peak_mb: float  # of the largest process of the tree, as the kernel counted it
    output: bytes
    each_peak_mb: tuple[float, ...] = ()  # of each process that was seen, largest first; only where it was watched


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    keep_output: bool = True,
    watch: bool = False,
) -> Run:
    """Run a command to its end. `watch` looks at every process of the tree 20 times a second (needs psutil).

    Raises CommandFailed with the end of its stderr, FileNotFoundError.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        given.write(stdin)
        given.seek(0)
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=given,
            stdout=out if keep_output else subprocess.DEVNULL,
            stderr=errors,
            env=dict(environment) if environment is not None else None,
        )
        seen = _watch(process.pid) if watch else {}
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise CommandFailed(f"{' '.join(command[:4])} ... ended with {process.returncode}: {_end_of(errors)}")
        out.seek(0)
        return Run(
            wall_s=wall_s,
            cpu_s=used.ru_utime + used.ru_stime,
            peak_mb=used.ru_maxrss / _RSS_UNITS_PER_MIB,
            output=out.read(),
            each_peak_mb=tuple(sorted(seen.values(), reverse=True)),
        )


def _end_of(file: Any) -> str:
    file.seek(0)
    lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _watch(pid: int) -> dict[int, float]:
    """The largest resident size seen of a process and of each descendant, until the process ends (it is not reaped)."""
    psutil: Any = importlib.import_module("psutil")  # an extra: not for the tests of this module
    seen: dict[int, float] = {}
    try:
        root = psutil.Process(pid)
        while root.status() != psutil.STATUS_ZOMBIE:
            for process in (root, *root.children(recursive=True)):
                try:
                    resident_mb = process.memory_info().rss / 1048576
                except psutil.NoSuchProcess:
                    continue
                seen[process.pid] = max(seen.get(process.pid, 0.0), resident_mb)
            time.sleep(_POLL_S)
    except psutil.NoSuchProcess:
        pass
    return seen
