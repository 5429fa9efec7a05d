"""Find the function of the main history that a function of a side history is, by what it is.

A side history may hold the same paths and names and be another project: `git subtree` merges a project under a prefix.
So a function is matched to the file that holds its content: its own path, a path that ends alike (a prefix was put
before it or taken away), or a file of the same name that the landing changed. Files that the landing changed come
first. A file is the same if its content is equal or similar, or if the function in it is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence

from pipeline.git.history import History, first_parent
from pipeline.git.trees import FileChange
from pipeline.mining.diffs import moves_between
from pipeline.mining.facts.cache import FactCache
from pipeline.mining.facts.compute import ChangeRequest, RenamesRequest
from pipeline.mining.facts.lineage import FunctionKey, Place

_MAX_CANDIDATES = 8  # paths whose content is compared; equal content is found among all
_MAX_SIDE_COMMITS = 100_000  # walked to find out whether a side history began on the chain

Changes = Mapping[bytes, Sequence[tuple[int, FileChange]]]


class Counterparts:
    """Look up functions in the trees of chain positions from `floor` on. Raises FactPending if facts are missing."""

    def __init__(
        self,
        history: History,
        cache: FactCache,
        by_path: Changes,
        blobs_at_floor: Mapping[bytes, bytes],
        changed_by: Callable[[int], Sequence[FileChange]],
    ) -> None:
        """`changed_by` returns the changes of a chain position."""
        self._history = history
        self._cache = cache
        self._by_path = by_path
        self._blobs_at_floor = blobs_at_floor
        self._changed_by = changed_by
        self._by_name: dict[bytes, list[bytes]] | None = None
        self._joins: dict[int, bool] = {}

    def blob_at(self, path: bytes, position: int) -> bytes | None:
        """Return the content of a path in the tree of a chain position, None if it does not exist."""
        changes = self._by_path.get(path, ())
        count = bisect_right(changes, position, key=lambda c: c[0])
        return changes[count - 1][1].new if count else self._blobs_at_floor.get(path)

    def find(self, blob: bytes, place: Place, position: int, landing: int, related: bool) -> Place | None:
        """Return the place at a chain position of a function in a file of a side history, None if it is not there.

        Its own path comes first if the histories are `related`.
        """
        path, key = place
        for candidate in self._candidates(blob, path, position, landing, related):
            found = self._successor(blob, path, key, candidate, position)
            if found is not None and self._is_same(blob, place, found, position):
                return found
        return None

    def same_path(self, blob: bytes, place: Place, position: int) -> Place | None:
        """Return the place of a function in its own path if the file there is the same by what it holds."""
        found = self._successor(blob, *place, place[0], position)
        return found if found is not None and self._is_same(blob, place, found, position) else None

    def successor(self, blob: bytes, place: Place, position: int) -> Place | None:
        """Return the place of a function in its own path, whatever became of it there."""
        return self._successor(blob, *place, place[0], position)

    def joins_chain(self, commit: int) -> bool:
        """Return whether the first parents of a commit lead to the chain: False for a history with a root of its own.

        A walk that does not end within its limit counts as joining, and matches by path.
        """
        walked: list[int] = []
        at: int | None = commit
        joins = False
        while at is not None:
            if at in self._joins:
                joins = self._joins[at]
                break
            walked.append(at)
            position = self._history.landing[at]
            if self._history.chain[position] == at or len(walked) > _MAX_SIDE_COMMITS:
                joins = True
                break
            at = first_parent(self._history, at)
        self._joins.update(dict.fromkeys(walked, joins))
        return joins

    def _candidates(self, blob: bytes, path: bytes, position: int, landing: int, related: bool) -> Sequence[bytes]:
        """Return the paths that may hold the file, likeliest first."""
        landed = {change.path for change in self._changed_by(landing)}
        alike = [p for p in self._paths_named(path) if p != path and (p in landed or _ends_alike(p, path))]
        contents = {p: self.blob_at(p, position) for p in (path, *alike)}

        def rank(candidate: bytes) -> tuple[bool, bool, bool, bool]:
            other = candidate != path
            return related and other, candidate not in landed, contents[candidate] != blob, other

        return sorted((p for p, content in contents.items() if content is not None), key=rank)[:_MAX_CANDIDATES]

    def _paths_named(self, path: bytes) -> Sequence[bytes]:
        """Return all paths of the chain with the same file name, sorted."""
        if self._by_name is None:
            self._by_name = {}
            for known in sorted({*self._by_path, *self._blobs_at_floor}):
                self._by_name.setdefault(known.rpartition(b"/")[2], []).append(known)
        return self._by_name.get(path.rpartition(b"/")[2], ())

    def _successor(self, blob: bytes, path: bytes, key: FunctionKey, other: bytes, position: int) -> Place | None:
        content = self.blob_at(other, position)
        if content is None or content == blob:
            return (other, key) if content else None
        fact = self._cache.change(ChangeRequest(blob, content, path, other, False))
        return None if key in fact.vanished else (other, fact.after(key))

    def _is_same(self, blob: bytes, place: Place, found: Place, position: int) -> bool:
        content = self.blob_at(found[0], position)
        if content is None or content == blob:
            return content == blob
        old, new = FileChange(place[0], blob, None), FileChange(found[0], None, content)
        if self._cache.renames(RenamesRequest(blob, content, (old, new))).renames:
            return True
        request = moves_between((blob, place[0], (place[1],)), (content, found[0], (found[1],)))
        return bool(self._cache.moves(request).moves)


def _ends_alike(one: bytes, other: bytes) -> bool:
    """Return whether one path is the other below a folder."""
    return one.endswith(b"/" + other) or other.endswith(b"/" + one)
