"""From a repository and its windows to the history of every function: the whole flow of mining in one place.

    1. walk the commits, find landings and effective times                    history
    2. diff the trees of the chain inside the windows                         trees
    3. list the functions alive at T_train and T_eval                         functions
    4. read the messages inside the windows, keep those with evidence         fixes, fix_commits
    5. map what each fix changed onto functions of its parent's version      facts (hunks, parsing), in processes
    6. trace those functions back to the beginning of the window              tracing (lineage)
    7. give credit by landing                                                 credit
    8. hand over functions, fixes and what was left out                       handover

Nothing is ever written to the repository. Results depend on the repository, the windows, the recipe and
the overlay alone. No fact that is remembered between runs depends on the overlay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from pipeline.classify.messages import MessageFacts, might_be_fix, read_message
from pipeline.classify.overlay import NO_OVERLAY, Overlay, OverlayRules
from pipeline.classify.paths import excluded_path
from pipeline.classify.references import might_refer, read_references
from pipeline.git.history import (
    MAY_FIX,
    CommitGraph,
    History,
    RawCommit,
    commits_landing_in,
    cut_at,
    extend_graph,
    first_parent,
    parse_commit,
    read_history,
)
from pipeline.git.packs import ObjectProblem
from pipeline.git.repository import Repository
from pipeline.git.trees import FileChange, TreeReader
from pipeline.label_recipe import LabelRecipe
from pipeline.mining.attribution import Attribution
from pipeline.mining.facts.cache import FactCache
from pipeline.mining.facts.codec import decode_changes, diff_key, encode_changes
from pipeline.mining.facts.compute import FunctionsWant, key_of
from pipeline.mining.facts.store import FactStore
from pipeline.mining.facts.worker_pool import WorkerPool
from pipeline.mining.issue_links import LandingUnit, Linked, Tracked, landing_units, link
from pipeline.mining.process_metrics import ProcessHistory, ProcessMetrics, look_back_from
from pipeline.mining.snapshot import Losses, Snapshot, SnapshotJoin, alive_in, stated_reductions, take_snapshot
from pipeline.mining.trace import Tracer
from pipeline.records import AssayError, FunctionHistory, Mined, Windows
from pipeline.syntax.languages import language_of

_EXAMPLES = 5
_CACHE_BYTES = 24 << 20


class Progress(Protocol):
    """Told what is going on; `total` is None where it is not known."""

    def __call__(self, stage: str, done: int, total: int | None) -> None: ...


def silent(stage: str, done: int, total: int | None) -> None:
    """No display."""


@lru_cache(maxsize=1 << 16)
def is_source(path: bytes) -> bool:
    """Whether a path is product code in a language that is mined."""
    return language_of(path) is not None and excluded_path(path) is None


def _source_under(rules: OverlayRules) -> Callable[[bytes], bool]:
    """`is_source` under a repository's own rules."""
    if not rules.changes_paths:
        return is_source
    return lambda path: language_of(path) is not None and rules.excluded(path) is None


def _has_language(path: bytes) -> bool:
    return language_of(path) is not None


