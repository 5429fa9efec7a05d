"""Read the outline of a syntax tree: the nodes that are functions, qualify names, or belong to a function.

The outline of a new version is read in full or, if its tree was parsed from an edited one, only around the changed
ranges: the items outside of them are kept and shifted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import tree_sitter

from pipeline.syntax.grammars import outline_query
from pipeline.syntax.hunks import Hunk
from pipeline.syntax.languages import Language
from pipeline.syntax.names import field, readable
from pipeline.syntax.wrapped_calls import wrapped_function

FUNCTION, SCOPE, VALUE, WRAPPER = range(4)

# With more changed ranges than this, one query over the whole tree is cheaper.
_MAX_RANGES = 24

_KINDS = {"function": FUNCTION, "scope": SCOPE, "value": VALUE, "wrapper": WRAPPER}
_NAME = field("name")


class OutlineItem(NamedTuple):
    """A node of the outline: bytes [start, end), rows from 0 and inclusive."""

    start: int
    end: int
    kind: int  # FUNCTION, SCOPE, VALUE or WRAPPER
    name: str  # as written at this node, empty if it has none
    first_row: int
    last_row: int
    wrapped_end: int = 0  # of the function in the calls that this one binds, 0 for none


Outline = tuple[OutlineItem, ...]


class _ChangedRange(NamedTuple):
    """A changed range in both versions, ends inclusive, and how far the text after it moves."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int
    shift: int  # bytes
    row_shift: int


def read_outline(language: Language, root: tree_sitter.Node, data: bytes) -> Outline:
    """Return all nodes of the language's row, in document order, outer before inner."""
    return _sorted(_query(language, root, data))


def updated_outline(
    language: Language,
    old: Outline,
    edited: tree_sitter.Tree,
    tree: tree_sitter.Tree,
    data: bytes,
    hunks: Sequence[Hunk],
) -> Outline:
    """Return the outline of `tree`, which was parsed from `edited`, the old tree with the hunks applied."""
    changed = sorted(
        [(hunk.new_byte, hunk.new_byte_end) for hunk in hunks]
        + [(span.start_byte, span.end_byte) for span in edited.changed_ranges(tree)]
    )
    ranges = list(_joined_ranges(changed, hunks))
    if len(ranges) > _MAX_RANGES:
        return read_outline(language, tree.root_node, data)
    items = set(_unchanged_items(old, ranges))
    for changed_range in ranges:
        items.update(
            _query(language, tree.root_node, data, (max(changed_range.new_start - 1, 0), changed_range.new_end + 1))
        )
    return _sorted(items)


def _sorted(items: Iterable[OutlineItem]) -> Outline:
    return tuple(sorted(items, key=lambda item: (item.start, -item.end, item.kind)))


def _query(
    language: Language, root: tree_sitter.Node, data: bytes, span: tuple[int, int] | None = None
) -> set[OutlineItem]:
    """Return the items that overlap `span`, or all."""
    cursor = tree_sitter.QueryCursor(outline_query(language))
    if span is not None:
        cursor.set_byte_range(*span)
    captures = cursor.captures(root)
    statements = {(node.start_byte, node.end_byte) for node in captures.get("statement", ())}
    items = {
        _item(language, node, _KINDS[capture], data)
        for capture, nodes in captures.items()
        if capture in _KINDS
        for node in nodes
        if (node.start_byte, node.end_byte) not in statements
    }
    for node in captures.get("wrapped", ()):
        function = wrapped_function(node, data)
        if function is not None:
            items.add(_item(language, node, FUNCTION, data)._replace(wrapped_end=function.end_byte))
    return items


def _item(language: Language, node: tree_sitter.Node, kind: int, data: bytes) -> OutlineItem:
    namer = language.names.get(node.type, _NAME)
    if kind == SCOPE:
        namer = language.scope_names.get(node.type, namer)
    raw = namer(node, data) if kind != WRAPPER else b""
    first_row = node.start_point.row
    last_row, column = node.end_point
    # A node that ends with a line feed ends on the line before.
    if column == 0 and last_row > first_row:
        last_row -= 1
    return OutlineItem(node.start_byte, node.end_byte, kind, readable(raw), first_row, last_row)


def _joined_ranges(changed: list[tuple[int, int]], hunks: Sequence[Hunk]) -> Iterator[_ChangedRange]:
    """Join the changed ranges (new bytes, ascending) that touch, and locate them in the old version."""
    at = shift = row_shift = 0
    start, end = changed[0]
    for next_start, next_end in [*changed[1:], (1 << 62, 1 << 62)]:
        if next_start <= end:
            end = max(end, next_end)
            continue
        old_start = start - shift
        while at < len(hunks) and hunks[at].new_byte <= end:
            hunk = hunks[at]
            shift += (hunk.new_byte_end - hunk.new_byte) - (hunk.old_byte_end - hunk.old_byte)
            row_shift += (hunk.new_end - hunk.new_start) - (hunk.old_end - hunk.old_start)
            at += 1
        yield _ChangedRange(old_start, end - shift, start, end, shift, row_shift)
        start, end = next_start, next_end


def _unchanged_items(old: Outline, ranges: list[_ChangedRange]) -> Iterator[OutlineItem]:
    """Yield the items outside of every changed range, shifted to their new position."""
    following = iter(ranges)
    current: _ChangedRange | None = next(following)
    shift = row_shift = 0
    for item in old:
        while current is not None and current.old_end < item.start:
            shift, row_shift = current.shift, current.row_shift
            current = next(following, None)
        if current is not None and item.end >= current.old_start:
            continue
        if shift or row_shift:
            start, end, kind, name, first_row, last_row, wrapped_end = item
            wrapped_end = wrapped_end and wrapped_end + shift
            yield OutlineItem(
                start + shift, end + shift, kind, name, first_row + row_shift, last_row + row_shift, wrapped_end
            )
        else:
            yield item
