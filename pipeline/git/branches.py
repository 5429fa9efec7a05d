"""Index side branches by file, to look up the last change of a path without walking commit by commit.

Branches can be thousands of commits long (a subsystem merge, or the main branch merged into a clone and pushed), and
every change on them is traced back to where the branch left the chain.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipeline.git.history import History, first_parent
from pipeline.git.trees import FileChange


@dataclass
class _Line:
    """A run of side commits, each the first parent of the next, oldest first."""

    commits: list[int]
    below: int | None  # first parent of the first one: on another line, on the chain, landed earlier, or None
    under: tuple[_Line, int] | None  # its position on its own line, if it is a side commit of the same landing
    changes: dict[bytes, list[int]] = field(default_factory=dict)  # path -> indexes of the commits that change it


class Branches:
    """The side commits of a history by first parent. `changes_of` returns the source files that a commit changes."""

    def __init__(self, history: History, changes_of: Callable[[int], Sequence[FileChange]]) -> None:
        self._history = history
        self._changes_of = changes_of
        self._places: dict[int, tuple[_Line, int]] = {}

    def is_side(self, commit: int, landing: int) -> bool:
        """Return whether a commit landed at this chain position without being on the chain itself."""
        return self._history.landing[commit] == landing and self._history.chain[landing] != commit

    def last_change(self, commit: int, landing: int, path: bytes) -> tuple[int | None, int | None]:
        """Return (commit, below): the last commit that changed `path`, from a side commit backwards, itself included.

        If the branch never changed it, the commit is None and `below` is the first commit outside of the branch.
        """
        if not self.is_side(commit, landing):
            return None, commit
        line, index = self._locate(commit, landing)
        while True:
            indexes = line.changes.get(path, ())
            count = bisect_right(indexes, index)
            if count:
                return line.commits[indexes[count - 1]], None
            if line.under is None:
                return None, line.below
            line, index = line.under

    def _locate(self, commit: int, landing: int) -> tuple[_Line, int]:
        if commit not in self._places:
            commits: list[int] = []
            below: int | None = commit
            while below is not None and self.is_side(below, landing) and below not in self._places:
                commits.append(below)
                below = first_parent(self._history, below)
            joins = below is not None and self.is_side(below, landing)
            line = _Line(commits[::-1], below, self._places[below] if below is not None and joins else None)
            for index, member in enumerate(line.commits):
                self._places[member] = (line, index)
                for change in self._changes_of(member):
                    line.changes.setdefault(change.path, []).append(index)
        return self._places[commit]
