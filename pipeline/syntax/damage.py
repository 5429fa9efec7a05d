"""Measure what of a file its grammar could not read, and read it again where another spelling helps."""

from __future__ import annotations

import tree_sitter

from pipeline.syntax.languages import Language
from pipeline.syntax.soft_keywords import with_names_in_capitals

# A tree with more nodes on the way to its errors is not searched further: what has been found is enough to say so.
_MOST_VISITED = 50_000


def unread_bytes(tree: tree_sitter.Tree) -> int:
    """Return how many bytes lie within error nodes, at least 1 if there is any error."""
    root = tree.root_node
    if not root.has_error:
        return 0
    unread, visited = 1, 0
    waiting = [root]
    while waiting and visited < _MOST_VISITED:
        node = waiting.pop()
        if node.is_error:
            unread += node.end_byte - node.start_byte
            continue
        visited += node.child_count
        waiting.extend(child for child in node.children if child.has_error)
    return unread


def other_spelling(language: Language, data: bytes) -> bytes:
    """Return a file that its grammar has errors in, spelled so that it may have fewer: the data itself for none."""
    return with_names_in_capitals(data) if language.name == "Kotlin" else data
