"""Find the functions that a change touches, placing ambiguous hunks as a reader would.

A block of added or removed lines can often be placed at several positions with the same new version (the closing line
of a function equals the one before it). An alignment picks any of them; the right one touches the fewest functions: a
function added between two others touches neither.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from pipeline.syntax.functions import touched
from pipeline.syntax.hunks import Hunk
from pipeline.syntax.parser import Function, ParsedFile
from pipeline.syntax.tokens import listed_inside, own_code, rows_differ_in_code

_MAX_SHIFT_LINES = 1_000  # of a block
_OUTSIDE, _WITHIN, _CROSSES = range(3)  # where a hunk lies among the functions inside of another
_MAX_TWINS = 20  # functions of one name among which a moved one is looked for


def functions_touched(
    old_functions: Sequence[Function],
    new_functions: Sequence[Function],
    hunks: Sequence[Hunk],
    old: bytes,
    new: bytes,
    successors: Mapping[int, int] | None = None,
) -> list[int]:
    """Return the indexes of the old version's functions whose lines a change touches, ascending.

    `successors` are the indexes of the same functions in the new version, by default those of equal name and ordinal.

    Lines added at the edge of a function (after its last line, a decorator before its first) count for it if they
    belong to it in the new version (docs/development/design.md, "Attribution").
    """
    if not old_functions or not hunks:
        return []
    if successors is None:
        now = {(f.qualified_name, f.ordinal): i for i, f in enumerate(new_functions)}
        keys = ((i, (f.qualified_name, f.ordinal)) for i, f in enumerate(old_functions))
        successors = {i: now[key] for i, key in keys if key in now}
    after = {i: new_functions[successor] for i, successor in successors.items()}
    indexes: set[int] = set()
    plain = []
    for number, hunk in enumerate(hunks):
        if _may_slide(hunk, old, new):
            low = hunks[number - 1].old_end if number else 0
            high = hunks[number + 1].old_start if number + 1 < len(hunks) else None
            hunk = _placed(hunk, old_functions, (old.split(b"\n"), new.split(b"\n")), low, high)
        if hunk.old_start == hunk.old_end:
            indexes.update(touched(old_functions, [hunk]) or _at_edge(old_functions, after, hunk, new))
        else:
            plain.append(hunk)
    indexes.update(touched(old_functions, plain))
    return sorted(indexes)


def _may_slide(hunk: Hunk, old: bytes, new: bytes) -> bool:
    """Return whether a block of added or removed lines could be placed a line higher or lower."""
    if hunk.old_start == hunk.old_end:
        data, start, end = new, hunk.new_byte, hunk.new_byte_end
    elif hunk.new_start == hunk.new_end:
        data, start, end = old, hunk.old_byte, hunk.old_byte_end
    else:
        return False
    first = data[start : data.find(b"\n", start, end) + 1]
    last = data[max(start, data.rfind(b"\n", start, end - 1) + 1) : end]
    above = max(0, start - len(last))
    return bool(first) and (data.startswith(first, end) or data[above:start] == last)


def _placed(
    hunk: Hunk, functions: Sequence[Function], lines: tuple[list[bytes], list[bytes]], low: int, high: int | None
) -> Hunk:
    """Move a hunk to where it touches the fewest functions, then the outermost, then nearest to its position."""
    old_lines, new_lines = lines
    highest = len(old_lines) if high is None else high
    best: tuple[tuple[int, int], Hunk] | None = None
    for shift in _shifts(hunk, old_lines, new_lines, low, highest):
        moved = hunk._replace(
            old_start=hunk.old_start + shift,
            old_end=hunk.old_end + shift,
            new_start=hunk.new_start + shift,
            new_end=hunk.new_end + shift,
        )
        hit = touched(functions, [moved])
        cost = (len(hit), sum(_depth(functions, i) for i in hit))
        if best is None or cost < best[0]:
            best = (cost, moved)
    return best[1] if best else hunk


def _shifts(hunk: Hunk, old_lines: list[bytes], new_lines: list[bytes], low: int, high: int) -> Iterator[int]:
    """Yield by how many lines the block can be moved without changing the new version: 0, then nearest first."""
    if hunk.old_start == hunk.old_end:
        lines, start, end = new_lines, hunk.new_start, hunk.new_end
    else:
        lines, start, end = old_lines, hunk.old_start, hunk.old_end
    up, max_up = 0, min(_MAX_SHIFT_LINES, hunk.old_start - low)
    while up < max_up and lines[start - 1 - up] == lines[end - 1 - up]:
        up += 1
    down, max_down = 0, min(_MAX_SHIFT_LINES, high - hunk.old_end)
    while down < max_down and end + down < len(lines) and lines[start + down] == lines[end + down]:
        down += 1
    yield from sorted(range(-up, down + 1), key=abs)


def _depth(functions: Sequence[Function], index: int) -> int:
    inner = functions[index]
    return sum(outer.start_line <= inner.start_line and inner.end_line <= outer.end_line for outer in functions)


def _at_edge(functions: Sequence[Function], successors: Mapping[int, Function], hunk: Hunk, new: bytes) -> list[int]:
    """Return the functions that grew by lines inserted right after their last or right before their first line."""
    near = [i for i, f in enumerate(functions) if hunk.old_start in (f.end_line, f.start_line - 1)]
    if not near:
        return []
    inserted = new[hunk.new_byte : hunk.new_byte_end].split(b"\n")
    filled = [hunk.new_start + 1 + i for i, line in enumerate(inserted) if line.strip()]
    if not filled:
        return []
    grown = []
    for i in near:
        function, after = functions[i], successors.get(i)
        if after is None:
            continue
        grown_below = function.end_line == hunk.old_start and after.start_line <= hunk.new_start
        grown_above = function.start_line == hunk.old_start + 1 and after.end_line > hunk.new_end
        if (grown_below and filled[0] <= after.end_line) or (grown_above and after.start_line <= filled[-1]):
            grown.append(i)
    return grown


def with_changed_code(
    old: ParsedFile, new: ParsedFile, hunks: Sequence[Hunk], indexes: Sequence[int], successors: Mapping[int, int]
) -> list[int]:
    """Return those of the touched functions whose own code differs: comments, white space and pure moves touch nothing.

    A function that the file lost is unchanged if the file gained one of the same name, in another class, with equal
    code.
    """
    stayed = set(successors.values())
    gained: dict[str, list[int]] = defaultdict(list)
    for index, function in enumerate(new.functions):
        if index not in stayed:
            gained[_simple_name(function)].append(index)
    changed = []
    for index in indexes:
        successor = successors.get(index)
        if successor is not None:
            own = _own_hunks(old, new, hunks, index, successor)
            # The rows that changed are fewer than those of the function, and mostly tell.
            if (own and rows_differ_in_code(old, new, own)) or own_code(old, index) != own_code(new, successor):
                changed.append(index)
            continue
        others = gained.get(_simple_name(old.functions[index]), [])
        code = own_code(old, index) if others else []
        twin = next((other for other in others[:_MAX_TWINS] if own_code(new, other) == code), None)
        if twin is None:
            changed.append(index)
        else:
            others.remove(twin)
    return changed


def _own_hunks(old: ParsedFile, new: ParsedFile, hunks: Sequence[Hunk], index: int, successor: int) -> Sequence[Hunk]:
    """Return the hunks in a function's own lines, none if one crosses its edge or that of a function inside of it."""
    before, after = old.functions[index], new.functions[successor]
    inner_old, inner_new = list(listed_inside(old, index)), list(listed_inside(new, successor))
    first = bisect_left(hunks, before.start_line - 1, key=lambda hunk: hunk.old_end)
    last = bisect_left(hunks, before.end_line + 1, key=lambda hunk: hunk.old_start)
    own = []
    for hunk in hunks[first:last]:
        if hunk.old_start < before.start_line - 1 or hunk.old_end > before.end_line:
            return ()
        if hunk.new_start < after.start_line - 1 or hunk.new_end > after.end_line:
            return ()
        was = _place_among(inner_old, hunk.old_start, hunk.old_end)
        now = _place_among(inner_new, hunk.new_start, hunk.new_end)
        if _CROSSES in (was, now) or was != now:
            return ()
        if was == _OUTSIDE:
            own.append(hunk)
    return own


def _place_among(inner: Sequence[Function], start: int, end: int) -> int:
    """Return whether rows [start, end), counted from 0, are outside of all functions, within one, or neither."""
    at = bisect_left(inner, start + 1, key=lambda function: function.end_line)
    if at == len(inner) or end < inner[at].start_line:
        return _OUTSIDE
    return _WITHIN if inner[at].start_line - 1 < start and end < inner[at].end_line else _CROSSES


def _simple_name(function: Function) -> str:
    return function.qualified_name.rpartition(".")[2]
