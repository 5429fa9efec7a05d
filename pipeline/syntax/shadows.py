"""Choose the text that is parsed in place of a file: constructs that its grammar cannot read become spaces.

A shadow has the bytes, lines and columns of the file, so that every node of its tree lies where the code lies. Names,
tokens and changed lines are read from the file itself. A shadow depends on language and content alone, is made in
linear time, and is the file itself if nothing needs to change.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.syntax.c_macros import without_macros
from pipeline.syntax.conditionals import without_cuts
from pipeline.syntax.hunks import Hunk
from pipeline.syntax.rust_macros import without_item_macros


def shadow(grammar: str, data: bytes) -> bytes:
    """Return the text to parse with a grammar, named by its module."""
    match grammar:
        case "tree_sitter_c" | "tree_sitter_cpp":
            return without_macros(without_cuts(data, csharp=False), cpp=grammar == "tree_sitter_cpp")
        case "tree_sitter_c_sharp":
            return without_cuts(data, csharp=True)
        case "tree_sitter_rust":
            return without_item_macros(data)
        case _:
            return data


def differ_only_in(hunks: Sequence[Hunk], old: bytes, new: bytes) -> bool:
    """Return whether two shadows are equal outside of the hunks between their files."""
    old_at = new_at = 0
    for hunk in hunks:
        if old[old_at : hunk.old_byte] != new[new_at : hunk.new_byte]:
            return False
        old_at, new_at = hunk.old_byte_end, hunk.new_byte_end
    return old[old_at:] == new[new_at:]
