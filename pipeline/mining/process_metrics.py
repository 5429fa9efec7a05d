"""Process metrics of each function of a snapshot: touches, people, fixes (defined in docs/concepts/ranking.md).

Everything here sees a history that ends with the snapshot's landing, so nothing later can reach it: the same numbers
come out of a clone that was cut there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.git.history import History
from pipeline.git.trees import FileChange
from pipeline.mining.attribution import Attribution, Changes, WindowCredits
from pipeline.mining.diffs import FilePair, Step, file_pairs, want_of
from pipeline.mining.facts.cache import FactCache, NotYet
from pipeline.mining.facts.compute import ChangeWant
from pipeline.mining.facts.lineage import FunctionKey
from pipeline.mining.snapshot import Snapshot, functions_of
from pipeline.mining.trace import ALIVE, Root, Stretch, Tracer
from pipeline.records import DAY_S

LOOK_BACK_DAYS = 730  # nothing older is looked at
YEAR_DAYS = 365
HALF_LIFE_DAYS = 180
_MOST_SIDE_COMMITS = 50  # of a larger merge only whoever merged it is counted


@dataclass(frozen=True, slots=True)
class ProcessMetrics:
    """What is known of a function at the time of a snapshot, from the 730 days up to it."""

    touches: int  # landings of the last 365 days that changed the function
    authors: int  # people whose commits those were
    decayed_touches: float  # landings, each halved every 180 days
    days_since_touch: float | None  # none: not touched
    age_days: float | None  # none: older
    fixes: int  # landings that fixed it
    credit: float  # what they gave
    file_touches: int  # the same for its file
    file_authors: int
    file_decayed_touches: float
    file_fixes: int


class _FilePast(NamedTuple):
    touched_at: tuple[tuple[int, bytes], ...]  # (chain position, path there) of the landings that changed it
    fixes: int


class _Pairs(NamedTuple):
    """The files of one diff by their path before it, where they had one, and by their path after it."""

    from_path: dict[bytes, FilePair]
    to_path: dict[bytes, FilePair]


def look_back_from(history: History, now: int) -> int:
    """The chain position after which the past begins."""
    return max(0, history.position_at(now - LOOK_BACK_DAYS * DAY_S))


class ProcessHistory:
    """Reads the past of a snapshot, the head of `history`. Ask for `round` until it says that nothing is left."""

    def __init__(
        self,
        now: int,
        history: History,
        book: FactCache,
        snapshot: Snapshot,
        tracer: Tracer,
        attribution: Attribution,
        chain_changes: Mapping[int, Sequence[FileChange]],
        changes_of: Changes,
    ) -> None:
        self._now = now
        self._history = history
        self._book = book
        self._snapshot = snapshot
        self._tracer = tracer
        self._attribution = attribution
        self._chain_changes = chain_changes
        self._people = _People(history, tracer.floor, changes_of)
        self._touched: dict[bytes, dict[FunctionKey, list[int]]] = {}
        self._pairs: dict[int, _Pairs] = {}
        self._files: dict[bytes, list[tuple[int, int, bytes]]] = {}
        self._lineages: dict[tuple[bytes, FunctionKey], tuple[Root, tuple[tuple[int, bytes], ...]]] = {}

    def round(self) -> bool:
        """Find out what can be with the facts known; True when nothing is left."""
        done = self._attribution.round()
        for path, functions in self._snapshot.keys.items():
            if not functions:
                continue
            if not self._tracer.prepare(path):
                done = False
                continue
            try:
                if path not in self._files:
                    self._files[path] = list(self._file_segments(path))
            except NotYet:
                done = False
            for key in functions:
                try:
                    if (path, key) not in self._lineages:
                        self._lineages[path, key] = self._lineage(path, key)
                except NotYet:
                    done = False
        return done

    def read(self) -> tuple[ProcessMetrics, ...]:
        """The past of each function, in the order of `functions_of`, once `round` has said that nothing is left."""
        window = self._attribution.credits({})
        fixed_at = self._fixed_at(window)
        files = {path: self._file_past(segments, fixed_at) for path, segments in self._files.items()}
        return tuple(
            self._described(*self._lineages[path, key], files[path], window)
            for path, key in functions_of(self._snapshot)
        )

    def _lineage(self, path: bytes, key: FunctionKey) -> tuple[Root, tuple[tuple[int, bytes], ...]]:
        """Where a function comes from, and (chain position, path) of the landings that changed it."""
        head = len(self._history.chain) - 1
        stretches = list(self._tracer.stretches(path, key, head))
        touched: list[tuple[int, bytes]] = []
        for later, stretch in zip([None, *stretches], stretches, strict=False):
            if later is not None and later.born_at is not None and self._changed_on_the_way(later.born_at, stretch):
                touched.append((later.born_at, later.path))
            begins = self._tracer.floor if stretch.born_at is None else stretch.born_at
            positions = self._touches_in(stretch.path).get(stretch.key, ())
            touched += [(p, stretch.path) for p in positions if begins < p <= stretch.upto]
        first = stretches[-1]
        return Root(first.path, first.key, ALIVE if first.born_at is None else first.born_at), tuple(touched)

    def _touches_in(self, path: bytes) -> Mapping[FunctionKey, Sequence[int]]:
        """Chain positions whose diff changed a function of this path, ascending."""
        if path not in self._touched:
            found: dict[FunctionKey, list[int]] = defaultdict(list)
            for position, change in self._tracer.path_changes(path):
                for key in self._book.change(ChangeWant(change.old, change.new, path, path, False)).touched:
                    found[key].append(position)
            self._touched[path] = found
        return self._touched[path]

    def _changed_on_the_way(self, position: int, before: Stretch) -> bool:
        """Whether the diff that gave a function another place changed its text too."""
        pair = self._pairs_at(position).from_path.get(before.path)
        return pair is not None and before.key in self._book.change(want_of(pair)).touched

    def _pairs_at(self, position: int) -> _Pairs:
        """The files of a landing's diff, renames joined."""
        if position not in self._pairs:
            trees, chain = self._history.graph.trees, self._history.chain
            step = Step(trees[chain[position - 1]], trees[chain[position]], self._chain_changes[position])
            pairs = file_pairs(step, self._book)
            self._pairs[position] = _Pairs({p.old_path: p for p in pairs if p.old}, {p.new_path: p for p in pairs})
        return self._pairs[position]

    def _file_segments(self, path: bytes) -> Iterator[tuple[int, int, bytes]]:
        """(after, upto, path): where a file stood, newest first; `after` is the landing that brought it there."""
        upto = len(self._history.chain) - 1
        while True:
            added = [p for p, c in self._tracer.path_changes(path) if c.old is None and p <= upto]
            if not added:
                yield self._tracer.floor, upto, path
                return
            yield added[-1], upto, path
            pair = self._pairs_at(added[-1]).to_path[path]
            if pair.old is None:
                return
            if pair.old != pair.new:
                yield added[-1] - 1, added[-1], path
            path, upto = pair.old_path, added[-1] - 1

    def _file_past(self, segments: Sequence[tuple[int, int, bytes]], fixed_at: Mapping[bytes, set[int]]) -> _FilePast:
        touched: list[tuple[int, bytes]] = []
        fixes: set[int] = set()
        for after, upto, path in segments:
            touched += [(p, path) for p, _ in self._tracer.path_changes(path) if after < p <= upto]
            fixes.update(self._history.unit[p] for p in fixed_at.get(path, ()) if after < p <= upto)
        return _FilePast(tuple(touched), len(fixes))

    def _fixed_at(self, window: WindowCredits) -> Mapping[bytes, set[int]]:
        """Path -> chain positions with which fixes of that file landed that gave credit."""
        found: dict[bytes, set[int]] = defaultdict(set)
        for commit, examined in window.fixes.examined.items():
            if commit not in window.refused:
                for pair in examined.fix.pairs:
                    found[pair.new_path].add(self._history.landing[commit])
        return found

    def _described(
        self, root: Root, touched: Sequence[tuple[int, bytes]], file: _FilePast, window: WindowCredits
    ) -> ProcessMetrics:
        own, of_file = self._counted(touched), self._counted(file.touched_at)
        credits = window.credits
        return ProcessMetrics(
            touches=own.touches,
            authors=own.authors,
            decayed_touches=own.decayed,
            days_since_touch=own.days_since,
            age_days=None if root.born_at == ALIVE else self._days_since(root.born_at),
            fixes=credits.fixes.get(root, 0),
            credit=credits.by_root.get(root, 0.0),
            file_touches=of_file.touches,
            file_authors=of_file.authors,
            file_decayed_touches=of_file.decayed,
            file_fixes=file.fixes,
        )

    def _counted(self, touched: Sequence[tuple[int, bytes]]) -> _Counted:
        """Landings and people; what was rebased together counts once."""
        ages = {self._history.unit[p]: self._days_since(self._history.unit[p]) for p, _ in touched}
        year = {(p, path) for p, path in touched if self._days_since(p) <= YEAR_DAYS}
        people = set[int]().union(*(self._people.of(p, path) for p, path in year))
        decayed = sum(0.5 ** (age / HALF_LIFE_DAYS) for _, age in sorted(ages.items()))
        return _Counted(
            len({self._history.unit[p] for p, _ in year}), len(people), decayed, min(ages.values(), default=None)
        )

    def _days_since(self, position: int) -> float:
        return max(0, self._now - self._history.effective_at[position]) / DAY_S


