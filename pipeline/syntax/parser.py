"""A version of a file -> its syntax tree and its functions.

The tree is read once for its outline; a sweep over the outline's byte ranges then knows what encloses what, so no node
is ever asked for its parent. The result depends on language and bytes alone: a parse that reuses an older tree is kept
only where that cannot change it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import tree_sitter

from pipeline.label_recipe import MESSAGES
from pipeline.syntax.grammars import parser
from pipeline.syntax.hunks import Hunk
from pipeline.syntax.languages import Language, dialect
from pipeline.syntax.limits import BoundedText, is_dense, is_unwieldy
from pipeline.syntax.outline import SCOPE, VALUE, WRAPPER, Outline, OutlineItem, read_outline, updated_outline

# Below a path this long names are not qualified further: 75,000 nested functions fit in a file of 1 MiB.
LONGEST_PATH = 400

_SHORTEST = MESSAGES.shortest_function_lines


class Function(NamedTuple):
    """A named function of at least three lines, as it stands in one version of a file."""

    qualified_name: str  # "Class.method", "outer.inner": printable, "." in every language
    ordinal: int  # among the listed functions of this qualified name in the file, document order, from 0
    start_line: int  # from 1, inclusive; decorators included
    end_line: int


@dataclass(frozen=True, slots=True, eq=False)
class ParsedFile:
    """A version of a file with its tree and functions, in document order by first byte."""

    language: Language
    data: bytes
    tree: tree_sitter.Tree
    functions: tuple[Function, ...]
    outline: Outline
    problem: str = ""  # why no functions are listed: "too ambiguous", "too deep or wide"


def parse_file(
    language: Language,
    data: bytes,
    previous: ParsedFile | None = None,
    hunks: Sequence[Hunk] | None = None,
) -> ParsedFile:
    """Parse a version; `previous` and the hunks that turn previous.data into data only save time."""
    language = dialect(language, data)
    if previous is not None and previous.language is language:
        if previous.data == data:
            return previous
        parsed = _updated(previous, data, hunks) if hunks else None
        if parsed is not None:
            return parsed
    tree = _parsed(language, data)
    if tree is None:
        return ParsedFile(language, data, parser(language).parse(b""), (), (), "too ambiguous")
    if is_unwieldy(tree):
        return ParsedFile(language, data, tree, (), (), "too deep or wide")
    outline = read_outline(language, tree.root_node, data)
    return ParsedFile(language, data, tree, listed(outline), outline)


def _parsed(language: Language, data: bytes, edited: tree_sitter.Tree | None = None) -> tree_sitter.Tree | None:
    """The tree, none where the parser ran out of steps. Only reading by callback can be stopped, and is no slower."""
    text = BoundedText(data)
    try:
        if edited is None:
            tree = parser(language).parse(text.read, progress_callback=text.is_spent)
        else:
            tree = parser(language).parse(text.read, edited, progress_callback=text.is_spent)
    except ValueError:
        parser(language).reset()
        return None
    finally:
        text.release()
    return tree if text.reads_left >= 0 else None


def _updated(previous: ParsedFile, data: bytes, hunks: Sequence[Hunk]) -> ParsedFile | None:
    """The next version, reusing what the hunks left alone; none where recovery from errors could make it differ."""
    if previous.problem or previous.tree.root_node.has_error:
        return None
    edited = previous.tree.copy()
    for hunk in reversed(hunks):
        edited.edit(
            hunk.old_byte,
            hunk.old_byte_end,
            hunk.old_byte + hunk.new_byte_end - hunk.new_byte,
            (hunk.old_start, 0),
            (hunk.old_end, 0),
            (hunk.old_start + hunk.new_end - hunk.new_start, 0),
        )
    tree = _parsed(previous.language, data, edited)
    if tree is None or tree.root_node.has_error or is_dense(tree, len(data)) or is_unwieldy(tree):
        return None
    outline = updated_outline(previous.language, previous.outline, edited, tree, data, hunks)
    return ParsedFile(previous.language, data, tree, listed(outline), outline)


def listed(outline: Sequence[OutlineItem]) -> tuple[Function, ...]:
    """The functions of an outline, qualified and numbered."""
    return tuple(function for function, _, _ in located(outline))


def located(outline: Sequence[OutlineItem]) -> Iterator[tuple[Function, OutlineItem, int]]:
    """The functions of an outline, each with its node and its first byte, which may be that of a decorator."""
    around: list[tuple[int, str]] = []  # (end, qualified name) of what encloses the current item
    wrapper: OutlineItem | None = None
    seen: dict[str, int] = {}
    for item in outline:
        while around and around[-1][0] <= item.start:
            around.pop()
        if item.kind == WRAPPER:
            wrapper = wrapper if wrapper is not None and wrapper.end == item.end else item
            continue
        # A wrapper is used up by what it wraps: the last method of a decorated class ends where the class ends.
        first, wrapper = (wrapper or item, None) if wrapper is None or wrapper.end == item.end else (item, wrapper)
        path = around[-1][1] if around else ""
        bound = item.kind == VALUE and bool(around) and around[-1][0] == item.end
        if bound or not item.name:
            continue
        name = f"{path}.{item.name}" if path else item.name
        around.append((item.end, name if len(path) <= LONGEST_PATH else path))
        if item.kind == SCOPE:
            continue
        if item.last_row - first.first_row + 1 >= _SHORTEST:
            ordinal = seen.get(name, 0)
            seen[name] = ordinal + 1
            yield Function(name, ordinal, first.first_row + 1, item.last_row + 1), item, first.start
