"""Read `.git-blame-ignore-revs`: the commits that a project wants left out of blame, mostly reformatting."""

from __future__ import annotations

import re
from typing import Final

from pipeline.git.objects import ObjectReader
from pipeline.git.packs import ObjectProblem

FILE_NAME: Final = b".git-blame-ignore-revs"
MAX_FILE_BYTES: Final = 1 << 20

_ENTRY = re.compile(rb"100[0-7]{3} " + re.escape(FILE_NAME) + rb"\0(.{20})", re.DOTALL)
# As git reads it: full ids, one a line, comments after #.
_COMMIT = re.compile(rb"^[ \t]{0,80}([0-9a-fA-F]{40})[ \t\r]{0,80}(?:#[^\n]{0,2000})?$", re.MULTILINE)


def ignored_by_blame(reader: ObjectReader, tree: bytes) -> frozenset[bytes]:
    """Return the ids (20 bytes) that the file at the root of a tree lists; none if there is no such readable file."""
    try:
        entry = _ENTRY.search(reader.tree(tree))
        text = reader.blob(entry[1], MAX_FILE_BYTES) if entry else b""
    except ObjectProblem:  # missing, broken or too large
        return frozenset()
    return frozenset(bytes.fromhex(match[1].decode()) for match in _COMMIT.finditer(text))
