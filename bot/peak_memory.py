"""How much memory this process has had at most."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def own_peak_rss_mb() -> float:
    """The largest resident size of this process so far, in MiB; 0 where nobody can tell.

    On Linux it is asked for in /proc: `ru_maxrss` of a process begins with that of the process that started it.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except (OSError, UnicodeError):
        status = ""
    found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else _resource_peak_mb("RUSAGE_SELF")


def peak_rss_mb() -> float:
    """The same for this process or one of its children that have ended."""
    return max(own_peak_rss_mb(), _resource_peak_mb("RUSAGE_CHILDREN"))


def _resource_peak_mb(whose: str) -> float:
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(getattr(resource, whose)).ru_maxrss / unit
