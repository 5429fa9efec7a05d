"""Line ends: a version with LF, one with CR LF and one with CR alone have the same lines."""

from __future__ import annotations


def with_line_feeds(data: bytes) -> bytes:
    """Return the file with LF for CR if its lines end with CR alone, as on old Macs; offsets do not change."""
    return data if b"\n" in data or b"\r" not in data else data.replace(b"\r", b"\n")


def with_single_line_feeds(data: bytes) -> bytes:
    """Return the file with LF for CR LF; its lines keep their numbers."""
    return data.replace(b"\r\n", b"\n") if b"\r\n" in data else data
