"""Compute the process metrics of the functions of a snapshot: touches, authors, fixes (docs/concepts/ranking.md).

The history ends with the snapshot's landing, so later commits cannot leak in: a clone made at that time has the same
metrics.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.git.history import History
from pipeline.git.trees import FileChange
from pipeline.mining.attribution import Attribution, Changes, WindowCredits
from pipeline.mining.diffs import FilePair, TreeDiff, change_request, file_pairs
from pipeline.mining.facts.cache import FactCache, FactPending
from pipeline.mining.facts.compute import ChangeRequest
from pipeline.mining.facts.lineage import FunctionKey
from pipeline.mining.snapshot import Snapshot, functions_of
from pipeline.mining.trace import ALIVE, LineageSegment, Root, Tracer
from pipeline.records import DAY_S

LOOK_BACK_DAYS = 730  # older changes are ignored
YEAR_DAYS = 365
HALF_LIFE_DAYS = 180
_MAX_SIDE_COMMITS = 50  # of a larger merge only the author of the merge counts


@dataclass(frozen=True, slots=True)
class ProcessMetrics:
    """The process metrics of a function in a snapshot, over the 730 days before it."""

    touches: int  # landings of the last 365 days that changed the function
    authors: int  # distinct authors of those commits
    decayed_touches: float  # landings, each halved every 180 days
    days_since_touch: float | None  # None: not touched
    age_days: float | None  # None: older than that
    fixes: int  # landings that fixed it
    credit: float  # of those fixes
    file_touches: int  # the same for its file
    file_authors: int
    file_decayed_touches: float
    file_fixes: int


class _FileHistory(NamedTuple):
    touched_at: tuple[tuple[int, bytes], ...]  # (chain position, path then) of the landings that changed it
    fixes: int


class _Pairs(NamedTuple):
    """The files of one diff by old path (if they existed before) and by new path."""

    from_path: dict[bytes, FilePair]
    to_path: dict[bytes, FilePair]


def lookback_start(history: History, now: int) -> int:
    """Return the chain position after which the look-back period begins."""
    return max(0, history.position_at(now - LOOK_BACK_DAYS * DAY_S))


class ProcessHistory:
    """Compute the process metrics of a snapshot, the head of `history`. Call `advance` until True, then `read`."""

    def __init__(
        self,
        now: int,
        history: History,
        cache: FactCache,
        snapshot: Snapshot,
        tracer: Tracer,
        attribution: Attribution,
        chain_changes: Mapping[int, Sequence[FileChange]],
        changes_of: Changes,
    ) -> None:
        self._now = now
        self._history = history
        self._cache = cache
        self._snapshot = snapshot
        self._tracer = tracer
        self._attribution = attribution
        self._chain_changes = chain_changes
        self._authors = _Authors(history, tracer.floor, changes_of)
        self._touched: dict[bytes, dict[FunctionKey, list[int]]] = {}
        self._pairs: dict[int, _Pairs] = {}
        self._files: dict[bytes, list[tuple[int, int, bytes]]] = {}
        self._lineages: dict[tuple[bytes, FunctionKey], tuple[Root, tuple[tuple[int, bytes], ...]]] = {}

    def advance(self) -> bool:
        """Process what the available facts allow. Return True when all is done."""
        done = self._attribution.advance()
        for path, functions in self._snapshot.keys.items():
            if not functions:
                continue
            if not self._tracer.prepare(path):
                done = False
                continue
            try:
                if path not in self._files:
                    self._files[path] = list(self._file_segments(path))
            except FactPending:
                done = False
            for key in functions:
                try:
                    if (path, key) not in self._lineages:
                        self._lineages[path, key] = self._lineage(path, key)
                except FactPending:
                    done = False
        return done

    def read(self) -> tuple[ProcessMetrics, ...]:
        """Return the metrics of each function in the order of `functions_of`, after `advance` returned True."""
        window = self._attribution.credits({})
        fixed_at = self._fixed_at(window)
        files = {path: self._file_history(segments, fixed_at) for path, segments in self._files.items()}
        return tuple(
            self._metrics_of(*self._lineages[path, key], files[path], window)
            for path, key in functions_of(self._snapshot)
        )

    def _lineage(self, path: bytes, key: FunctionKey) -> tuple[Root, tuple[tuple[int, bytes], ...]]:
        """Return the root of a function, and (chain position, path) of the landings that changed it."""
        head = len(self._history.chain) - 1
        segments = list(self._tracer.segments(path, key, head))
        touched: list[tuple[int, bytes]] = []
        for later, segment in zip([None, *segments], segments, strict=False):
            # A restored function was not there to be changed.
            moved_at = later.born_at if later is not None and later.born_at == segment.upto + 1 else None
            if later is not None and moved_at is not None and self._changed_in_move(moved_at, segment):
                touched.append((moved_at, later.path))
            begins = self._tracer.floor if segment.born_at is None else segment.born_at
            positions = self._touches_in(segment.path).get(segment.key, ())
            touched += [(p, segment.path) for p in positions if begins < p <= segment.upto]
        first = segments[-1]
        return Root(first.path, first.key, ALIVE if first.born_at is None else first.born_at), tuple(touched)

    def _touches_in(self, path: bytes) -> Mapping[FunctionKey, Sequence[int]]:
        """Return the chain positions whose diff changed each function of a path, ascending."""
        if path not in self._touched:
            positions: dict[FunctionKey, list[int]] = defaultdict(list)
            for position, change in self._tracer.path_changes(path):
                for key in self._cache.change(ChangeRequest(change.old, change.new, path, path, False)).touched:
                    positions[key].append(position)
            self._touched[path] = positions
        return self._touched[path]

    def _changed_in_move(self, position: int, before: LineageSegment) -> bool:
        """Return whether the diff that moved a function changed its text too."""
        pair = self._pairs_at(position).from_path.get(before.path)
        return pair is not None and before.key in self._cache.change(change_request(pair)).touched

    def _pairs_at(self, position: int) -> _Pairs:
        """Return the files of a landing's diff with renames joined."""
        if position not in self._pairs:
            trees, chain = self._history.graph.trees, self._history.chain
            diff = TreeDiff(trees[chain[position - 1]], trees[chain[position]], self._chain_changes[position])
            pairs = file_pairs(diff, self._cache)
            self._pairs[position] = _Pairs({p.old_path: p for p in pairs if p.old}, {p.new_path: p for p in pairs})
        return self._pairs[position]

    def _file_segments(self, path: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Yield (after, upto, path) of a file, newest first; `after` is the landing that put it there."""
        upto = len(self._history.chain) - 1
        while True:
            added = [p for p, c in self._tracer.path_changes(path) if c.old is None and p <= upto]
            if not added:
                yield self._tracer.floor, upto, path
                return
            yield added[-1], upto, path
            pair = self._pairs_at(added[-1]).to_path[path]
            if pair.old is None:
                lost_at = self._tracer.file_lost_at(path, added[-1])
                if lost_at is None:
                    return
                upto = lost_at
                continue
            if pair.old != pair.new:
                yield added[-1] - 1, added[-1], path
            path, upto = pair.old_path, added[-1] - 1

    def _file_history(
        self, segments: Sequence[tuple[int, int, bytes]], fixed_at: Mapping[bytes, set[int]]
    ) -> _FileHistory:
        touched: list[tuple[int, bytes]] = []
        fixes: set[int] = set()
        for after, upto, path in segments:
            touched += [(p, path) for p, _ in self._tracer.path_changes(path) if after < p <= upto]
            fixes.update(self._history.unit[p] for p in fixed_at.get(path, ()) if after < p <= upto)
        return _FileHistory(tuple(touched), len(fixes))

    def _fixed_at(self, window: WindowCredits) -> Mapping[bytes, set[int]]:
        """Return path -> chain positions of the fixes of that file that gave credit."""
        fixed_at: dict[bytes, set[int]] = defaultdict(set)
        for commit, examined in window.fixes.examined.items():
            if commit not in window.refused:
                for pair in examined.fix.pairs:
                    fixed_at[pair.new_path].add(self._history.landing[commit])
        return fixed_at

    def _metrics_of(
        self, root: Root, touched: Sequence[tuple[int, bytes]], file: _FileHistory, window: WindowCredits
    ) -> ProcessMetrics:
        counts, file_counts = self._count(touched), self._count(file.touched_at)
        credits = window.credits
        return ProcessMetrics(
            touches=counts.touches,
            authors=counts.authors,
            decayed_touches=counts.decayed,
            days_since_touch=counts.days_since,
            age_days=None if root.born_at == ALIVE else self._days_since(root.born_at),
            fixes=credits.fixes.get(root, 0),
            credit=credits.by_root.get(root, 0.0),
            file_touches=file_counts.touches,
            file_authors=file_counts.authors,
            file_decayed_touches=file_counts.decayed,
            file_fixes=file.fixes,
        )

    def _count(self, touched: Sequence[tuple[int, bytes]]) -> _Counts:
        """Count landings and authors; commits that were rebased together count once."""
        ages = {self._history.unit[p]: self._days_since(self._history.unit[p]) for p, _ in touched}
        year = {(p, path) for p, path in touched if self._days_since(p) <= YEAR_DAYS}
        authors = set[int]().union(*(self._authors.of(p, path) for p, path in year))
        decayed = sum(0.5 ** (age / HALF_LIFE_DAYS) for _, age in sorted(ages.items()))
        return _Counts(
            len({self._history.unit[p] for p, _ in year}), len(authors), decayed, min(ages.values(), default=None)
        )

    def _days_since(self, position: int) -> float:
        return max(0, self._now - self._history.effective_at[position]) / DAY_S


class _Counts(NamedTuple):
    touches: int
    authors: int
    decayed: float
    days_since: float | None


class _Authors:
    """The authors who changed a file in a landing, as hashes that are meaningless elsewhere and are not stored."""

    def __init__(self, history: History, floor: int, changes_of: Changes) -> None:
        self._history = history
        self._changes_of = changes_of
        self._side: dict[int, list[int]] = defaultdict(list)
        for commit, position in enumerate(history.landing):
            if position > floor and history.chain[position] != commit and len(history.graph.parents[commit]) < 2:
                self._side[position].append(commit)
        self._by_path: dict[int, dict[bytes, set[int]]] = {}

    def of(self, position: int, path: bytes) -> set[int]:
        """Return the authors of the commits that changed the path, else the author of the landing itself."""
        tip = self._history.chain[position]
        authors = self._paths_of(position).get(path) if self._side.get(position) else None
        return authors or {self._history.graph.series_key[tip]}

    def _paths_of(self, position: int) -> Mapping[bytes, set[int]]:
        if position not in self._by_path:
            by_path: dict[bytes, set[int]] = defaultdict(set)
            for commit in self._side[position] if len(self._side[position]) <= _MAX_SIDE_COMMITS else ():
                for change in self._changes_of(commit):
                    by_path[change.path].add(self._history.graph.series_key[commit])
            self._by_path[position] = by_path
        return self._by_path[position]