class _Counted(NamedTuple):
    touches: int
    authors: int
    decayed: float
    days_since: float | None


class _People:
    """Who changed a file with a landing, as hashes that mean nothing outside this history and are not kept."""

    def __init__(self, history: History, floor: int, changes_of: Changes) -> None:
        self._history = history
        self._changes_of = changes_of
        self._side: dict[int, list[int]] = defaultdict(list)
        for commit, position in enumerate(history.landing):
            if position > floor and history.chain[position] != commit and len(history.graph.parents[commit]) < 2:
                self._side[position].append(commit)
        self._by_path: dict[int, dict[bytes, set[int]]] = {}

    def of(self, position: int, path: bytes) -> set[int]:
        """Those whose commits changed the path; whoever made the landing itself where that cannot be told."""
        tip = self._history.chain[position]
        people = self._paths_of(position).get(path) if self._side.get(position) else None
        return people or {self._history.graph.series_key[tip]}

    def _paths_of(self, position: int) -> Mapping[bytes, set[int]]:
        if position not in self._by_path:
            found: dict[bytes, set[int]] = defaultdict(set)
            for commit in self._side[position] if len(self._side[position]) <= _MOST_SIDE_COMMITS else ():
                for change in self._changes_of(commit):
                    found[change.path].add(self._history.graph.series_key[commit])
            self._by_path[position] = found
        return self._by_path[position]
