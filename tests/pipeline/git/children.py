"""What tests run in a child process with little memory, time or space.

Apart from the tests, so that a child does not import pytest and hypothesis.
"""

from __future__ import annotations

import resource
from pathlib import Path

from pipeline.git.objects import ObjectProblem, ObjectReader
from pipeline.git.pack_index import index_pack
from pipeline.git.trees import TreeReader
from pipeline.records import AssayError


def read_all(objects: str, ids: list[str], most_bytes: int | None = None) -> list[str]:
    """Return for each id the class of the error, or the length of the content."""
    outcomes = []
    with ObjectReader(Path(objects)) as reader:
        for id in ids:
            try:
                raw = bytes.fromhex(id)
                outcomes.append(str(len(reader.read(raw)[1] if most_bytes is None else reader.blob(raw, most_bytes))))
            except ObjectProblem as problem:
                outcomes.append(type(problem).__name__)
    return outcomes


def list_twice(objects: str, tree: str) -> list[list[int]]:
    """(number of files, entries left out) of a tree, listed and then deleted."""
    outcomes = []
    with ObjectReader(Path(objects)) as reader:
        for old, new in ((None, bytes.fromhex(tree)), (bytes.fromhex(tree), None)):
            trees = TreeReader(reader, keep=lambda path: True)
            outcomes.append([len(trees.changes(old, new)), trees.skipped])
    return outcomes


def index_or_problem(path: str) -> str:
    try:
        return f"{index_pack(Path(path))} objects"
    except ObjectProblem as problem:
        return f"{type(problem).__name__}: {problem}"


def clone_with_little_space(url: str, into: str, max_bytes: int) -> str:
    """Clone with a limit on the size of files, at which the system fails as it does on a full disk."""
    from pipeline.git.clone import clone_or_fetch, parse_url  # with HTTP, which the others do not need

    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))
    try:
        clone_or_fetch(parse_url(url), Path(into))
    except AssayError as error:
        return str(error)
    return "done"
