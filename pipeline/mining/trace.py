"""Trace a function that a fix changed back to the function that was alive at the start of the window.

The trace goes backwards along the diffs of the first-parent chain (and of a side branch, down to where it left the
chain). It visits only diffs of the function's file, and matches functions only where one was born. The lineage is the
same as if every function of the repository were followed forwards through every diff, with a fraction of the parsing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pipeline.git.branches import Branches
from pipeline.git.history import History, first_parent
from pipeline.git.trees import FileChange
from pipeline.label_recipe import MINER_VERSION
from pipeline.mining.counterparts import Counterparts
from pipeline.mining.diffs import DiffReader, TreeDiff
from pipeline.mining.facts.cache import FactCache, FactPending
from pipeline.mining.facts.compute import ChangeRequest, FunctionsRequest
from pipeline.mining.facts.lineage import FunctionKey, Place
from pipeline.mining.restored import Restorations

ALIVE = -1


class Root(NamedTuple):
    """The start of a lineage within a window."""

    path: bytes
    key: FunctionKey
    born_at: int  # ALIVE: alive at the window's start; else the chain position of the diff that created it


class LineageSegment(NamedTuple):
    """A part of a lineage during which the function stays in one place."""

    path: bytes
    key: FunctionKey
    born_at: int | None  # chain position of the diff that put it there; None: there since the window's start
    upto: int  # chain position


class Tracer:
    """Trace functions within the chain positions above `floor`. Raises FactPending if facts are missing."""

    def __init__(
        self,
        history: History,
        cache: FactCache,
        chain_changes: Mapping[int, Sequence[FileChange]],
        floor: int,
        changes_of: Callable[[int], Sequence[FileChange]],
        alive: Callable[[bytes, FunctionKey], bool],
        blobs_at_floor: Mapping[bytes, bytes],
        version: int = MINER_VERSION,
    ) -> None:
        """`chain_changes` are by chain position. `changes_of` takes a commit (index of the graph)."""
        self._history = history
        self._cache = cache
        self.floor = floor
        self._chain_changes = chain_changes
        self._changes_of = changes_of
        self._alive = alive
        self._version = version
        self._by_path: dict[bytes, list[tuple[int, FileChange]]] = {}
        for position in sorted(p for p in chain_changes if p > floor):
            for change in chain_changes[position]:
                self._by_path.setdefault(change.path, []).append((position, change))
        self._branches = Branches(history, changes_of)
        self._diffs = DiffReader(cache)
        self._counterparts = Counterparts(
            history, cache, self._by_path, blobs_at_floor, lambda position: chain_changes.get(position, ())
        )
        self._restorations = Restorations(history, cache, self._diffs, self._by_path, self._diff_at)
        self._births: dict[bytes, dict[FunctionKey, list[int]]] = {}
        self._requested_in: dict[bytes, int] = {}  # path -> last round in which its births were requested

    def root_of_fix(self, commit: int, path: bytes, key: FunctionKey) -> Root | None:
        """Return the root of a function in the first parent of `commit`, None if it cannot be determined."""
        landing = self._history.landing[commit]
        at = first_parent(self._history, commit)
        place: Place = (path, key)
        changed = commit  # the last commit known to change the place's file after `at`
        while at is not None and self._branches.is_side(at, landing):
            last, below = self._branches.last_change(at, landing, place[0])
            if last is None:
                at = below
                break
            parent = first_parent(self._history, last)
            before = self._before(last, parent, *place) if parent is not None else None
            if before is None:
                back = self._restored_on_branch(place, last, landing) if self._version >= 2 else None
                # Born on the branch: for the chain it is born with the landing.
                return back or Root(path, key, landing)
            place, at, changed = before, parent, last
        if at is None:
            return None
        position = self._history.landing[at]
        if self._version >= 2 and (position < self.floor or self._history.chain[position] != at):
            return self._by_content(place, self._old_blob(changed, place[0]), at, landing)
        root = self.trace(*place, position) if position >= self.floor else self._by_name(*place, landing)
        if root is None and self._branches.is_side(commit, landing):
            return self._by_landing(*place, landing)
        return root

    def _old_blob(self, commit: int, path: bytes) -> bytes | None:
        return next((c.old for c in self._changes_of(commit) if c.path == path), None)

    def _restored_on_branch(self, place: Place, commit: int, landing: int) -> Root | None:
        """Trace a function that a side commit created although the chain has it: it was restored, or both picked it."""
        path, key = place
        landed = next((c for c in self._chain_changes.get(landing, ()) if c.path == path), None)
        blob = next((c.new for c in self._changes_of(commit) if c.path == path), None)
        if landed is None or landed.old is None or blob is None or landing - 1 < self.floor:
            return None
        if key in self._cache.change(ChangeRequest(landed.old, landed.new, path, path, False)).born:
            return None
        found = self._counterparts.same_path(blob, place, landing - 1)
        return self.trace(*found, landing - 1) if found else None

    def _by_content(self, place: Place, blob: bytes | None, at: int, landing: int) -> Root | None:
        """Trace a function of a commit `at` that is not on the chain within the window, by what it is.

        It is looked up where `at` landed, then just before the landing of the fix, then after it. A history that began
        on the chain may fall back to the start of the window, since the chain may have dropped it, and to the path.
        """
        related = self._counterparts.joins_chain(at)
        positions = [p for p in (self._history.landing[at], landing - 1, landing) if p >= self.floor]
        positions += [self.floor] if related else []
        if blob is not None:
            for position in positions:
                found = self._counterparts.find(blob, place, position, landing, related)
                if found:
                    return self.trace(*found, position)
            if related:
                for position in positions:
                    found = self._counterparts.successor(blob, place, position)
                    if found:
                        return self.trace(*found, position)
        return self._by_landing(*place, landing) if related else None

    def _by_landing(self, path: bytes, key: FunctionKey, landing: int) -> Root | None:
        """Trace a change of a file that the chain has moved meanwhile, by the landing's diff.

        The file is the only one of the same name in which the landing touches a function of the same name.
        """
        name = path.rpartition(b"/")[2]
        changes = [c for c in self._chain_changes.get(landing, ()) if c.path.rpartition(b"/")[2] == name]
        requests = [ChangeRequest(c.old, c.new, c.path, c.path, False) for c in changes if c.old is not None]
        if not self._cache.request_all(requests):
            raise FactPending
        paths = [request.old_path for request in requests if key in self._cache.change(request).touched]
        return self.trace(paths[0], key, landing - 1) if len(paths) == 1 else None

    def _by_name(self, path: bytes, key: FunctionKey, landing: int) -> Root | None:
        """Trace a change on a branch from before the window by name, just before its landing or after it."""
        for position in (landing - 1, landing):
            if position >= self.floor and self._exists(path, key, position):
                return self.trace(path, key, position)
        return None

    def _exists(self, path: bytes, key: FunctionKey, position: int) -> bool:
        blob = self._counterparts.blob_at(path, position)
        if blob is None:
            return False
        return any(
            f.qualified_name == key.qualified_name and f.ordinal == key.ordinal
            for f in self._cache.functions(FunctionsRequest(blob, path)).functions
        )

    def trace(self, path: bytes, key: FunctionKey, position: int) -> Root | None:
        """Return the root of a function in the tree of a chain position, None if it cannot be determined."""
        *_, first = self.segments(path, key, position)
        if first.born_at is not None:
            return Root(first.path, first.key, first.born_at)
        return Root(first.path, first.key, ALIVE) if self._alive(first.path, first.key) else None

    def segments(self, path: bytes, key: FunctionKey, position: int) -> Iterator[LineageSegment]:
        """Yield the earlier places of a function in the tree of a chain position, newest first."""
        chain = self._history.chain
        while True:
            born_at = self._last_birth(path, key, position)
            yield LineageSegment(path, key, born_at, position)
            if born_at is None:
                return
            place = self._before(chain[born_at], chain[born_at - 1], path, key, self._chain_changes[born_at])
            position = born_at - 1
            if place is None:
                lost = self._restorations.restored(path, key, born_at) if self._version >= 2 else None
                if lost is None:
                    return
                place, position = (lost.path, lost.key), lost.lost_at - 1
            path, key = place

    def prepare(self, path: bytes) -> bool:
        """Request the facts to trace within a path. Return whether all are available."""
        return self._cache.request_all(self._path_requests(path))

    def path_changes(self, path: bytes) -> Sequence[tuple[int, FileChange]]:
        """Return the changes of a path on the chain above the floor, oldest first."""
        return self._by_path.get(path, ())

    def file_lost_at(self, path: bytes, position: int) -> int | None:
        """Return the chain position that deleted a file which another restored, if any. Raises FactPending."""
        return self._restorations.file_lost_at(path, position) if self._version >= 2 else None

    def touches(self, root: Root, upto: int) -> int:
        """Count the landings up to a chain position that changed a function, in its file at the window's start."""
        count, key = 0, root.key
        lost_at: int | None = None
        for position, change in self._by_path.get(root.path, ()):
            if position > upto:
                break
            fact = self._cache.change(ChangeRequest(change.old, change.new, root.path, root.path, False))
            count += lost_at is None and key in fact.touched
            if self._version < 2:
                if key in fact.born:
                    return count
            elif lost_at is None:
                lost_at = position if key in fact.vanished else None
                key = fact.after(key)
            else:
                for born in fact.born:
                    if self._restorations.restored(root.path, born, position) == (root.path, key, lost_at):
                        key, lost_at = born, None
                        break
        return count

    def moved_unchanged(self, diff: TreeDiff) -> frozenset[Place]:
        """Return the functions of a diff's old side that moved with equal code. Raises FactPending."""
        return self._diffs.moved_unchanged(diff)

    def _last_birth(self, path: bytes, key: FunctionKey, position: int) -> int | None:
        births = self._births.get(path)
        if births is None:
            births = self._births[path] = self._read_births(path)
        positions = births.get(key)
        if not positions:
            return None
        count = bisect_right(positions, position)
        return positions[count - 1] if count else None

    def _read_births(self, path: bytes) -> dict[FunctionKey, list[int]]:
        if self._requested_in.get(path) == self._cache.rounds:
            raise FactPending  # all of its facts have been requested
        self._requested_in[path] = self._cache.rounds
        requests = self._path_requests(path)
        if not self._cache.request_all(requests):
            raise FactPending
        births: dict[FunctionKey, list[int]] = {}
        for (position, _), request in zip(self._by_path.get(path, ()), requests, strict=True):
            fact = self._cache.change(request)
            for key in (*fact.born, *(new for new, _ in fact.renumbered)):
                births.setdefault(key, []).append(position)
        return births

    def _path_requests(self, path: bytes) -> list[ChangeRequest]:
        return [ChangeRequest(c.old, c.new, path, path, False) for _, c in self._by_path.get(path, ())]

    def _diff_at(self, position: int) -> TreeDiff:
        trees, chain = self._history.graph.trees, self._history.chain
        return TreeDiff(trees[chain[position - 1]], trees[chain[position]], self._chain_changes[position])

    def _before(
        self,
        commit: int,
        parent: int,
        path: bytes,
        key: FunctionKey,
        changes: Sequence[FileChange] | None = None,
    ) -> Place | None:
        """Return the place in `parent` of a function in `commit`, None if it was born between them."""
        trees = self._history.graph.trees
        changed = self._changes_of(commit) if changes is None else changes
        return self._diffs.place_before(TreeDiff(trees[parent], trees[commit], changed), path, key)
