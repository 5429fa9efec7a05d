"""Parse a version of a file into its syntax tree and its functions.

The tree is read once for its outline, and a sweep over the byte ranges of the outline finds what encloses what, without
looking up the parents of nodes. The result depends on language, content and the version of the label rules alone: a
parse that reuses an older tree is used only if that cannot change the result.

Since version 2 the tree is that of the file's shadow (pipeline/syntax/shadow/shadows.py), and tests within Rust files
are no functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import tree_sitter

from pipeline.label_recipe import MESSAGES, MINER_VERSION
from pipeline.syntax.damage import other_spelling, unread_bytes
from pipeline.syntax.dialects import dialect
from pipeline.syntax.grammars import parser
from pipeline.syntax.hunks import Hunk
from pipeline.syntax.languages import Language
from pipeline.syntax.limits import is_dense, is_unwieldy
from pipeline.syntax.outline import SCOPE, VALUE, WRAPPER, Outline, OutlineItem, read_outline, updated_outline
from pipeline.syntax.rust_tests import test_spans
from pipeline.syntax.shadow.shadows import shadow
from pipeline.syntax.stack_probe import ProbedText

# Names are not qualified beyond this length: 75,000 nested functions fit into a file of 1 MiB.
MAX_PATH_CHARACTERS = 400

_MIN_LINES = MESSAGES.shortest_function_lines


class Function(NamedTuple):
    """A named function of at least three lines in one version of a file."""

    qualified_name: str  # "Class.method", "outer.inner": printable, with "." in every language
    ordinal: int  # among the functions of this qualified name in the file, in document order, from 0
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
    problem: str = ""  # why the file has no functions: "too ambiguous", "too deep or wide"
    shadow: bytes = b""  # the text that was parsed, of the length of `data`
    tests: tuple[tuple[int, int], ...] = ()  # bytes of items that are tests, ascending and disjoint


def parse_file(
    language: Language,
    data: bytes,
    previous: ParsedFile | None = None,
    hunks: Sequence[Hunk] | None = None,
    version: int = MINER_VERSION,
) -> ParsedFile:
    """Parse a version of a file.

    `previous`, of the same version of the label rules, and the hunks from previous.data to data only save time.
    """
    language = dialect(language, data, version)
    if previous is not None and previous.language is language and previous.data == data:
        return previous
    text = shadow(language.module, data) if version >= 2 else data
    if previous is not None and previous.language is language:
        parsed = _parse_edited(previous, data, text, hunks) if hunks else None
        if parsed is not None:
            return _with_functions(parsed, version)
    tree = _parse(language, text)
    if version >= 2 and not isinstance(tree, str) and tree.root_node.has_error:
        text, tree = _parse_again(language, text, tree)
    if isinstance(tree, str):
        return ParsedFile(language, data, parser(language).parse(b""), (), (), tree, text)
    if is_unwieldy(tree):
        return ParsedFile(language, data, tree, (), (), "too deep or wide", text)
    outline = read_outline(language, tree.root_node, data)
    return _with_functions(ParsedFile(language, data, tree, (), outline, "", text), version)


def _with_functions(parsed: ParsedFile, version: int) -> ParsedFile:
    tests = test_spans(parsed.data) if version >= 2 and parsed.language.name == "Rust" else ()
    return replace(parsed, functions=functions_in(parsed.outline, tests), tests=tests)


def _parse_again(language: Language, data: bytes, tree: tree_sitter.Tree) -> tuple[bytes, tree_sitter.Tree]:
    """Return the text and tree of another spelling of a file with errors, if it has fewer, else its own."""
    text = other_spelling(language, data)
    other = _parse(language, text) if text is not data else ""
    if isinstance(other, str) or unread_bytes(other) >= unread_bytes(tree):
        return data, tree
    return text, other


def _parse(language: Language, data: bytes, edited: tree_sitter.Tree | None = None) -> tree_sitter.Tree | str:
    """Return the tree, or why the parser was stopped. Only a parse by callback can be stopped; it is as fast."""
    text = ProbedText(data, parser(language))
    try:
        if edited is None:
            tree = parser(language).parse(text.read, progress_callback=text.is_spent)
        else:
            tree = parser(language).parse(text.read, edited, progress_callback=text.is_spent)
    except ValueError:
        parser(language).reset()
        return text.problem or "too ambiguous"
    finally:
        text.release()
    return tree if text.reads_left >= 0 and not text.problem else text.problem or "too ambiguous"


def _parse_edited(previous: ParsedFile, data: bytes, text: bytes, hunks: Sequence[Hunk]) -> ParsedFile | None:
    """Parse the next version from an edited tree. Return None if error recovery could change the result."""
    if previous.problem or previous.tree.root_node.has_error:
        return None
    is_plain = previous.shadow is previous.data and text is data
    if not is_plain and not _differ_only_in(hunks, previous.shadow, text):
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
    tree = _parse(previous.language, text, edited)
    if isinstance(tree, str) or tree.root_node.has_error or is_dense(tree, len(data)) or is_unwieldy(tree):
        return None
    outline = updated_outline(previous.language, previous.outline, edited, tree, data, hunks)
    return ParsedFile(previous.language, data, tree, (), outline, "", text)


def _differ_only_in(hunks: Sequence[Hunk], old: bytes, new: bytes) -> bool:
    """Return whether two shadows are equal outside of the hunks between their files."""
    old_at = new_at = 0
    for hunk in hunks:
        if old[old_at : hunk.old_byte] != new[new_at : hunk.new_byte]:
            return False
        old_at, new_at = hunk.old_byte_end, hunk.new_byte_end
    return old[old_at:] == new[new_at:]


def functions_in(outline: Sequence[OutlineItem], tests: Sequence[tuple[int, int]] = ()) -> tuple[Function, ...]:
    """Return the functions of an outline, qualified and numbered."""
    return tuple(function for function, _, _ in located_functions(outline, tests))


def located_functions(
    outline: Sequence[OutlineItem], tests: Sequence[tuple[int, int]] = ()
) -> Iterator[tuple[Function, OutlineItem, int]]:
    """Yield the functions of an outline, each with its node and its first byte (that of a decorator, if any).

    Functions within `tests`, spans of bytes, are left out and not numbered.
    """
    following = iter(tests)
    test = next(following, None)
    # (end, qualified name, end of a wrapped function) of the items that enclose the current one
    around: list[tuple[int, str, int]] = []
    wrapper: OutlineItem | None = None
    counts: dict[str, int] = {}
    for item in outline:
        while around and around[-1][0] <= item.start:
            around.pop()
        if item.kind == WRAPPER:
            wrapper = wrapper if wrapper is not None and wrapper.end == item.end else item
            continue
        # A wrapper wraps one item only: the last method of a decorated class ends where the class ends.
        first, wrapper = (wrapper or item, None) if wrapper is None or wrapper.end == item.end else (item, wrapper)
        path = around[-1][1] if around else ""
        bound = item.kind == VALUE and bool(around) and item.end in (around[-1][0], around[-1][2])
        if bound or not item.name:
            continue
        name = f"{path}.{item.name}" if path else item.name
        around.append((item.end, name if len(path) <= MAX_PATH_CHARACTERS else path, item.wrapped_end))
        if item.kind == SCOPE:
            continue
        while test is not None and test[1] <= item.start:
            test = next(following, None)
        if test is not None and test[0] <= item.start:
            continue
        if item.last_row - first.first_row + 1 >= _MIN_LINES:
            ordinal = counts.get(name, 0)
            counts[name] = ordinal + 1
            yield Function(name, ordinal, first.first_row + 1, item.last_row + 1), item, first.start
