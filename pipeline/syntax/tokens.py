"""List the code tokens of a parsed file, without comments, docstrings and white space."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

import tree_sitter

from pipeline.syntax.grammars import docstring_query
from pipeline.syntax.hunks import Hunk
from pipeline.syntax.parser import ParsedFile


class _Piece(NamedTuple):
    """A leaf, a comment or a docstring."""

    start: int
    end: int
    is_code: bool


class _Indentation(NamedTuple):
    """The column of a statement, in languages where indentation is code."""

    column: int


def code_tokens(parsed: ParsedFile, first_line: int, last_line: int) -> list[bytes]:
    """Return the leaves that overlap the lines (from 1, inclusive), in order, without comments and docstrings.

    Text between leaves (in template strings, preprocessor lines) is a token too.
    """
    return _tokens(parsed, first_line - 1, last_line, with_indentation=False)


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
            yield _Piece(*span, is_code)
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
