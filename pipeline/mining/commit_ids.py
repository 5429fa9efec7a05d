"""Look commits up by the ids that messages name, in full or abbreviated. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from pipeline.git.history import History

_FULL = 40


class CommitIds:
    """The commits of a history by id; an abbreviation must be unique. `named` are the ids that will be looked up."""

    def __init__(self, history: History, named: Iterable[str]) -> None:
        self._index = history.graph.index
        self._landing = history.landing
        self._ids: list[bytes] = []
        if any(len(name) < _FULL for name in named):
            ids = history.graph.ids
            self._ids = sorted(ids[c] for c, position in enumerate(history.landing) if position >= 0)

    def find(self, name: str) -> list[int]:
        """Return the commit (index of the graph) in a list, an empty list if there is none."""
        if len(name) == _FULL:
            commit = self._index.get(bytes.fromhex(name))
        else:
            low = bytes.fromhex(name.ljust(_FULL, "0"))
            at = bisect_left(self._ids, low)
            same = [commit_id for commit_id in self._ids[at : at + 2] if commit_id.hex().startswith(name)]
            commit = self._index[same[0]] if len(same) == 1 else None
        return [] if commit is None or self._landing[commit] < 0 else [commit]
