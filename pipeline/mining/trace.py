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
from pipeline.mining.diffs import DiffReader, TreeDiff
from pipeline.mining.facts.cache import FactCache, FactPending
from pipeline.mining.facts.compute import ChangeRequest, FunctionsRequest
from pipeline.mining.facts.lineage import FunctionKey, Place

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
        blob_at_floor: Callable[[bytes], bytes | None],
    ) -> None:
        """`chain_changes` are by chain position. `changes_of` takes a commit (index of the graph)."""
        self._history = history
        self._cache = cache
        self.floor = floor
        self._chain_changes = chain_changes
        self._changes_of = changes_of
        self._alive = alive
        self._blob_at_floor = blob_at_floor
        self._by_path: dict[bytes, list[tuple[int, FileChange]]] = {}
        for position in sorted(p for p in chain_changes if p > floor):
            for change in chain_changes[position]:
                self._by_path.setdefault(change.path, []).append((position, change))
        self._branches = Branches(history, changes_of)
        self._diffs = DiffReader(cache)
        self._births: dict[bytes, dict[FunctionKey, list[int]]] = {}
        self._requested_in: dict[bytes, int] = {}  # path -> last round in which its births were requested

    def root_of_fix(self, commit: int, path: bytes, key: FunctionKey) -> Root | None:
        """Return the root of a function in the first parent of `commit`, None if it cannot be determined."""
        landing = self._history.landing[commit]
        at = first_parent(self._history, commit)
        place: Place = (path, key)
        while at is not None and self._branches.is_side(at, landing):
            changed, below = self._branches.last_change(at, landing, place[0])
            if changed is None:
                at = below
                break
            parent = first_parent(self._history, changed)
            before = self._before(changed, parent, *place) if parent is not None else None
            if before is None:
                return Root(path, key, landing)  # born on the branch: for the chain it is born with the landing
            place, at = before, parent
        if at is None:
            return None
        position = self._history.landing[at]
        root = self.trace(*place, position) if position >= self.floor else self._by_name(*place, landing)
        if root is None and self._branches.is_side(commit, landing):
            return self._by_landing(*place, landing)
        return root

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
        changes = self._by_path.get(path, [])
        count = bisect_right(changes, position, key=lambda c: c[0])
        blob = changes[count - 1][1].new if count else self._blob_at_floor(path)
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
            if place is None:
                return
            (path, key), position = place, born_at - 1

    def prepare(self, path: bytes) -> bool:
        """Request the facts to trace within a path. Return whether all are available."""
        return self._cache.request_all(self._path_requests(path))

    def path_changes(self, path: bytes) -> Sequence[tuple[int, FileChange]]:
        """Return the changes of a path on the chain above the floor, oldest first."""
        return self._by_path.get(path, ())

    def born_in_path(self, path: bytes, key: FunctionKey, position: int) -> int | None:
        """Return the chain position of the last diff up to `position` that created the function in the path, if any."""
        return self._last_birth(path, key, position)

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
            for key in self._cache.change(request).born:
                births.setdefault(key, []).append(position)
        return births

    def _path_requests(self, path: bytes) -> list[ChangeRequest]:
        return [ChangeRequest(c.old, c.new, path, path, False) for _, c in self._by_path.get(path, ())]

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
