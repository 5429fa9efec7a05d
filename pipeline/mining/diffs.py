"""Read a diff for lineage: pair its files across renames, and find the earlier place of a function."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pipeline.git.trees import FileChange
from pipeline.mining.facts.cache import FactCache, FactPending
from pipeline.mining.facts.compute import ChangeRequest, MovesFact, MovesRequest, RenamesRequest
from pipeline.mining.facts.lineage import FunctionKey, Place


class TreeDiff(NamedTuple):
    """The diff between the trees of a parent and a commit, source files only."""

    old_tree: bytes
    new_tree: bytes
    changes: Sequence[FileChange]


class FilePair(NamedTuple):
    """A file on both sides of a diff; the blob is None if the file does not exist on that side."""

    old: bytes | None
    new: bytes | None
    old_path: bytes
    new_path: bytes


def join_renames(changes: Iterable[FileChange], renames: Mapping[bytes, bytes]) -> list[FilePair]:
    """Return the changes as pairs of files, joining `renames` (new path -> old path)."""
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


def change_request(pair: FilePair, code: bool = False) -> ChangeRequest:
    return ChangeRequest(pair.old, pair.new, pair.old_path, pair.new_path, code)


def moves_between(
    old: tuple[bytes, bytes, Sequence[FunctionKey]], new: tuple[bytes, bytes, Sequence[FunctionKey]]
) -> MovesRequest:
    """Return the request to match functions of two files, each (blob, path, functions), named by all of that."""
    sides = [(blob, path, tuple(keys)) for blob, path, keys in (old, new)]
    ids = [hashlib.blake2b(repr(side).encode(), digest_size=20).digest() for side in sides]
    return MovesRequest(ids[0], ids[1], (sides[0],), (sides[1],))


def file_pairs(diff: TreeDiff, cache: FactCache) -> list[FilePair]:
    """Return the changed files with renames joined. Raises FactPending if the renames are pending."""
    changes = diff.changes
    if any(c.old is None for c in changes) and any(c.new is None for c in changes):
        renames = cache.renames(RenamesRequest(diff.old_tree, diff.new_tree, tuple(changes))).renames
        return join_renames(changes, renames)
    return join_renames(changes, {})


class DiffReader:
    """Read diffs through the fact cache, keeping results: a large merge is read thousands of times."""

    def __init__(self, cache: FactCache) -> None:
        self._cache = cache
        self._pairs: dict[tuple[bytes, bytes], dict[bytes, FilePair]] = {}
        self._moves: dict[tuple[bytes, bytes], MovesFact] = {}
        self._requested_in: dict[tuple[bytes, bytes], int] = {}  # the last round in which the moves were requested

    def place_before(self, diff: TreeDiff, path: bytes, key: FunctionKey) -> Place | None:
        """Return the old place of a function on the new side, None if it was born. Raises FactPending."""
        change = next((c for c in diff.changes if c.path == path), None)
        if change is None:
            return path, key
        same_path = ChangeRequest(change.old, change.new, path, path, False)
        if change.old is not None and key not in (fact := self._cache.change(same_path)).born:
            return path, fact.before(key)
        pair = self._pairs_of(diff)[path]
        if pair.old_path != path and key not in (fact := self._cache.change(change_request(pair))).born:
            return pair.old_path, fact.before(key)
        return self._moves_of(diff).moves.get((path, key))

    def lives_on(self, diff: TreeDiff, path: bytes, key: FunctionKey) -> bool:
        """Return whether a function that its path lost is elsewhere on the new side. Raises FactPending."""
        pair = next((p for p in self._pairs_of(diff).values() if p.old_path == path and p.old is not None), None)
        if pair is not None and pair.new_path != path and key not in self._cache.change(change_request(pair)).vanished:
            return True
        return (path, key) in self._moves_of(diff).moves.values()

    def moved_unchanged(self, diff: TreeDiff) -> frozenset[Place]:
        """Return the places on the old side of the functions that moved with equal code. Raises FactPending."""
        return self._moves_of(diff).unchanged

    def _pairs_of(self, diff: TreeDiff) -> Mapping[bytes, FilePair]:
        trees = (diff.old_tree, diff.new_tree)
        if trees not in self._pairs:
            self._pairs[trees] = {pair.new_path: pair for pair in file_pairs(diff, self._cache)}
        return self._pairs[trees]

    def _moves_of(self, diff: TreeDiff) -> MovesFact:
        trees = (diff.old_tree, diff.new_tree)
        if trees not in self._moves:
            if self._requested_in.get(trees) == self._cache.rounds:
                raise FactPending  # all of its facts have been requested
            self._requested_in[trees] = self._cache.rounds
            self._moves[trees] = self._request_moves(diff)
        return self._moves[trees]

    def _request_moves(self, diff: TreeDiff) -> MovesFact:
        pairs = list(self._pairs_of(diff).values())
        requests = [change_request(pair) for pair in pairs]
        if not self._cache.request_all(requests):
            raise FactPending
        facts = [self._cache.change(request) for request in requests]
        vanished = [(p.old, p.old_path, f.vanished) for p, f in zip(pairs, facts, strict=True) if f.vanished and p.old]
        born = [(p.new, p.new_path, f.born) for p, f in zip(pairs, facts, strict=True) if f.born and p.new]
        if not vanished or not born:
            return MovesFact({})
        return self._cache.moves(MovesRequest(diff.old_tree, diff.new_tree, tuple(vanished), tuple(born)))
