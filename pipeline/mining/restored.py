"""Find the function that a born one restores: deleted, or unreadable in between, and back within a bounded time.

A file is deleted and the deletion reverted; a version does not parse or holds conflict markers; a function is taken out
and put back. On the diffs alone it would be another function. It is the same if the path, or a deleted file of similar
content, lost a function of similar tokens (as for moves) at most `RESTORED_WITHIN_DAYS` before, and nothing else became
of that function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pipeline.git.history import History
from pipeline.git.trees import FileChange
from pipeline.mining.diffs import DiffReader, TreeDiff, moves_between
from pipeline.mining.facts.cache import FactCache
from pipeline.mining.facts.compute import ChangeFact, ChangeRequest, RenamesRequest
from pipeline.mining.facts.lineage import FunctionKey, Place
from pipeline.records import DAY_S

RESTORED_WITHIN_DAYS = 90
_MAX_LOSSES = 8  # that a birth is compared with, newest first

Changes = Mapping[bytes, Sequence[tuple[int, FileChange]]]


class Lost(NamedTuple):
    """Where a restored function was: alive up to the chain position before the diff that lost it."""

    path: bytes
    key: FunctionKey
    lost_at: int


class Restorations:
    """Look up what the births of a path restore. `by_path`: the changes of each path on the chain, oldest first."""

    def __init__(
        self,
        history: History,
        cache: FactCache,
        diffs: DiffReader,
        by_path: Changes,
        diff_at: Callable[[int], TreeDiff],
    ) -> None:
        self._history = history
        self._cache = cache
        self._diffs = diffs
        self._by_path = by_path
        self._diff_at = diff_at
        self._known: dict[tuple[bytes, int], Mapping[FunctionKey, Lost]] = {}
        self._deleted: dict[bytes, list[tuple[int, FileChange]]] | None = None  # by ending

    def restored(self, path: bytes, key: FunctionKey, position: int) -> Lost | None:
        """Return what a function that a diff of the chain created in its path restores. Raises FactPending."""
        return self._restored_by(path, position).get(key)

    def file_lost_at(self, path: bytes, position: int) -> int | None:
        """Return the chain position that deleted a file which another restored, None if it was new. As above."""
        lost = {lost.lost_at for lost in self._restored_by(path, position).values() if lost.path == path}
        return max((p for p, c in self._by_path[path] if p in lost and c.new is None), default=None)

    def _restored_by(self, path: bytes, position: int) -> Mapping[FunctionKey, Lost]:
        known = self._known.get((path, position))
        if known is None:
            known = self._known[path, position] = self._find(path, position)
        return known

    def _find(self, path: bytes, position: int) -> Mapping[FunctionKey, Lost]:
        change = next(c for p, c in self._by_path[path] if p == position)
        left = set(self._fact(change).born)
        found: dict[FunctionKey, Lost] = {}
        if change.new is None:
            return found
        for lost_at, loss in self._losses(change, position):
            if not left:
                break
            vanished = self._fact(loss).vanished
            if not vanished or loss.old is None:
                continue
            lost = (loss.old, loss.path, vanished)
            moves = self._cache.moves(moves_between(lost, (change.new, path, sorted(left)))).moves
            for (_, new), (_, old) in moves.items():
                if self._is_restored((path, new), position, (loss.path, old), lost_at, lost):
                    found[new] = Lost(loss.path, old, lost_at)
                    left.discard(new)
        return found

    def _is_restored(
        self, new: Place, position: int, old: Place, lost_at: int, lost: tuple[bytes, bytes, Sequence[FunctionKey]]
    ) -> bool:
        if self._diffs.place_before(self._diff_at(position), *new) is not None:
            return False  # it came from elsewhere
        if self._diffs.lives_on(self._diff_at(lost_at), *old):
            return False
        name = old[1].qualified_name.rpartition(".")[2]
        for between, change in self._by_path[new[0]]:
            if not lost_at < between < position or change.new is None:
                continue
            born = self._fact(change).born
            if any(key.qualified_name.rpartition(".")[2] == name for key in born):
                back = self._cache.moves(moves_between(lost, (change.new, new[0], born)))
                if old in back.moves.values():
                    return False  # it was back already
        return True

    def _losses(self, change: FileChange, position: int) -> Iterator[tuple[int, FileChange]]:
        """Yield the diffs within the bound in which the path, or a deleted file like it, lost functions."""
        oldest = self._history.effective_at[position] - RESTORED_WITHIN_DAYS * DAY_S
        here = [
            (p, c)
            for p, c in self._by_path[change.path]
            if p < position and self._history.effective_at[p] >= oldest and self._fact(c).vanished
        ]
        yield from here[: -_MAX_LOSSES - 1 : -1]
        if change.old is not None or change.new is None:
            return
        deleted = [
            (p, c)
            for p, c in self._deletions(change.path)
            if p < position and self._history.effective_at[p] >= oldest and c.path != change.path
        ]
        deleted.sort(key=lambda d: (d[1].old == change.new, _file_name(d[1].path) == _file_name(change.path), d[0]))
        for p, c in deleted[: -_MAX_LOSSES - 1 : -1]:
            again = any(p < back <= position for back, _ in self._by_path[c.path])
            if not again and self._is_alike(c, change):
                yield p, c

    def _deletions(self, path: bytes) -> Sequence[tuple[int, FileChange]]:
        """Return the deletions of files with the same ending, oldest first."""
        if self._deleted is None:
            self._deleted = {}
            for position, gone in sorted(
                (p, c) for changes in self._by_path.values() for p, c in changes if c.new is None and c.old is not None
            ):
                self._deleted.setdefault(gone.path.rpartition(b".")[2], []).append((position, gone))
        return self._deleted.get(path.rpartition(b".")[2], ())

    def _is_alike(self, loss: FileChange, gain: FileChange) -> bool:
        """Return whether two files are equal or similar, as renamed ones."""
        assert loss.old is not None
        assert gain.new is not None
        if loss.old == gain.new:
            return True
        pair = (loss._replace(new=None), gain._replace(old=None))
        return bool(self._cache.renames(RenamesRequest(loss.old, gain.new, pair)).renames)

    def _fact(self, change: FileChange) -> ChangeFact:
        return self._cache.change(ChangeRequest(change.old, change.new, change.path, change.path, False))


def _file_name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]
