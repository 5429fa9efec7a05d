"""Peak memory of this process."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def own_peak_rss_mb() -> float:
    """Return this process's peak resident set size in MiB, 0 if unknown.

    Read from /proc on Linux, where `ru_maxrss` of a process starts with that of its parent.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except (OSError, UnicodeError):
        status = ""
    match = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    return int(match[1]) / 1024 if match else _resource_peak_mb("RUSAGE_SELF")


def peak_rss_mb() -> float:
    """Return the larger of this process's peak and that of any child that has ended, in MiB."""
    return max(own_peak_rss_mb(), _resource_peak_mb("RUSAGE_CHILDREN"))


def _resource_peak_mb(whose: str) -> float:
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(getattr(resource, whose)).ru_maxrss / unit
