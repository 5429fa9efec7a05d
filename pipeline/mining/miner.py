"""Mine a repository: from its windows to the history of every function, the whole flow in one place.

    1. walk the commits, find landings and effective times                    git.history
    2. diff the trees of the chain inside of the windows                      git.trees
    3. list the functions alive at T_train and T_eval                         facts
    4. read the messages of the windows, keep those with evidence             message_reader, classify
    5. map the changes of each fix onto functions of its parent's version     fix_commits, facts (in processes)
    6. trace those functions back to the start of the window                  trace
    7. give credit by landing                                                 attribution, credit
    8. collect functions, fixes and exclusions                                snapshot

Nothing is ever written to the repository. Results depend only on the repository, the windows, the recipe and the
overlay. Facts cached between runs do not depend on the overlay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from pipeline.classify.messages import MessageFacts, might_be_fix
from pipeline.classify.overlay import NO_OVERLAY, Overlay, OverlayRules
from pipeline.classify.paths import excluded_path
from pipeline.classify.references import begins_with_key
from pipeline.git.blame_ignore import ignored_by_blame
from pipeline.git.history import (
    KEYED,
    MAY_FIX,
    CommitGraph,
    History,
    commits_landing_in,
    cut_at,
    extend_graph,
    first_parent,
    read_history,
)
from pipeline.git.repository import Repository
from pipeline.git.trees import FileChange, TreeReader
from pipeline.label_recipe import LabelRecipe
from pipeline.mining.attribution import Attribution
from pipeline.mining.facts.cache import FactCache
from pipeline.mining.facts.codec import decode_changes, diff_key, encode_changes
from pipeline.mining.facts.compute import FunctionsRequest, key_of
from pipeline.mining.facts.store import FactStore
from pipeline.mining.facts.worker_pool import WorkerPool
from pipeline.mining.issue_links import Tracked
from pipeline.mining.message_reader import MessageReader
from pipeline.mining.process_metrics import ProcessHistory, ProcessMetrics, lookback_start
from pipeline.mining.recall_notes import recall_notes
from pipeline.mining.snapshot import (
    ReadFailures,
    Snapshot,
    SnapshotJoin,
    assemble_mined,
    count_missing,
    functions_alive,
    reduction_notes,
)
from pipeline.mining.source_files import describe_unread, obstacle_of
from pipeline.mining.source_rules import SourceRules
from pipeline.mining.trace import Tracer
from pipeline.records import AssayError, FunctionHistory, Mined, Obstacle, SourceFiles, Windows
from pipeline.syntax.languages import language_of

_CACHE_BYTES = 24 << 20


class Progress(Protocol):
    """Called with the progress of a stage; `total` is None if unknown."""

    def __call__(self, stage: str, done: int, total: int | None) -> None: ...


def silent(stage: str, done: int, total: int | None) -> None:
    """Report no progress."""


@lru_cache(maxsize=1 << 16)
def is_source(path: bytes) -> bool:
    """Return whether a path is product code in a language that is mined, judging by the path alone."""
    return language_of(path) is not None and excluded_path(path) is None


class Miner:
    """A repository opened for mining. Use it as a context manager. With `store_path` None nothing is cached on disk."""

    def __init__(
        self,
        repository: Repository,
        recipe: LabelRecipe,
        store_path: Path | None = None,
        jobs: int = 1,
        progress: Progress = silent,
        overlay: Overlay = NO_OVERLAY,
        tracked: Tracked | None = None,
    ) -> None:
        self._repository = repository
        self._recipe = recipe
        self._rules = OverlayRules(overlay)
        self._progress = progress
        self._store = FactStore(store_path, recipe.facts_id)
        self._worker_pool = WorkerPool(repository.object_dir, recipe, jobs)
        self._reader = repository.reader(_CACHE_BYTES)
        self._messages = MessageReader(self._reader, recipe, self._rules, tracked)
        self._trees = TreeReader(self._reader, lambda path: language_of(path, recipe.miner_version) is not None)
        self._cache = FactCache(self._store, self._worker_pool)
        self._interned: dict[bytes, bytes] = {}  # paths and ids occur in many changes
        self._snapshots: dict[int, Snapshot] = {}
        self._landed_changes: dict[int, list[FileChange]] = {}  # by chain position
        self._graph = CommitGraph()
        self._problems = 0

    def __enter__(self) -> Self:
        try:
            self.history = self._read_history()
            self._read_rules()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._worker_pool.__exit__(kind, error, at)
        self._store.__exit__(kind, error, at)
        self._reader.close()

    def _read_history(self) -> History:
        # A shallow or damaged clone may be completed later: its graph is not stored.
        self._graph = CommitGraph() if self._repository.shallow else self._store.load_graph()
        if not len(self._graph):
            self._worker_pool.start()
        head, shallow = self._repository.head, self._repository.shallow

        def report(done: int) -> None:
            self._progress("reading commits", done, None)

        version = self._recipe.miner_version

        def flags_of(message: bytes) -> int:
            keyed = version >= 2 and begins_with_key(message)
            return (MAY_FIX if might_be_fix(message, version) else 0) | (KEYED if keyed else 0)

        self._problems = extend_graph(self._graph, self._reader, head, flags_of, shallow, report, version)
        if head not in self._graph.index:
            raise AssayError(
                f"the head commit of {self._repository.name} cannot be read: fetch or clone the repository again"
            )
        return read_history(self._graph, self._graph.index[head], self._recipe, shallow)

    @property
    def recipe(self) -> LabelRecipe:
        return self._recipe

    @property
    def tracked(self) -> Tracked | None:
        return self._messages.tracked

    @property
    def overlay(self) -> Overlay:
        return self._rules.overlay

    def cut(self, time: int) -> None:
        """Ignore all that landed after `time` (seconds since 1970), as in a clone made then. Raises AssayError."""
        history = cut_at(self.history, time, self._recipe, self._repository.shallow)
        if history is None:
            raise AssayError(f"{self._repository.name} has no commits before that date: choose a later --as-of")
        if history.head != self.history.head:
            self.history = history
            self._snapshots.clear()
            self._landed_changes.clear()
            self._read_rules()

    def _read_rules(self) -> None:
        self._source = SourceRules(
            self._graph.trees[self.history.head], self._reader, self._recipe, self._rules.overlay
        )
        self._rules, self._is_source = self._source.rules, self._source.is_source

    def source_files(self) -> SourceFiles:
        """Count the files at the head that are read and that are not."""
        return self._source.files

    def obstacle(self) -> Obstacle | None:
        """Return why little or nothing could be read, judging by what has been read so far."""
        missing = count_missing(self._failures()) if self._repository.partial else 0
        return obstacle_of(self.source_files(), partial=self._repository.partial, missing=missing)

    def _failures(self) -> ReadFailures:
        return ReadFailures(self._problems, self._trees, self._cache, self._reader)

    def first_seen(self, now: int | None = None) -> int:
        """Return when this head was first mined: `now` (seconds since 1970, None for the system's time) or earlier."""
        seen_at = self._store.first_seen(self._graph.ids[self.history.head], now)
        return seen_at if now is None else min(seen_at, now)

    def snapshot(self, position: int) -> Snapshot:
        """Return the functions alive in the tree of a chain position."""
        if position not in self._snapshots:
            blobs = self._blobs_at(position)
            requests = {path: FunctionsRequest(blob, path) for path, blob in blobs.items()}
            if not self._cache.request_all(requests.values()):
                self._compute("parsing files")
            facts = {path: self._cache.functions(request) for path, request in requests.items()}
            functions = {path: fact.functions for path, fact in facts.items()}
            keys = {path: frozenset(map(key_of, listed)) for path, listed in functions.items()}
            refused = {path: fact.refused for path, fact in facts.items() if fact.refused}
            unread = {path: fact.unread for path, fact in facts.items() if fact.unread is not None}
            self._snapshots[position] = Snapshot(position, blobs, functions, keys, refused, unread)
        return self._snapshots[position]

    def _blobs_at(self, position: int) -> dict[bytes, bytes]:
        """Return the source files at a chain position: listed once, then updated by the diffs of the chain."""
        earlier = max((known for known in self._snapshots if known <= position), default=None)
        if earlier is None:
            tree = self._graph.trees[self.history.chain[position]]
            return {path: blob for path, blob in self._trees.files(tree).items() if self._is_source(path)}
        blobs = dict(self._snapshots[earlier].blobs)
        for changes in self._chain_changes(earlier, position).values():
            for change in changes:
                if change.new is None:
                    blobs.pop(change.path, None)
                else:
                    blobs[change.path] = change.new
        return blobs

    def count_alive(self, time: int) -> int:
        """Return how many functions were alive at a time; 0 before the first commit."""
        position = self.history.position_at(time)
        return self.snapshot(position).count if position >= 0 else 0

    def mine(self, windows: Windows) -> Mined:
        """Mine the history of every function in both windows."""
        return self._mine(windows)

    def mine_messages(self, windows: Windows) -> Mined:
        """Mine by messages alone, without issues and pull requests."""
        with_tracker, self._messages = self._messages, self._messages.without_tracker()
        try:
            return self._mine(windows)
        finally:
            self._messages = with_tracker

    def _mine(self, windows: Windows) -> Mined:
        head = len(self.history.chain) - 1
        train_at, eval_at = self.positions(windows)
        at_train, at_eval = self.snapshot(train_at), self.snapshot(eval_at)
        # A window must not see issues opened after its end, so each window has its own links.
        messages = self._messages.read(self.history, train_at, eval_at, windows.eval_start)
        messages |= self._messages.read(self.history, eval_at, head, windows.as_of)
        chain_changes = self._chain_changes(train_at, head)
        training = self._attribution(at_train, eval_at, messages, chain_changes)
        horizon = self._attribution(at_eval, head, messages, chain_changes)
        while not (training.advance() & horizon.advance()):
            self._compute("parsing changes")
        trained, held_out = training.credits({}), horizon.credits(training.patches)
        both = ((at_train, trained), (at_eval, held_out))
        notes = reduction_notes(self._repository, self.history, self._failures(), both)
        notes += recall_notes(self.history, messages, commits_landing_in(self.history, train_at, head))
        if unread := describe_unread(self.source_files()):
            notes.insert(0, unread)
        mined = assemble_mined(self._repository, self.history, windows, *both, messages, notes)
        mined = replace(mined, files=self.source_files(), obstacle=self.obstacle())
        self._store.save(None if self._problems or self._repository.shallow else self._graph)
        return mined

    def fix_commits(self, after: int, upto: int, until: int) -> frozenset[int]:
        """Return graph indices of the fix commits landing at chain positions (after, upto], with or without credit.

        Issues and pull requests opened after `until` (seconds since 1970) are ignored.
        """
        messages, changes = self._messages.read(self.history, after, upto, until), self._chain_changes(after, upto)
        attribution = self._attribution(self.snapshot(after), upto, messages, changes)
        while not attribution.advance():
            self._compute("parsing changes")
        fixes = attribution.credits({}).fixes
        return frozenset((*fixes.examined, *fixes.oversized))

    def positions(self, windows: Windows) -> tuple[int, int]:
        """Return the chain positions of the snapshots at T_train and T_eval."""
        train_at = max(0, self.history.position_at(windows.train_start))
        return train_at, max(train_at, self.history.position_at(windows.eval_start))

    def functions(self, position: int) -> tuple[FunctionHistory, ...]:
        """Return the functions of a snapshot without credit, in the order of `mine` and `process_metrics`."""
        return functions_alive(self.snapshot(position))

    def process_metrics(self, position: int, now: int) -> tuple[ProcessMetrics, ...]:
        """Return the process metrics of each function of a snapshot, using only commits up to the snapshot.

        Ages are relative to `now` (seconds since 1970), the time of the snapshot.
        """
        head = self.history.chain[position]
        history = read_history(self._graph, head, self._recipe, self._repository.shallow)
        floor = lookback_start(history, now)
        snapshot, blobs = self.snapshot(position), self._blobs_at(floor)
        messages = self._messages.read(self.history, floor, position, now)
        changes = self._chain_changes(floor, position)
        version = self._recipe.miner_version
        tracer = Tracer(history, self._cache, changes, floor, self._source_changes, lambda *_: True, blobs, version)
        fixes = self._attribution_of(history, messages, tracer, position)
        process = ProcessHistory(now, history, self._cache, snapshot, tracer, fixes, changes, self._changes_of)
        while not process.advance():
            self._compute("reading earlier changes")
        self._store.save()
        return process.read()

    def join(self, earlier: int, later: int) -> tuple[int | None, ...]:
        """Return the index of each later function in the earlier snapshot, None if it was born between them."""
        join = SnapshotJoin(
            self._tracer(self.snapshot(earlier), self._chain_changes(earlier, later)),
            self.snapshot(earlier),
            self.snapshot(later),
        )
        while not join.advance():
            self._compute("following functions")
        return join.read()

    def _compute(self, stage: str) -> None:
        total, done = self._cache.pending, 0

        def report(count: int) -> None:
            nonlocal done
            done += count
            self._progress(stage, done, total)

        self._cache.compute_pending(report)

    def _chain_changes(self, after: int, upto: int) -> dict[int, list[FileChange]]:
        positions = range(after + 1, upto + 1)
        for position in positions:
            if position not in self._landed_changes:
                changes = self._source_changes(self.history.chain[position])
                self._landed_changes[position] = [self._intern(change) for change in changes]
            if position % 500 == 0:
                self._progress("comparing trees", position - after, upto - after)
        self._trees.forget()  # the next stages need the memory and few trees
        self._reader.forget()
        return {position: self._landed_changes[position] for position in positions}

    def _changes_of(self, commit: int) -> list[FileChange]:
        """Return the files in any language that a commit changes against its first parent."""
        parent = first_parent(self.history, commit)
        old = self._graph.trees[parent] if parent is not None else None
        key = diff_key(old, self._graph.trees[commit])
        value = self._store.get(key)
        if value is not None:
            changes = decode_changes(value)
        else:
            skipped = self._trees.skipped
            changes = self._trees.changes(old, self._graph.trees[commit])
            # Missing objects may be fetched later, so incomplete diffs are not stored.
            if not self._trees.missing and self._trees.skipped == skipped:
                self._store.put(key, encode_changes(changes))
        return changes

    def _intern(self, change: FileChange) -> FileChange:
        """Return the change with shared strings: in a busy history paths and ids would dominate the memory."""
        keep = self._interned.setdefault
        path, old, new = change
        return FileChange(keep(path, path), old and keep(old, old), new and keep(new, new))

    def _attribution(
        self,
        snapshot: Snapshot,
        upto: int,
        messages: Mapping[int, MessageFacts],
        chain_changes: Mapping[int, Sequence[FileChange]],
    ) -> Attribution:
        return self._attribution_of(self.history, messages, self._tracer(snapshot, chain_changes), upto)

    def _attribution_of(
        self, history: History, messages: Mapping[int, MessageFacts], tracer: Tracer, upto: int
    ) -> Attribution:
        excluded, units = self._rules.excluded, self._messages.units
        ignored = frozenset[bytes]()
        if self._recipe.miner_version >= 2:
            ignored = ignored_by_blame(self._reader, history.graph.trees[history.head])
        return Attribution(
            history, self._cache, self._recipe, messages, tracer, upto, self._changes_of, excluded, units, ignored
        )

    def _tracer(self, snapshot: Snapshot, chain_changes: Mapping[int, Sequence[FileChange]]) -> Tracer:
        return Tracer(
            self.history,
            self._cache,
            chain_changes,
            snapshot.position,
            self._source_changes,
            snapshot.has,
            snapshot.blobs,
            self._recipe.miner_version,
        )

    def _source_changes(self, commit: int) -> list[FileChange]:
        return [c for c in self._changes_of(commit) if self._is_source(c.path)]
