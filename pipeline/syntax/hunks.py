"""Diff two versions of a file by lines.

The common head and tail are trimmed as bytes, which leaves a few lines in max_tail changes. The rest is aligned by
rapidfuzz's bit-parallel longest common subsequence over line numbers. Lines end at LF only, as in git, and a last line
without LF differs from the same line with one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rapidfuzz.distance import Indel

# The alignment needs one bit per pair of lines: 8 MiB at max_tail. Beyond that, the middle is one replacement.
MAX_PAIRS = 1 << 26
_STEP = 4096

_Range = tuple[int, int, int, int]


class Hunk(NamedTuple):
    """Lines [old_start, old_end) became [new_start, new_end), counted from 0; the same ranges in bytes."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int
    old_byte: int
    old_byte_end: int
    new_byte: int
    new_byte_end: int


def diff_hunks(old: bytes, new: bytes) -> list[Hunk]:
    """Return the hunks that turn old into new, in order and never adjacent; empty if old == new."""
    if old == new:
        return []
    head = old.rfind(b"\n", 0, _common_head(old, new)) + 1  # whole lines only
    tail = _common_tail_lines(old, new, head)
    old_lines = _lines(old, head, len(old) - tail)
    new_lines = _lines(new, head, len(new) - tail)
    first_line = old.count(b"\n", 0, head)
    return list(_hunks(_changed_ranges(old_lines, new_lines), old_lines, new_lines, first_line, head))


def _common_head(old: bytes, new: bytes) -> int:
    shorter = min(len(old), len(new))
    low = 0
    while low < shorter and old[low : low + _STEP] == new[low : low + _STEP]:
        low += _STEP
    low, high = min(low, shorter), min(shorter, low + _STEP)
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_tail_lines(old: bytes, new: bytes, head: int) -> int:
    """Return the size in bytes of the whole lines that both versions end with, outside of the head."""
    old_size, new_size = len(old), len(new)
    max_tail = min(old_size, new_size) - head
    low = 0
    while (
        low + _STEP <= max_tail
        and old[old_size - low - _STEP : old_size - low] == new[new_size - low - _STEP : new_size - low]
    ):
        low += _STEP
    high = min(max_tail, low + _STEP)
    while low < high:
        middle = (low + high + 1) // 2
        if old[old_size - middle : old_size - low] == new[new_size - middle : new_size - low]:
            low = middle
        else:
            high = middle - 1
    # Whole lines only. A common tail that reaches the head on one side may start a line there and be inside of a line
    # on the other side; after the next line feed in the tail a line starts on both.
    if _starts_line(old, old_size - low) and _starts_line(new, new_size - low):
        return low
    feed = old.find(b"\n", old_size - low)
    return 0 if feed < 0 else old_size - feed - 1


def _starts_line(data: bytes, position: int) -> bool:
    return position == 0 or data[position - 1] == 0x0A


def _lines(data: bytes, start: int, end: int) -> list[bytes]:
    """Return the lines with their line ends."""
    parts = data[start:end].split(b"\n")
    last = parts.pop()
    lines = [part + b"\n" for part in parts]
    if last:
        lines.append(last)
    return lines


def _changed_ranges(old_lines: list[bytes], new_lines: list[bytes]) -> list[_Range]:
    """Return the ranges of lines that differ, as (old start, old end, new start, new end)."""
    if not old_lines or not new_lines or len(old_lines) * len(new_lines) > MAX_PAIRS:
        return [(0, len(old_lines), 0, len(new_lines))] if old_lines or new_lines else []
    number: dict[bytes, int] = {}
    old_numbers = [number.setdefault(line, len(number)) for line in old_lines]
    new_numbers = [number.setdefault(line, len(number)) for line in new_lines]
    ranges: list[_Range] = []
    for step in Indel.opcodes(old_numbers, new_numbers):
        if step.tag == "equal":
            continue
        start, end, to_start, to_end = step.src_start, step.src_end, step.dest_start, step.dest_end
        if ranges and ranges[-1][1] == start and ranges[-1][3] == to_start:
            start, to_start = ranges.pop()[0::2]
        ranges.append((start, end, to_start, to_end))
    return ranges


def _hunks(
    ranges: list[_Range], old_lines: list[bytes], new_lines: list[bytes], first_line: int, first_byte: int
) -> Iterator[Hunk]:
    old_at = new_at = 0
    old_byte = new_byte = first_byte
    for start, end, to_start, to_end in ranges:
        old_byte += sum(map(len, old_lines[old_at:start]))
        new_byte += sum(map(len, new_lines[new_at:to_start]))
        old_byte_end = old_byte + sum(map(len, old_lines[start:end]))
        new_byte_end = new_byte + sum(map(len, new_lines[to_start:to_end]))
        yield Hunk(
            first_line + start,
            first_line + end,
            first_line + to_start,
            first_line + to_end,
            old_byte,
            old_byte_end,
            new_byte,
            new_byte_end,
        )
        old_at, new_at, old_byte, new_byte = end, to_end, old_byte_end, new_byte_end
