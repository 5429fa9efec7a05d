"""Hand memory back to the system: glibc keeps for good what the parsing of a payload of 25 MB took."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


def give_back() -> None:
    """Takes less than a millisecond; does nothing where the C library is another one."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library; none that can be asked, as on Windows
        return None
    return found
