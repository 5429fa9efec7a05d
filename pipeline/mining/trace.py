"""From a function as a fix saw it to the function that was alive when the window began.

Backwards along the diffs of the first-parent chain (and of a side branch, down to where it left the chain), only
where the function's file changed, and with function matching only where the function was born. That gives the same
lineage as following every function of the repository forwards through every diff, for a fraction of the parsing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pipeline.git.branches import Branches
from pipeline.git.history import History, first_parent
from pipeline.git.trees import FileChange
from pipeline.mining.diffs import Step, StepReader
from pipeline.mining.facts.cache import FactCache, NotYet
from pipeline.mining.facts.compute import ChangeWant, FunctionsWant
from pipeline.mining.facts.lineage import FunctionKey, Place

ALIVE = -1


class Root(NamedTuple):
    """The beginning of a lineage as far as a window is concerned."""

    path: bytes
    key: FunctionKey
    born_at: int  # ALIVE: at the window's beginning; else the chain position whose diff gave birth to it


class Stretch(NamedTuple):
    """A part of a lineage during which the function stood in one place."""

    path: bytes
    key: FunctionKey
    born_at: int | None  # chain position whose diff brought it there; None: it stood there when the window began
    upto: int  # chain position


class Tracer:
    """Traces functions within the chain positions above `floor`. Raises NotYet where facts are missing."""

    def __init__(
        self,
        history: History,
        book: FactCache,
        chain_changes: Mapping[int, Sequence[FileChange]],
        floor: int,
        changes_of: Callable[[int], Sequence[FileChange]],
        alive: Callable[[bytes, FunctionKey], bool],
        blob_at_floor: Callable[[bytes], bytes | None],
    ) -> None:
        """`chain_changes` by chain position; `changes_of` a graph index against its first parent."""
        self._history = history
        self._book = book
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
        self._steps = StepReader(book)
        self._births: dict[bytes, dict[FunctionKey, list[int]]] = {}
        self._asked_in: dict[bytes, int] = {}  # path -> round in which its births were asked for last

    def root_of_fix(self, commit: int, path: bytes, key: FunctionKey) -> Root | None:
        """The lineage of a function that stands in the first parent of `commit`; None if it cannot be told."""
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
                return Root(path, key, landing)  # born on the branch: with its landing, as far as the chain can tell
            place, at = before, parent
        if at is None:
            return None
        position = self._history.landing[at]
        root = self.trace(*place, position) if position >= self.floor else self._by_name(*place, landing)
        if root is None and self._branches.is_side(commit, landing):
            return self._by_landing(*place, landing)
        return root

    def _by_landing(self, path: bytes, key: FunctionKey, landing: int) -> Root | None:
        """For a change made in a layout that the chain has left: the landing's diff shows where it went.

        That is the one file of the same name in which the landing touches a function of the same name.
        """
        name = path.rpartition(b"/")[2]
        changes = [c for c in self._chain_changes.get(landing, ()) if c.path.rpartition(b"/")[2] == name]
        wants = [ChangeWant(c.old, c.new, c.path, c.path, False) for c in changes if c.old is not None]
        if not self._book.knows_all(wants):
            raise NotYet
        found = [want.old_path for want in wants if key in self._book.change(want).touched]
        return self.trace(found[0], key, landing - 1) if len(found) == 1 else None

    def _by_name(self, path: bytes, key: FunctionKey, landing: int) -> Root | None:
        """For a branch that began before the window: the function of that name just before its landing, or after it."""
        for position in (landing - 1, landing):
            if position >= self.floor and self._stands(path, key, position):
                return self.trace(path, key, position)
        return None

    def _stands(self, path: bytes, key: FunctionKey, position: int) -> bool:
        changes = self._by_path.get(path, [])
        count = bisect_right(changes, position, key=lambda c: c[0])
        blob = changes[count - 1][1].new if count else self._blob_at_floor(path)
        if blob is None:
            return False
        return any(
            f.qualified_name == key.qualified_name and f.ordinal == key.ordinal
            for f in self._book.functions(FunctionsWant(blob, path)).functions
        )

    def trace(self, path: bytes, key: FunctionKey, position: int) -> Root | None:
        """The lineage of a function that stands in the tree of chain position `position`; None if it cannot be told."""
        *_, first = self.stretches(path, key, position)
        if first.born_at is not None:
            return Root(first.path, first.key, first.born_at)
        return Root(first.path, first.key, ALIVE) if self._alive(first.path, first.key) else None

    def stretches(self, path: bytes, key: FunctionKey, position: int) -> Iterator[Stretch]:
        """Where a function that stands in the tree of chain position `position` stood before, newest first."""
        chain = self._history.chain
        while True:
            born_at = self._last_birth(path, key, position)
            yield Stretch(path, key, born_at, position)
            if born_at is None:
                return
            place = self._before(chain[born_at], chain[born_at - 1], path, key, self._chain_changes[born_at])
            if place is None:
                return
            (path, key), position = place, born_at - 1

    def prepare(self, path: bytes) -> bool:
        """Ask for all that tracing within a path needs; False if some of it is not known yet."""
        return self._book.knows_all(self._path_wants(path))

    def path_changes(self, path: bytes) -> Sequence[tuple[int, FileChange]]:
        """The changes of a path on the chain above the floor, oldest first."""
        return self._by_path.get(path, ())

    def born_in_path(self, path: bytes, key: FunctionKey, position: int) -> int | None:
        """Chain position of the last diff up to `position` that gave the path this function, if one did."""
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
        if self._asked_in.get(path) == self._book.rounds:
            raise NotYet  # all it needs is on the list already
        self._asked_in[path] = self._book.rounds
        wants = self._path_wants(path)
        if not self._book.knows_all(wants):
            raise NotYet
        births: dict[FunctionKey, list[int]] = {}
        for (position, _), want in zip(self._by_path.get(path, ()), wants, strict=True):
            for key in self._book.change(want).born:
                births.setdefault(key, []).append(position)
        return births

    def _path_wants(self, path: bytes) -> list[ChangeWant]:
        return [ChangeWant(c.old, c.new, path, path, False) for _, c in self._by_path.get(path, ())]

    def _before(
        self,
        commit: int,
        parent: int,
        path: bytes,
        key: FunctionKey,
        changes: Sequence[FileChange] | None = None,
    ) -> Place | None:
        """Where a function of `commit` stood in `parent`, None if it was born between them."""
        trees = self._history.graph.trees
        found = self._changes_of(commit) if changes is None else changes
        return self._steps.place_before(Step(trees[parent], trees[commit], found), path, key)
