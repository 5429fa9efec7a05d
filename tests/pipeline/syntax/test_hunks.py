from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.syntax import hunks as module
from pipeline.syntax.hunks import Hunk, diff_hunks
from tests.rows import each_row

LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n", b"a", b"b", b"\r\n", b"a\r", b"\xff\n"]), max_size=12)
TEXT = LINES.map(b"".join)


def applied(old: bytes, new: bytes, hunks: list[Hunk]) -> bytes:
    """Return the old text with the bytes of every hunk replaced by the new ones."""
    parts, at = [], 0
    for hunk in hunks:
        parts += [old[at : hunk.old_byte], new[hunk.new_byte : hunk.new_byte_end]]
        at = hunk.old_byte_end
    return b"".join([*parts, old[at:]])


def line_start(data: bytes, line: int) -> int:
    """Return the offset of a line, counted from 0; the size of the text beyond the last."""
    starts = [0, *(i + 1 for i, byte in enumerate(data) if byte == 0x0A)]
    return starts[line] if line < len(starts) else len(data)


@each_row(
    ("old", "new", "expected"),
    [
        (b"", b"", []),
        (b"a\nb\n", b"a\nb\n", []),
        (b"a\nb\nc\n", b"a\nx\nc\n", [Hunk(1, 2, 1, 2, 2, 4, 2, 4)]),
        (b"a\nc\n", b"a\nb\nc\n", [Hunk(1, 1, 1, 2, 2, 2, 2, 4)]),
        (b"a\nb\nc\n", b"a\nc\n", [Hunk(1, 2, 1, 1, 2, 4, 2, 2)]),
        (b"", b"a\nb\n", [Hunk(0, 0, 0, 2, 0, 0, 0, 4)]),
        (b"a\nb\n", b"", [Hunk(0, 2, 0, 0, 0, 4, 0, 0)]),
        # A line feed at the end of the file makes another line.
        (b"a\nb", b"a\nb\n", [Hunk(1, 2, 1, 2, 2, 3, 2, 4)]),
        (b"a\nb", b"a\nb\nc", [Hunk(1, 2, 1, 3, 2, 3, 2, 5)]),
        # Two hunks around an unchanged line.
        (b"a\nb\nc\n", b"x\nb\ny\n", [Hunk(0, 1, 0, 1, 0, 2, 0, 2), Hunk(2, 3, 2, 3, 4, 6, 4, 6)]),
        # CR is not a line end, but it is content.
        (b"a\rb\n", b"a\rc\n", [Hunk(0, 1, 0, 1, 0, 4, 0, 4)]),
        (b"a\r\nb\r\n", b"a\nb\r\n", [Hunk(0, 1, 0, 1, 0, 3, 0, 2)]),
        # The common tail "b\n" begins inside a line of the new version: that line changed as a whole.
        (b"b\n", b"ab\n", [Hunk(0, 1, 0, 1, 0, 2, 0, 3)]),
        (b"x\nab\n", b"x\nb\n", [Hunk(1, 2, 1, 2, 2, 5, 2, 4)]),
        (b"\0\n\xff\n", b"\0\n\xfe\n", [Hunk(1, 2, 1, 2, 2, 4, 2, 4)]),
    ],
)
def test_small_changes_have_the_expected_hunks(old: bytes, new: bytes, expected: list[Hunk]) -> None:
    assert diff_hunks(old, new) == expected


@given(TEXT, TEXT)
@example(b"a\na\n", b"a\n")
@example(b"a", b"aa")
def test_the_hunks_turn_old_into_new(old: bytes, new: bytes) -> None:
    assert applied(old, new, diff_hunks(old, new)) == new


@given(TEXT, TEXT)
def test_bytes_and_lines_of_every_hunk_agree(old: bytes, new: bytes) -> None:
    for hunk in diff_hunks(old, new):
        assert hunk.old_byte == line_start(old, hunk.old_start)
        assert hunk.old_byte_end == line_start(old, hunk.old_end)
        assert hunk.new_byte == line_start(new, hunk.new_start)
        assert hunk.new_byte_end == line_start(new, hunk.new_end)


@given(TEXT, TEXT)
def test_hunks_are_ordered_never_empty_and_never_adjacent(old: bytes, new: bytes) -> None:
    hunks = diff_hunks(old, new)
    assert all(h.old_start < h.old_end or h.new_start < h.new_end for h in hunks)
    for before, after in pairwise(hunks):
        assert before.old_end < after.old_start
        assert after.old_start - before.old_end == after.new_start - before.new_end


@given(TEXT, TEXT)
def test_the_number_of_changed_lines_is_minimal(old: bytes, new: bytes) -> None:
    a, b = old.split(b"\n"), new.split(b"\n")
    a, b = [x + b"\n" for x in a[:-1]] + a[-1:], [x + b"\n" for x in b[:-1]] + b[-1:]
    a, b = [x for x in a if x], [x for x in b if x]
    common = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            common[i + 1][j + 1] = common[i][j] + 1 if x == y else max(common[i][j + 1], common[i + 1][j])
    changed = sum(h.old_end - h.old_start + h.new_end - h.new_start for h in diff_hunks(old, new))
    assert changed == len(a) + len(b) - 2 * common[-1][-1]


@each_row("block", [4_095, 4_096, 4_097, 12_288])
def test_common_heads_and_tails_around_the_block_size_are_trimmed_to_whole_lines(block: int) -> None:
    head, tail = b"h" * block + b"\n", b"t" * block + b"\n"
    assert diff_hunks(head + b"x\n" + tail, head + b"y\n" + tail) == [
        Hunk(1, 2, 1, 2, block + 1, block + 3, block + 1, block + 3)
    ]


def test_a_change_within_a_long_line_is_one_hunk_of_that_line() -> None:
    old = b"a\n" + b"x" * 10_000 + b"y" + b"x" * 10_000 + b"\nb\n"
    assert [(h.old_start, h.old_end) for h in diff_hunks(old, old.replace(b"y", b"z"))] == [(1, 2)]


def test_a_rewrite_beyond_the_alignment_limit_is_one_replacement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PAIRS", 8)
    old, new = b"p\na\nb\nc\nq\n", b"p\nx\nb\nz\nq\n"
    assert diff_hunks(old, new) == [Hunk(1, 4, 1, 4, 2, 8, 2, 8)]


def test_a_rewrite_at_the_alignment_limit_is_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PAIRS", 9)
    assert len(diff_hunks(b"p\na\nb\nc\nq\n", b"p\nx\nb\nz\nq\n")) == 2


def test_one_more_line_feed_after_a_mebibyte_of_them_is_one_inserted_line() -> None:
    size = 1 << 20
    old = b"\n" * size
    assert diff_hunks(old, old + b"\n") == [Hunk(size, size, size, size + 1, size, size, size, size + 1)]
