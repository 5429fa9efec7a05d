"""Code tokens of a parsed file: what remains when comments, docstrings and white space are taken away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import tree_sitter
from rapidfuzz.distance import Indel

from pipeline.mining.grammars import docstring_query
from pipeline.mining.hunks import Hunk
from pipeline.mining.parsing import ParsedFile


def code_tokens(parsed: ParsedFile, first_line: int, last_line: int) -> list[bytes]:
    """The leaves that overlap the lines (from 1, inclusive), in order; comments and docstrings left out.

    Text that the grammar hides between leaves (template strings, preprocessor lines) is a token too.
    """
    return _tokens(parsed, first_line - 1, last_line - 1, indentation=False)


def _tokens(parsed: ParsedFile, first_row: int, last_row: int, indentation: bool) -> list[bytes]:
    data, language = parsed.data, parsed.language
    start, end = _byte_of_row(data, first_row), _byte_of_row(data, last_row + 1)
    if start >= end:
        return []
    docstrings = _docstrings(parsed, start, end)
    tokens: list[bytes] = []
    cursor = parsed.tree.walk()
    at = None  # end of the last token, none before the first
    in_block = False
    while True:
        node = cursor.node
        assert node is not None
        node_start, node_end = node.start_byte, node.end_byte
        descended = False
        if node_start >= end and at is not None:
            break
        if node_end > start and node_start < end:
            skipped = node.type in language.comments or (node_start, node_end) in docstrings
            if indentation and in_block and not skipped and node_start >= start:
                tokens.append(b"\n%d" % node.start_point.column)
            if skipped:
                if at is not None:
                    _gap(tokens, data, at, node_start)
                at = node_end
            elif node.child_count:
                in_block = node.type in language.blocks
                descended = cursor.goto_first_child()
            else:
                if at is not None:
                    _gap(tokens, data, at, node_start)
                if node_end > node_start:
                    tokens.append(data[node_start:node_end])
                at = node_end
        if descended:
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                if at is not None:
                    _gap(tokens, data, at, min(end, parsed.tree.root_node.end_byte))
                return tokens
        in_block = False
    return tokens


def _gap(tokens: list[bytes], data: bytes, start: int, end: int) -> None:
    if end > start:
        hidden = data[start:end].strip()
        if hidden:
            tokens.append(hidden)


def _byte_of_row(data: bytes, row: int) -> int:
    at = 0
    for _ in range(row):
        feed = data.find(b"\n", at)
        if feed < 0:
            return len(data)
        at = feed + 1
    return at


def _docstrings(parsed: ParsedFile, start: int, end: int) -> set[tuple[int, int]]:
    query = docstring_query(parsed.language)
    if query is None:
        return set()
    cursor = tree_sitter.QueryCursor(query)
    cursor.set_byte_range(start, end)
    return {(node.start_byte, node.end_byte) for node in cursor.captures(parsed.tree.root_node).get("docstring", ())}


def only_comments_or_whitespace(old: ParsedFile, new: ParsedFile, hunks: Sequence[Hunk]) -> bool:
    """Whether no code differs: the tokens of the changed lines are equal hunk by hunk."""
    indentation = bool(new.language.blocks)
    return all(
        _tokens(old, hunk.old_start, hunk.old_end - 1, indentation)
        == _tokens(new, hunk.new_start, hunk.new_end - 1, indentation)
        for hunk in hunks
    )


def similarity(first: list[bytes], second: list[bytes], at_least: float = 0.0) -> float:
    """Twice the longest common subsequence over the sum of lengths: 1.0 for equal lists, two empty ones too.

    Below `at_least` the answer is 0.0, which bounds on length and on the multisets often give at once.
    """
    total = len(first) + len(second)
    if first == second:
        return 1.0
    if 2 * min(len(first), len(second)) < at_least * total:
        return 0.0
    if at_least and 2 * (Counter(first) & Counter(second)).total() < at_least * total:
        return 0.0
    number: dict[bytes, int] = {}
    ratio = Indel.normalized_similarity(
        [number.setdefault(token, len(number)) for token in first],
        [number.setdefault(token, len(number)) for token in second],
    )
    return ratio if ratio >= at_least else 0.0
