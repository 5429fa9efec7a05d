"""Side branches as lines of commits, so that the last change of a file is found without walking commit by commit.

Branches can be thousands of commits long (a subsystem merge, or the main branch merged into somebody's clone and
pushed), and every touch on them is traced back to where the branch left the chain.
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
    below: int | None  # first parent of the first one: on another line, on the chain, landed before, or none
    under: tuple[_Line, int] | None  # where that stands on its line, if it is a side commit of the same landing
    changes: dict[bytes, list[int]] = field(default_factory=dict)  # path -> indexes of the commits that change it


class Branches:
    """The side commits of a history by their first parents. `changes_of` gives a commit's changed source files."""

    def __init__(self, history: History, changes_of: Callable[[int], Sequence[FileChange]]) -> None:
        self._history = history
        self._changes_of = changes_of
        self._where: dict[int, tuple[_Line, int]] = {}

    def is_side(self, commit: int, landing: int) -> bool:
        """Whether a commit came in by the landing at this chain position, and is not the landing itself."""
        return self._history.landing[commit] == landing and self._history.chain[landing] != commit

    def last_change(self, commit: int, landing: int, path: bytes) -> tuple[int | None, int | None]:
        """(commit, below): the last change of `path` on the way back from a side commit, itself included.

        Where there is none, the commit is None and `below` is the first commit that is not of the branch any more.
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
        if commit not in self._where:
            found: list[int] = []
            below: int | None = commit
            while below is not None and self.is_side(below, landing) and below not in self._where:
                found.append(below)
                below = first_parent(self._history, below)
            joins = below is not None and self.is_side(below, landing)
            line = _Line(found[::-1], below, self._where[below] if below is not None and joins else None)
            for index, member in enumerate(line.commits):
                self._where[member] = (line, index)
                for change in self._changes_of(member):
                    line.changes.setdefault(change.path, []).append(index)
        return self._where[commit]
