"""Map changed lines onto the functions of the old version."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import inf

from pipeline.syntax.hunks import Hunk
from pipeline.syntax.parser import Function


def touched(functions: Sequence[Function], hunks: Sequence[Hunk]) -> list[int]:
    """Return the indexes of the old version's functions that the hunks change, ascending.

    A changed line belongs to the innermost function around it, a pure insertion to the innermost function that contains
    the lines on both sides of it.
    """
    if not functions or not hunks:
        return []
    first, last = hunks[0].old_start, hunks[-1].old_end + 1
    near = [i for i, f in enumerate(functions) if f.end_line >= first and f.start_line <= last]
    starts, owners, parents = _segments(functions, near)
    indexes: set[int] = set()
    for hunk in hunks:
        at = bisect_right(starts, max(hunk.old_start, 1) if hunk.old_start == hunk.old_end else hunk.old_start + 1) - 1
        if hunk.old_start == hunk.old_end:
            owner = owners[at] if at >= 0 and hunk.old_start else -1
            while owner >= 0 and functions[owner].end_line <= hunk.old_start:
                owner = parents[owner]
            indexes.add(owner)
        else:
            indexes.update(owners[max(at, 0) : bisect_right(starts, hunk.old_end)])
    indexes.discard(-1)
    return sorted(indexes)


def _segments(functions: Sequence[Function], near: list[int]) -> tuple[list[int], list[int], dict[int, int]]:
    """Return the first lines and owners (-1: none) of runs of lines with one innermost function, and parents."""
    starts: list[int] = [0]
    owners: list[int] = [-1]
    parents: dict[int, int] = {}
    stack: list[int] = []

    def begin(line: int) -> None:
        if starts[-1] == line:
            starts.pop()
            owners.pop()
        starts.append(line)
        owners.append(stack[-1] if stack else -1)

    def close(before: float) -> None:
        while stack and functions[stack[-1]].end_line < before:
            after = functions[stack.pop()].end_line + 1
            while stack and functions[stack[-1]].end_line < after:
                stack.pop()
            begin(after)

    for i in near:
        close(functions[i].start_line)
        parents[i] = stack[-1] if stack else -1
        stack.append(i)
        begin(functions[i].start_line)
    close(inf)
    return starts, owners, parents
