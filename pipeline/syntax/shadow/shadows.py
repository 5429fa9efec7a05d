"""Choose the text that is parsed in place of a file: constructs that its grammar cannot read become spaces.

A shadow has the bytes, lines and columns of the file, so that every node of its tree lies where the code lies. Names,
tokens and changed lines are read from the file itself. A shadow depends on language and content alone, is made in
linear time, and is the file itself if nothing needs to change.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pipeline.syntax.shadow.blanks import C_DIRECTIVE, C_TEXT, CSHARP_TEXT, blank, replaced
from pipeline.syntax.shadow.c_macros import without_macros
from pipeline.syntax.shadow.conditionals import cuts
from pipeline.syntax.shadow.rust_macros import without_item_macros

_ENDIF = re.compile(rb"#[ \t]*+endif")
_ITEM_END = re.compile(rb"\n\};?[ \t\r]*+\n")
_MAX_REMEMBERED_BYTES = 8_192


def shadow(grammar: str, data: bytes) -> bytes:
    """Return the text to parse with a grammar, named by its module."""
    match grammar:
        case "tree_sitter_c" | "tree_sitter_cpp":
            return _of_c(data, cpp=grammar == "tree_sitter_cpp")
        case "tree_sitter_c_sharp":
            if not _ENDIF.search(data):
                return data
            spans = cuts(blank(CSHARP_TEXT, data), csharp=True)
            return replaced(data, spans) if spans else data
        case "tree_sitter_rust":
            return without_item_macros(data)
        case _:
            return data


def _of_c(data: bytes, cpp: bool) -> bytes:
    code = blank(C_TEXT, data)
    spans = cuts(code, csharp=False) if _ENDIF.search(data) else []
    if spans:
        data, code = replaced(data, spans), replaced(code, spans)
    code = blank(C_DIRECTIVE, code)
    parts = []
    at = 0
    for end in [*(match.end() for match in _ITEM_END.finditer(code)), len(code)]:
        rewrite = _rewritten if end - at <= _MAX_REMEMBERED_BYTES else without_macros
        parts.append(rewrite(data[at:end], code[at:end], cpp))
        at = end
    return b"".join(parts)


# Macros are rewritten item by item: in the next version of a file most items are the same.
_rewritten = lru_cache(maxsize=1_024)(without_macros)
