"""One diff as lineage sees it: its files with renames joined, and where a function of its new side stood before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pipeline.mining.fact_book import FactBook, NotYet
from pipeline.mining.facts import ChangeWant, MovesWant, RenamesWant
from pipeline.mining.lineage import FunctionKey, Place
from pipeline.mining.trees import FileChange


class Step(NamedTuple):
    """The diff between a commit's tree and its parent's: source files only."""

    old_tree: bytes
    new_tree: bytes
    changes: Sequence[FileChange]


class FilePair(NamedTuple):
    """A file on both sides of a diff; without a blob where there is none on that side."""

    old: bytes | None
    new: bytes | None
    old_path: bytes
    new_path: bytes


def file_pairs(step: Step, book: FactBook) -> list[FilePair]:
    """The changed files, renames joined. Raises NotYet where they are not known yet."""
    changes = step.changes
    if any(c.old is None for c in changes) and any(c.new is None for c in changes):
        renames = book.renames(RenamesWant(step.old_tree, step.new_tree, tuple(changes))).renames
        return paired(changes, renames)
    return paired(changes, {})


def paired(changes: Iterable[FileChange], renames: Mapping[bytes, bytes]) -> list[FilePair]:
    """The changes as pairs, with `renames` (new path -> old path) joined."""
    changes = list(changes)
    old_blobs = {c.path: c.old for c in changes}
    renamed_away = set(renames.values())
    joined = []
    for change in changes:
        if change.path in renames:
            old_path = renames[change.path]
            joined.append(FilePair(old_blobs[old_path], change.new, old_path, change.path))
        elif change.path not in renamed_away:
            joined.append(FilePair(change.old, change.new, change.path, change.path))
    return joined


def place_before(step: Step, path: bytes, key: FunctionKey, book: FactBook) -> Place | None:
    """Where a function of the new side stood on the old side, None if it was born in between. Raises NotYet."""
    change = next((c for c in step.changes if c.path == path), None)
    if change is None:
        return path, key
    if change.old is not None and key not in book.change(ChangeWant(change.old, change.new, path, path, False)).born:
        return path, key
    pairs = file_pairs(step, book)
    pair = next(p for p in pairs if p.new_path == path)
    if pair.old_path != path and key not in book.change(want_of(pair)).born:
        return pair.old_path, key
    return _moves(step, pairs, book).get((path, key))


def want_of(pair: FilePair, code: bool = False) -> ChangeWant:
    return ChangeWant(pair.old, pair.new, pair.old_path, pair.new_path, code)


def _moves(step: Step, pairs: Sequence[FilePair], book: FactBook) -> Mapping[Place, Place]:
    wants = [want_of(pair) for pair in pairs]
    if not book.knows_all(wants):
        raise NotYet
    facts = [book.change(want) for want in wants]
    vanished = [(p.old, p.old_path, f.vanished) for p, f in zip(pairs, facts, strict=True) if f.vanished and p.old]
    born = [(p.new, p.new_path, f.born) for p, f in zip(pairs, facts, strict=True) if f.born and p.new]
    if not vanished or not born:
        return {}
    return book.moves(MovesWant(step.old_tree, step.new_tree, tuple(vanished), tuple(born))).moves
