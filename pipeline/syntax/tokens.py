"""List the code tokens of a parsed file, without comments, docstrings and white space."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest
from operator import itemgetter
from typing import NamedTuple

import tree_sitter

from pipeline.syntax.grammars import docstring_query
from pipeline.syntax.hunks import Hunk
from pipeline.syntax.parser import Function, ParsedFile

# Leaves in which white space is layout.
_FLOWED = frozenset({"jsx_text", "preproc_arg", "text"})
_INNER = b"\0"
_INK = re.compile(rb"\S")
_MAX_EQUAL_INK = 400


class _Piece(NamedTuple):
    """A leaf, a comment or a docstring."""

    start: int
    end: int
    is_code: bool
    type: str


class _Indentation(NamedTuple):
    """The column of a statement, in languages where indentation is code."""

    column: int


def code_tokens(parsed: ParsedFile, first_line: int, last_line: int) -> list[bytes]:
    """Return the leaves that overlap the lines (from 1, inclusive), in order, without comments and docstrings.

    Text between leaves (in template strings, preprocessor lines) is a token too.
    """
    return _tokens(parsed, first_line - 1, last_line, with_indentation=False)


def own_code(parsed: ParsedFile, index: int) -> list[bytes]:
    """Return the tokens of a function itself: each function listed inside of it is one mark, whatever it holds.

    The tokens are free of layout: line ends, indentation and text between markup are normalised. Where indentation is
    code, each statement has its depth within the function.
    """
    function = parsed.functions[index]
    tokens: list[bytes] = []
    depths: list[int] = []  # columns of the open blocks
    row = function.start_line - 1
    for inner in listed_inside(parsed, index):
        tokens += _free_of_layout(parsed, row, inner.start_line - 1, depths)
        tokens.append(_INNER)
        row = inner.end_line
    return tokens + _free_of_layout(parsed, row, function.end_line, depths)


def rows_differ_in_code(old: ParsedFile, new: ParsedFile, hunks: Sequence[Hunk]) -> bool:
    """Return whether the rows of the hunks hold other tokens, whatever their order: False may still be a change."""
    if any(_differs_at_once(old, new, hunk) for hunk in hunks) and _characters(old, hunks, 0) != _characters(
        new, hunks, 1
    ):
        return True
    before, after = Counter[bytes](), Counter[bytes]()
    for hunk in hunks:
        before.update(_free_of_layout(old, hunk.old_start, hunk.old_end, []))
        after.update(_free_of_layout(new, hunk.new_start, hunk.new_end, []))
    return any(before[token] != after[token] for token in before.keys() | after.keys() if not token.startswith(b"\n"))


def _characters(parsed: ParsedFile, hunks: Sequence[Hunk], side: int) -> list[int]:
    """Return the characters of one side of the hunks without white space, sorted."""
    spans = ((h.new_byte, h.new_byte_end) if side else (h.old_byte, h.old_byte_end) for h in hunks)
    return sorted(b"".join(b"".join(parsed.data[start:end].split()) for start, end in spans))


def _differs_at_once(old: ParsedFile, new: ParsedFile, hunk: Hunk) -> bool:
    """Return whether the first characters of a hunk that differ, apart from white space, are code for certain.

    This spares most changes the walk over their tokens.
    """
    if b"\r" in old.data or b"\r" in new.data:
        return False  # hunks are of normalised lines
    before = _INK.finditer(old.data, hunk.old_byte, hunk.old_byte_end)
    after = _INK.finditer(new.data, hunk.new_byte, hunk.new_byte_end)
    for was, now in islice(zip_longest(before, after), _MAX_EQUAL_INK):
        if was is None or now is None or was[0] != now[0]:
            return (was is None or _is_code(old, was.start())) and (now is None or _is_code(new, now.start()))
    return False


def _is_code(parsed: ParsedFile, position: int) -> bool:
    """Return whether a byte is code for certain: in no comment, and in no string, which may be a docstring."""
    node = parsed.tree.root_node.descendant_for_byte_range(position, position + 1)
    for _ in range(2):  # a comment may have parts
        if node is not None:
            if node.type in parsed.language.comments or node.type in _FLOWED or "string" in node.type:
                return False
            node = node.parent
    return True


def listed_inside(parsed: ParsedFile, index: int) -> Iterator[Function]:
    """Yield the listed functions inside of a function, without those inside of them, by whole lines."""
    outer = parsed.functions[index]
    row = outer.start_line
    for inner in parsed.functions[index + 1 :]:
        if inner.start_line > outer.end_line:
            return
        if inner.start_line >= row and inner.end_line <= outer.end_line:
            yield inner
            row = inner.end_line + 1


def _free_of_layout(parsed: ParsedFile, first_row: int, end_row: int, depths: list[int]) -> list[bytes]:
    data = parsed.data
    at, end = _row_start(data, first_row), _row_start(data, end_row)
    tokens: list[bytes] = []
    for piece in _pieces(parsed, at, end) if at < end else ():
        if isinstance(piece, _Indentation):
            while depths and depths[-1] > piece.column:
                depths.pop()
            if not depths or depths[-1] < piece.column:
                depths.append(piece.column)
            tokens.append(b"\n%d" % len(depths))
            continue
        tokens += _hidden(parsed, at, piece.start)
        if piece.is_code and piece.end > piece.start:
            text = data[piece.start : piece.end]
            tokens.append(b" ".join(text.split()) if piece.type in _FLOWED else text)
        at = max(at, piece.end)
    tokens += _hidden(parsed, at, end)
    return [token.replace(b"\r\n", b"\n") for token in tokens if token]


def only_comments_or_whitespace(old: ParsedFile, new: ParsedFile, hunks: Sequence[Hunk]) -> bool:
    """Return whether no code differs: in every hunk the tokens, and in Python the indentation, are equal."""
    return all(
        _tokens(old, hunk.old_start, hunk.old_end, with_indentation=True)
        == _tokens(new, hunk.new_start, hunk.new_end, with_indentation=True)
        for hunk in hunks
    )


def only_tests(old: ParsedFile, new: ParsedFile, hunks: Sequence[Hunk]) -> bool:
    """Return whether code differs, and only on lines of tests within the files."""
    if not old.tests and not new.tests:
        return False
    old_rows, new_rows = _test_rows(old), _test_rows(new)
    return all(
        _tokens_outside(old, old_rows, hunk.old_start, hunk.old_end)
        == _tokens_outside(new, new_rows, hunk.new_start, hunk.new_end)
        for hunk in hunks
    )


def _test_rows(parsed: ParsedFile) -> list[tuple[int, int]]:
    """Return the rows [first, last) of each test within a file."""
    rows = []
    at = row = 0
    for start, end in parsed.tests:
        first = row + parsed.data.count(b"\n", at, start)
        row = first + parsed.data.count(b"\n", start, end)
        rows.append((first, row + 1))
        at = end
    return rows


def _tokens_outside(parsed: ParsedFile, left_out: Sequence[tuple[int, int]], row: int, end_row: int) -> list[bytes]:
    tokens: list[bytes] = []
    for first, end in left_out[bisect_right(left_out, row, key=itemgetter(1)) :]:
        if first >= end_row:
            break
        tokens += _tokens(parsed, row, max(row, first), with_indentation=True)
        row = min(end, end_row)
    return tokens + _tokens(parsed, row, end_row, with_indentation=True)


def _tokens(parsed: ParsedFile, first_row: int, end_row: int, with_indentation: bool) -> list[bytes]:
    """Return the tokens of the rows [first_row, end_row), counted from 0."""
    data = parsed.data
    at, end = _row_start(data, first_row), _row_start(data, end_row)
    tokens: list[bytes] = []
    for piece in _pieces(parsed, at, end) if at < end else ():
        if isinstance(piece, _Indentation):
            if with_indentation:
                tokens.append(b"\n%d" % piece.column)
            continue
        tokens += _hidden(parsed, at, piece.start)
        if piece.is_code and piece.end > piece.start:
            tokens.append(data[piece.start : piece.end])
        at = max(at, piece.end)
    return tokens + _hidden(parsed, at, end)


def _hidden(parsed: ParsedFile, start: int, end: int) -> list[bytes]:
    """Return the text between two leaves, unless it is white space: parts of strings between escapes.

    What is blank in the shadow of a file is code, word by word.
    """
    text = parsed.data[start:end]
    if parsed.shadow is not parsed.data and parsed.shadow[start:end].isspace():
        return text.split()
    return [text] if text and not text.isspace() else []


def _row_start(data: bytes, row: int) -> int:
    parts = data.split(b"\n", row)
    return len(data) - len(parts[row]) if row < len(parts) else len(data)


def _pieces(parsed: ParsedFile, start: int, end: int) -> Iterator[_Piece | _Indentation]:
    """Yield leaves, comments and docstrings that overlap [start, end). Trees may be deeper than Python's stack."""
    language = parsed.language
    docstrings = _docstrings(parsed, start, end)
    cursor = parsed.tree.walk()
    in_block = [False]  # whether the current node, and each ancestor, is a statement of an indented block
    while True:
        node = cursor.node
        if node is None or node.start_byte >= end:
            return
        if node.end_byte > start:
            span = (node.start_byte, node.end_byte)
            is_code = node.type not in language.comments and span not in docstrings
            if is_code and span[0] >= start and (in_block[-1] or node.type in language.clauses):
                yield _Indentation(node.start_point.column)
            if is_code and node.child_count:
                in_block.append(node.type in language.blocks)
                if cursor.goto_first_child_for_byte(start) is None:
                    cursor.goto_first_child()
                continue
            yield _Piece(*span, is_code, node.type)
        while not cursor.goto_next_sibling():
            in_block.pop()
            if not cursor.goto_parent():
                return


def _docstrings(parsed: ParsedFile, start: int, end: int) -> set[tuple[int, int]]:
    query = docstring_query(parsed.language)
    if query is None or parsed.problem:
        return set()
    cursor = tree_sitter.QueryCursor(query)
    cursor.set_byte_range(start, end)
    nodes = cursor.captures(parsed.tree.root_node).get("docstring", ())
    return {(node.start_byte, node.end_byte) for node in nodes}
