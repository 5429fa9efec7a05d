"""One diff as lineage sees it: its files with renames joined, and where a function of its new side stood before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pipeline.git.trees import FileChange
from pipeline.mining.facts.cache import FactCache, NotYet
from pipeline.mining.facts.compute import ChangeWant, MovesWant, RenamesWant
from pipeline.mining.facts.lineage import FunctionKey, Place


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


def want_of(pair: FilePair, code: bool = False) -> ChangeWant:
    return ChangeWant(pair.old, pair.new, pair.old_path, pair.new_path, code)


def file_pairs(step: Step, book: FactCache) -> list[FilePair]:
    """The changed files, renames joined. Raises NotYet where they are not known yet."""
    changes = step.changes
    if any(c.old is None for c in changes) and any(c.new is None for c in changes):
        renames = book.renames(RenamesWant(step.old_tree, step.new_tree, tuple(changes))).renames
        return paired(changes, renames)
    return paired(changes, {})


class StepReader:
    """Asks the book about steps, and remembers what it said: a large merge is asked about thousands of times."""

    def __init__(self, book: FactCache) -> None:
        self._book = book
        self._pairs: dict[tuple[bytes, bytes], dict[bytes, FilePair]] = {}
        self._moves: dict[tuple[bytes, bytes], Mapping[Place, Place]] = {}
        self._asked_in: dict[tuple[bytes, bytes], int] = {}  # round in which the moves were asked for last

    def place_before(self, step: Step, path: bytes, key: FunctionKey) -> Place | None:
        """Where a function of the new side stood on the old side, None if it was born in between. Raises NotYet."""
        change = next((c for c in step.changes if c.path == path), None)
        if change is None:
            return path, key
        same_path = ChangeWant(change.old, change.new, path, path, False)
        if change.old is not None and key not in self._book.change(same_path).born:
            return path, key
        pair = self._pairs_of(step)[path]
        if pair.old_path != path and key not in self._book.change(want_of(pair)).born:
            return pair.old_path, key
        return self._moves_of(step).get((path, key))

    def _pairs_of(self, step: Step) -> Mapping[bytes, FilePair]:
        trees = (step.old_tree, step.new_tree)
        if trees not in self._pairs:
            self._pairs[trees] = {pair.new_path: pair for pair in file_pairs(step, self._book)}
        return self._pairs[trees]

    def _moves_of(self, step: Step) -> Mapping[Place, Place]:
        trees = (step.old_tree, step.new_tree)
        if trees not in self._moves:
            if self._asked_in.get(trees) == self._book.rounds:
                raise NotYet  # all it needs is on the list already
            self._asked_in[trees] = self._book.rounds
            self._moves[trees] = self._ask_moves(step)
        return self._moves[trees]

    def _ask_moves(self, step: Step) -> Mapping[Place, Place]:
        pairs = list(self._pairs_of(step).values())
        wants = [want_of(pair) for pair in pairs]
        if not self._book.knows_all(wants):
            raise NotYet
        facts = [self._book.change(want) for want in wants]
        vanished = [(p.old, p.old_path, f.vanished) for p, f in zip(pairs, facts, strict=True) if f.vanished and p.old]
        born = [(p.new, p.new_path, f.born) for p, f in zip(pairs, facts, strict=True) if f.born and p.new]
        if not vanished or not born:
            return {}
        return self._book.moves(MovesWant(step.old_tree, step.new_tree, tuple(vanished), tuple(born))).moves
