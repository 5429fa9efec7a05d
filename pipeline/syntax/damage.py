"""Measure what of a file its grammar could not read, and read it again where another spelling helps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import tree_sitter

from pipeline.syntax.languages import Language
from pipeline.syntax.shadow.soft_keywords import with_names_in_capitals

_MOST_VISITED = 50_000  # nodes on the way to errors


def unread_bytes(tree: tree_sitter.Tree) -> int:
    """Return how many bytes lie within error nodes, at least 1 if there is any error."""
    return tree.root_node.has_error + sum(node.end_byte - node.start_byte for node in _errors(tree))


def _errors(tree: tree_sitter.Tree) -> Iterator[tree_sitter.Node]:
    """Yield the outermost error nodes. None are missing unless the tree is hostile."""
    visited = 0
    waiting = [tree.root_node]
    while waiting and visited < _MOST_VISITED:
        node = waiting.pop()
        if node.is_error:
            yield node
            continue
        visited += node.child_count
        waiting.extend(child for child in node.children if child.has_error)


def unread_lines(tree: tree_sitter.Tree, data: bytes, functions: Iterable[tuple[int, int]]) -> int | None:
    """Return how many lines with text lie within error nodes and outside of functions, None without any error.

    `functions` are those that were found, as (first line, last line) from 1.
    """
    if not tree.root_node.has_error:
        return None
    rows = {row for node in _errors(tree) for row in range(node.start_point.row, node.end_point.row + 1)}
    for first, last in functions if rows else ():
        rows.difference_update(range(first - 1, last))
    lines = data.split(b"\n") if rows else []
    return sum(bool(lines[row].strip()) for row in rows)


def other_spelling(language: Language, data: bytes) -> bytes:
    """Return a file that its grammar has errors in, spelled so that it may have fewer: the data itself for none."""
    return with_names_in_capitals(data) if language.name == "Kotlin" else data
