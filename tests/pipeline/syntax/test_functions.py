from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.syntax.functions import touched
from pipeline.syntax.hunks import Hunk
from pipeline.syntax.parser import Function
from tests.rows import each_row


def function(start: int, end: int, name: str = "f") -> Function:
    return Function(name, 0, start, end)


def hunk(old_start: int, old_end: int) -> Hunk:
    """Return a hunk that replaces the lines [old_start, old_end), counted from 0; only the old side matters here."""
    return Hunk(old_start, old_end, 0, 1, 0, 0, 0, 0)


@each_row(
    ("functions", "hunks", "expected"),
    [
        ([], [hunk(0, 9)], []),
        ([function(1, 9)], [], []),
        # Changed lines: the edges belong to the function, their neighbours do not.
        ([function(3, 5)], [hunk(1, 2)], []),
        ([function(3, 5)], [hunk(2, 3)], [0]),
        ([function(3, 5)], [hunk(4, 5)], [0]),
        ([function(3, 5)], [hunk(5, 6)], []),
        # Everything that a hunk spans.
        ([function(1, 3), function(5, 7), function(9, 11)], [hunk(2, 5)], [0, 1]),
        ([function(1, 3), function(5, 7), function(9, 11)], [hunk(0, 20)], [0, 1, 2]),
        ([function(1, 3), function(5, 7), function(9, 11)], [hunk(3, 4)], []),
        # The innermost one; the outer one only where a line of its own changed.
        ([function(1, 9), function(3, 5)], [hunk(3, 4)], [1]),
        ([function(1, 9), function(3, 5)], [hunk(2, 5)], [1]),
        ([function(1, 9), function(3, 5)], [hunk(3, 6)], [0, 1]),
        ([function(1, 9), function(3, 5)], [hunk(7, 8)], [0]),
        ([function(1, 20), function(3, 9), function(5, 7), function(12, 15)], [hunk(8, 9)], [1]),
        ([function(1, 20), function(3, 9), function(5, 7), function(12, 15)], [hunk(9, 12)], [0, 3]),
        # Two functions share a line: it is the later one's.
        ([function(1, 5), function(5, 9)], [hunk(4, 5)], [1]),
        ([function(1, 20), function(2, 5), function(5, 9)], [hunk(9, 10)], [0]),
        # Pure insertions: both neighbouring lines inside.
        ([function(3, 5)], [hunk(2, 2)], []),
        ([function(3, 5)], [hunk(3, 3)], [0]),
        ([function(3, 5)], [hunk(4, 4)], [0]),
        ([function(3, 5)], [hunk(5, 5)], []),
        ([function(1, 9)], [hunk(0, 0)], []),
        ([function(1, 9), function(3, 5)], [hunk(2, 2)], [0]),
        ([function(1, 9), function(3, 5)], [hunk(3, 3)], [1]),
        ([function(1, 9), function(3, 5)], [hunk(5, 5)], [0]),
        ([function(1, 9), function(3, 5), function(6, 8)], [hunk(5, 5)], [0]),
        ([function(1, 5), function(5, 9)], [hunk(5, 5)], [1]),
        ([function(1, 5), function(5, 9)], [hunk(4, 4)], [0]),
        # Once each, however many hunks.
        ([function(1, 9)], [hunk(1, 2), hunk(4, 4), hunk(6, 7)], [0]),
    ],
)
def test_hunks_touch_the_expected_functions(functions: list[Function], hunks: list[Hunk], expected: list[int]) -> None:
    assert touched(functions, hunks) == expected


@st.composite
def nested(draw: st.DrawFn) -> list[Function]:
    """Draw functions in document order, nested or disjoint; siblings may share a line."""
    found: list[Function] = []

    def fill(first: int, last: int, depth: int) -> None:
        at = first
        while at + 2 <= last and depth < 4 and draw(st.booleans()):
            start = draw(st.integers(at, last - 2))
            end = draw(st.integers(start + 2, last))
            found.append(function(start, end))
            fill(start, end, depth + 1)
            at = end + draw(st.integers(0, 1))

    fill(1, draw(st.integers(3, 40)), 0)
    return found


def innermost(functions: list[Function], *lines: int) -> int | None:
    """Return the last function to begin that contains all of the lines, by brute force."""
    around = [i for i, f in enumerate(functions) if all(f.start_line <= line <= f.end_line for line in lines)]
    return around[-1] if around else None


@given(nested(), st.lists(st.integers(0, 45), min_size=2, max_size=8, unique=True).map(sorted))
def test_touched_agrees_with_a_search_line_by_line(functions: list[Function], edges: list[int]) -> None:
    hunks = [hunk(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    lines = {line + 1 for h in hunks for line in range(h.old_start, h.old_end)}
    assert touched(functions, hunks) == sorted({i for line in lines if (i := innermost(functions, line)) is not None})


@given(nested(), st.integers(0, 45))
def test_an_insertion_touches_the_function_around_both_neighbours(functions: list[Function], at: int) -> None:
    owner = innermost(functions, at, at + 1)
    assert touched(functions, [hunk(at, at)]) == ([] if owner is None else [owner])


def test_thousands_of_functions_and_hunks_are_matched() -> None:
    functions = [function(i * 5 + 1, i * 5 + 4) for i in range(20_000)]
    assert touched(functions, [hunk(i * 5, i * 5 + 1) for i in range(20_000)]) == list(range(20_000))