class Miner:
    """One repository opened for mining. Use as a context manager; `store_path` None keeps nothing between runs."""

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
        self._tracked = tracked
        self._units: dict[int, LandingUnit] = {}
        self._is_source = _source_under(self._rules)
        self._progress = progress
        self._store = FactStore(store_path, recipe.facts_id)
        self._worker_pool = WorkerPool(repository.object_dir, recipe, jobs)
        self._reader = repository.reader(_CACHE_BYTES)
        self._trees = TreeReader(self._reader, _has_language)
        self._book = FactCache(self._store, self._worker_pool)
        self._interned: dict[bytes, bytes] = {}  # paths and ids stand in many changes
        self._snapshots: dict[int, Snapshot] = {}
        self._landed_changes: dict[int, list[FileChange]] = {}  # by chain position
        self._graph = CommitGraph()
        self._problems = 0

    def __enter__(self) -> Self:
        try:
            self.history = self._read_history()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._worker_pool.__exit__(kind, error, at)
        self._store.__exit__(kind, error, at)
        self._reader.close()

    def _read_history(self) -> History:
        # A shallow or broken clone may be completed later: its graph is not remembered.
        self._graph = CommitGraph() if self._repository.shallow else self._store.load_graph()
        if not len(self._graph):
            self._worker_pool.start()
        head, shallow = self._repository.head, self._repository.shallow

        def tell(done: int) -> None:
            self._progress("reading commits", done, None)

        self._problems = extend_graph(self._graph, self._reader, head, might_be_fix, shallow, tell)
        if head not in self._graph.index:
            raise AssayError(f"{self._repository.name}: the head commit cannot be read; fetch the repository again")
        return read_history(self._graph, self._graph.index[head], self._recipe, shallow)

    @property
    def tracked(self) -> Tracked | None:
        return self._tracked

    @property
    def overlay(self) -> Overlay:
        return self._rules.overlay

    def cut(self, time: int) -> None:
        """See nothing that landed after `time` (seconds since 1970), as in a clone cut there."""
        history = cut_at(self.history, time, self._recipe, self._repository.shallow)
        if history is None:
            raise AssayError(f"{self._repository.name} has no commit that old: choose a later --as-of")
        self.history = history

    def first_seen(self, now: int | None = None) -> int:
        """When this head was first asked about: `now` (seconds since 1970; the machine's time where None) or before."""
        seen_at = self._store.first_seen(self._graph.ids[self.history.head], now)
        return seen_at if now is None else min(seen_at, now)

    def snapshot(self, position: int) -> Snapshot:
        """The functions alive in the tree of a chain position."""
        if position not in self._snapshots:
            blobs = self._blobs_at(position)
            wants = {path: FunctionsWant(blob, path) for path, blob in blobs.items()}
            if not self._book.knows_all(wants.values()):
                self._work_off("parsing files")
            facts = {path: self._book.functions(want) for path, want in wants.items()}
            functions = {path: fact.functions for path, fact in facts.items()}
            keys = {path: frozenset(map(key_of, found)) for path, found in functions.items()}
            refused = {path: fact.refused for path, fact in facts.items() if fact.refused}
            self._snapshots[position] = Snapshot(position, blobs, functions, keys, refused)
        return self._snapshots[position]

    def _blobs_at(self, position: int) -> dict[bytes, bytes]:
        """The source files at a chain position: listed once, then followed through the chain's diffs."""
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
        """How many functions were alive at a time; 0 before the first commit."""
        position = self.history.position_at(time)
        return self.snapshot(position).count if position >= 0 else 0

    def mine(self, windows: Windows) -> Mined:
        """The history of every function in both windows."""
        return self._mine(windows)

    def mine_messages(self, windows: Windows) -> Mined:
        """The same by messages alone, as if nothing were known of issues and pull requests."""
        tracked, units = self._tracked, self._units
        self._tracked, self._units = None, {}
        try:
            return self._mine(windows)
        finally:
            self._tracked, self._units = tracked, units

    def _mine(self, windows: Windows) -> Mined:
        head = len(self.history.chain) - 1
        train_at, eval_at = self.positions(windows)
        at_train, at_eval = self.snapshot(train_at), self.snapshot(eval_at)
        # What was opened after a window's end is unknown to it, so each window links for itself.
        messages = self._read_messages(train_at, eval_at, windows.eval_start)
        messages |= self._read_messages(eval_at, head, windows.as_of)
        chain_changes = self._chain_changes(train_at, head)
        training = self._attribution(at_train, eval_at, messages, chain_changes)
        horizon = self._attribution(at_eval, head, messages, chain_changes)
        while not (training.round() & horizon.round()):
            self._work_off("parsing changes")
        trained, held_out = training.credits({}), horizon.credits(training.patches)
        both = ((at_train, trained), (at_eval, held_out))
        losses = Losses(self._problems, self._trees, self._book, self._reader)
        notes = stated_reductions(self._repository, self.history, losses, both)
        mined = take_snapshot(self._repository, self.history, windows, *both, messages, notes)
        self._store.save(None if self._problems or self._repository.shallow else self._graph)
        return mined

    def positions(self, windows: Windows) -> tuple[int, int]:
        """The chain positions of the snapshots at T_train and T_eval."""
        train_at = max(0, self.history.position_at(windows.train_start))
        return train_at, max(train_at, self.history.position_at(windows.eval_start))

    def functions(self, position: int) -> tuple[FunctionHistory, ...]:
        """The functions of a snapshot, without any credit: in the order in which `mine` and `past` give them."""
        return alive_in(self.snapshot(position))

    def process_metrics(self, position: int, now: int) -> tuple[ProcessMetrics, ...]:
        """What happened to each function of a snapshot before it, as a clone cut there tells it.

        `now` (seconds since 1970) is what ages are counted from: the time of the snapshot.
        """
        head = self.history.chain[position]
        history = read_history(self._graph, head, self._recipe, self._repository.shallow)
        floor = look_back_from(history, now)
        snapshot, blobs = self.snapshot(position), self._blobs_at(floor)
        messages, changes = self._read_messages(floor, position, now), self._chain_changes(floor, position)
        tracer = Tracer(history, self._book, changes, floor, self._source_changes, lambda *_: True, blobs.get)
        fixes = self._attribution_of(history, messages, tracer, position)
        process = ProcessHistory(now, history, self._book, snapshot, tracer, fixes, changes, self._changes_of)
        while not process.round():
            self._work_off("reading the past")
        self._store.save()
        return process.read()

    def join(self, earlier: int, later: int) -> tuple[int | None, ...]:
        """For each function of the later snapshot the index of the same one in the earlier; None: born in between."""
        join = SnapshotJoin(
            self._tracer(self.snapshot(earlier), self._chain_changes(earlier, later)),
            self.snapshot(earlier),
            self.snapshot(later),
        )
        while not join.round():
            self._work_off("following functions")
        return join.read()

    def _work_off(self, stage: str) -> None:
        total, done = self._book.wanted, 0

        def tell(count: int) -> None:
            nonlocal done
            done += count
            self._progress(stage, done, total)

        self._book.work_off(tell)

    def _read_messages(self, after: int, upto: int, until: int) -> dict[int, MessageFacts]:
        """What the messages say that may carry evidence, of commits landing in (after, upto].

        Issues and pull requests opened after `until` (seconds since 1970) are unknown.
        """
        messages: dict[int, MessageFacts] = {}
        links = self._links(after, upto, until)
        for commit in commits_landing_in(self.history, after, upto):
            linked = links.get(commit, Linked())
            flagged = bool(self._graph.flags[commit] & MAY_FIX)
            if not (flagged or self._rules.reads_every_message or linked.evidence):
                continue
            if raw := self._commit(commit):
                facts = read_message(
                    raw.message, raw.author, raw.encoding, self._recipe, linked.evidence, rules=self._rules
                )
                facts = facts._replace(evidence=linked.judge(facts.evidence))
                if flagged or facts.evidence:
                    messages[commit] = facts
        return messages

    def _links(self, after: int, upto: int, until: int) -> dict[int, Linked]:
        """What issues and pull requests say of those commits; nothing without a tracker."""
        if self._tracked is None:
            return {}
        references = {}
        for commit in commits_landing_in(self.history, after, upto):
            raw = self._commit(commit)
            if raw and might_refer(raw.message):
                references[commit] = read_references(raw.message, self._tracked.home)
        links = link(self.history, references, self._tracked.tracker, until, self._recipe)
        self._units |= landing_units(self.history, links)
        return links

    def _commit(self, commit: int) -> RawCommit | None:
        try:
            return parse_commit(self._reader.commit(self._graph.ids[commit]))
        except (ObjectProblem, ValueError):
            return None

    def _chain_changes(self, after: int, upto: int) -> dict[int, list[FileChange]]:
        positions = range(after + 1, upto + 1)
        for position in positions:
            if position not in self._landed_changes:
                changes = self._source_changes(self.history.chain[position])
                self._landed_changes[position] = [self._intern(change) for change in changes]
            if position % 500 == 0:
                self._progress("comparing trees", position - after, upto - after)
        self._trees.forget()  # what follows needs the room and hardly a tree
        self._reader.forget()
        return {position: self._landed_changes[position] for position in positions}

    def _changes_of(self, commit: int) -> list[FileChange]:
        """The files of any language that a commit changes against its first parent."""
        parent = first_parent(self.history, commit)
        old = self._graph.trees[parent] if parent is not None else None
        key = diff_key(old, self._graph.trees[commit])
        value = self._store.get(key)
        if value is not None:
            changes = decode_changes(value)
        else:
            skipped = self._trees.skipped
            changes = self._trees.changes(old, self._graph.trees[commit])
            # What is missing today may be fetched tomorrow. A missing tree is counted once, whatever it leaves out.
            if not self._trees.missing and self._trees.skipped == skipped:
                self._store.put(key, encode_changes(changes))
        return changes

    def _intern(self, change: FileChange) -> FileChange:
        """The same change with strings shared: in a busy history paths and ids would take more room than all else."""
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
        excluded, units = self._rules.excluded, self._units
        return Attribution(history, self._book, self._recipe, messages, tracer, upto, self._changes_of, excluded, units)

    def _tracer(self, snapshot: Snapshot, chain_changes: Mapping[int, Sequence[FileChange]]) -> Tracer:
        return Tracer(
            self.history,
            self._book,
            chain_changes,
            snapshot.position,
            self._source_changes,
            snapshot.has,
            snapshot.blobs.get,
        )

    def _source_changes(self, commit: int) -> list[FileChange]:
        return [c for c in self._changes_of(commit) if self._is_source(c.path)]
