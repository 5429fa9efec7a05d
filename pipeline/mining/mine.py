"""From a repository and its windows to the history of every function: the whole flow of mining in one place.

    1. walk the commits, find landings and effective times                    history
    2. diff the trees of the chain inside the windows                         trees
    3. list the functions alive at T_train and T_eval                         functions
    4. read the messages inside the windows, keep those with evidence         fixes, fix_commits
    5. map what each fix changed onto functions of its parent's version      facts (hunks, parsing), in processes
    6. trace those functions back to the beginning of the window              tracing (lineage)
    7. give credit by landing                                                 credit

Nothing is ever written to the repository. Results depend on the repository, the windows and the recipe alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from pipeline.mining.attribution import Attribution, WindowCredits
from pipeline.mining.crew import Crew
from pipeline.mining.exclusions import excluded_path
from pipeline.mining.fact_book import FactBook
from pipeline.mining.fact_codec import decode_changes, diff_key, encode_changes
from pipeline.mining.fact_store import FactStore
from pipeline.mining.facts import ChangeWant, FunctionsWant, key_of
from pipeline.mining.fixes import MessageFacts, might_be_fix, read_message
from pipeline.mining.history import (
    MAY_FIX,
    CommitGraph,
    History,
    commits_landing_in,
    cut_at,
    extend_graph,
    first_parent,
    parse_commit,
    read_history,
)
from pipeline.mining.languages import language_of
from pipeline.mining.lineage import FunctionKey
from pipeline.mining.packs import ObjectProblem
from pipeline.mining.parsing import Function
from pipeline.mining.repository import Repository
from pipeline.mining.tracing import ALIVE, Root, Tracer
from pipeline.mining.trees import FileChange, TreeReader
from pipeline.recipe import LabelRecipe
from pipeline.records import AssayError, CountedFix, ExcludedGroup, FunctionHistory, Mined, Windows, printable

_EXAMPLES = 5
_CACHE_BYTES = 24 << 20


class Progress(Protocol):
    """Told what is going on; `total` is None where it is not known."""

    def __call__(self, stage: str, done: int, total: int | None) -> None: ...


def silent(stage: str, done: int, total: int | None) -> None:
    """No display."""


@dataclass(frozen=True)
class Snapshot:
    """The functions alive at one chain position, by path."""

    position: int
    blobs: Mapping[bytes, bytes]
    functions: Mapping[bytes, tuple[Function, ...]]
    keys: Mapping[bytes, frozenset[FunctionKey]]
    refused: Mapping[bytes, str]  # why a file was not read as source

    @property
    def count(self) -> int:
        return sum(map(len, self.functions.values()))

    def has(self, path: bytes, key: FunctionKey) -> bool:
        return key in self.keys.get(path, ())


@lru_cache(maxsize=1 << 16)
def is_source(path: bytes) -> bool:
    """Whether a path is product code in a language that is mined."""
    return language_of(path) is not None and excluded_path(path) is None


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
    ) -> None:
        self._repository = repository
        self._recipe = recipe
        self._progress = progress
        self._store = FactStore(store_path, recipe.id)
        self._crew = Crew(repository.object_dir, recipe, jobs)
        self._reader = repository.reader(_CACHE_BYTES)
        self._trees = TreeReader(self._reader, _has_language)
        self._book = FactBook(self._store, self._crew)
        self._interned: dict[bytes, bytes] = {}  # paths and ids stand in many changes
        self._snapshots: dict[int, Snapshot] = {}
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
        self._crew.__exit__(kind, error, at)
        self._store.__exit__(kind, error, at)
        self._reader.close()

    def _read_history(self) -> History:
        # A shallow or broken clone may be completed later: its graph is not remembered.
        self._graph = CommitGraph() if self._repository.shallow else self._store.load_graph()
        if not len(self._graph):
            self._crew.start()
        head, shallow = self._repository.head, self._repository.shallow

        def tell(done: int) -> None:
            self._progress("reading commits", done, None)

        self._problems = extend_graph(self._graph, self._reader, head, might_be_fix, shallow, tell)
        if head not in self._graph.index:
            raise AssayError(f"{self._repository.name}: the head commit cannot be read; fetch the repository again")
        return read_history(self._graph, self._graph.index[head], self._recipe, shallow)

    def cut(self, time: int) -> None:
        """See nothing that landed after `time` (seconds since 1970), as in a clone cut there."""
        history = cut_at(self.history, time, self._recipe, self._repository.shallow)
        if history is None:
            raise AssayError(f"{self._repository.name} has no commit that old: choose a later --as-of")
        self.history = history

    def first_seen(self) -> int:
        """When this head was first asked about."""
        return self._store.first_seen(self._graph.ids[self.history.head])

    def snapshot(self, position: int) -> Snapshot:
        """The functions alive in the tree of a chain position."""
        if position not in self._snapshots:
            tree = self._graph.trees[self.history.chain[position]]
            blobs = {path: blob for path, blob in self._trees.files(tree).items() if is_source(path)}
            wants = {path: FunctionsWant(blob, path) for path, blob in blobs.items()}
            if not self._book.knows_all(wants.values()):
                self._work_off("parsing files")
            facts = {path: self._book.functions(want) for path, want in wants.items()}
            functions = {path: fact.functions for path, fact in facts.items()}
            keys = {path: frozenset(map(key_of, found)) for path, found in functions.items()}
            refused = {path: fact.refused for path, fact in facts.items() if fact.refused}
            self._snapshots[position] = Snapshot(position, blobs, functions, keys, refused)
        return self._snapshots[position]

    def count_alive(self, time: int) -> int:
        """How many functions were alive at a time; 0 before the first commit."""
        position = self.history.position_at(time)
        return self.snapshot(position).count if position >= 0 else 0

    def mine(self, windows: Windows) -> Mined:
        """The history of every function in both windows."""
        head = len(self.history.chain) - 1
        train_at = max(0, self.history.position_at(windows.train_start))
        eval_at = max(train_at, self.history.position_at(windows.eval_start))
        at_train, at_eval = self.snapshot(train_at), self.snapshot(eval_at)
        messages = self._read_messages(train_at, head)
        chain_changes = self._chain_changes(train_at, head)
        training = self._attribution(at_train, eval_at, messages, chain_changes)
        horizon = self._attribution(at_eval, head, messages, chain_changes)
        while not (training.round() & horizon.round()):
            self._work_off("parsing changes")
        trained, held_out = training.credits({}), horizon.credits(training.patches)
        mined = self._assemble(windows, (at_train, trained), (at_eval, held_out), messages)
        self._store.save(None if self._problems or self._repository.shallow else self._graph)
        return mined

    def _work_off(self, stage: str) -> None:
        total, done = self._book.wanted, 0

        def tell(count: int) -> None:
            nonlocal done
            done += count
            self._progress(stage, done, total)

        self._book.work_off(tell)

    def _read_messages(self, after: int, upto: int) -> dict[int, MessageFacts]:
        """What the messages say that may carry evidence, of commits landing in (after, upto]."""
        messages: dict[int, MessageFacts] = {}
        for commit in commits_landing_in(self.history, after, upto):
            if self._graph.flags[commit] & MAY_FIX:
                try:
                    raw = parse_commit(self._reader.commit(self._graph.ids[commit]))
                except (ObjectProblem, ValueError):
                    continue
                messages[commit] = read_message(raw.message, raw.author, raw.encoding, self._recipe)
        return messages

    def _chain_changes(self, after: int, upto: int) -> dict[int, list[FileChange]]:
        found = {}
        for position in range(after + 1, upto + 1):
            found[position] = [self._intern(c) for c in self._source_changes(self.history.chain[position])]
            if position % 500 == 0:
                self._progress("comparing trees", position - after, upto - after)
        self._trees.forget()  # what follows needs the room and hardly a tree
        self._reader.forget()
        return found

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
        tracer = Tracer(
            self.history,
            self._book,
            chain_changes,
            snapshot.position,
            self._source_changes,
            snapshot.has,
            snapshot.blobs.get,
        )
        return Attribution(self.history, self._book, self._recipe, messages, tracer, upto, self._changes_of)

    def _source_changes(self, commit: int) -> list[FileChange]:
        return [c for c in self._changes_of(commit) if is_source(c.path)]

    def _assemble(
        self,
        windows: Windows,
        training: tuple[Snapshot, WindowCredits],
        horizon: tuple[Snapshot, WindowCredits],
        messages: Mapping[int, MessageFacts],
    ) -> Mined:
        at_train, trained = training
        graph, history = self._graph, self.history
        fixes = trained.fixes
        return Mined(
            repo=self._repository.name,
            head_sha=graph.ids[history.head].hex(),
            windows=windows,
            commits=history.commits,
            landings=len(history.chain),
            window_commits=sum(at_train.position < p <= horizon[0].position for p in history.landing),
            fix_commits=len(fixes.examined) + len(fixes.oversized),
            train=_function_histories(*training),
            holdout=_function_histories(*horizon),
            credit_by_kind=tuple(sorted(trained.credits.by_kind.items())),
            fix_files=frozenset(
                printable(path)
                for path in trained.credits.files | _credited_files(trained)
                if path in at_train.functions
            ),
            counted=self._counted(trained, messages),
            excluded=self._excluded(trained, messages),
            notes=tuple(self._notes(training, horizon)),
        )

    def _counted(self, window: WindowCredits, messages: Mapping[int, MessageFacts]) -> tuple[CountedFix, ...]:
        history, graph = self.history, self._graph
        counted = []
        for commit, examined in window.fixes.examined.items():
            sha, position = graph.ids[commit].hex(), history.landing[commit]
            evidence = messages[commit].evidence
            if sha in window.credits.each and evidence:
                names = sorted(f"{printable(path)}::{key.qualified_name}" for path, key in examined.touched)
                landing = graph.ids[history.chain[position]].hex()
                counted.append(
                    CountedFix(
                        sha=sha,
                        landing=landing,
                        landed_at=history.effective_at[position],
                        subject=messages[commit].subject,
                        evidence=evidence,
                        functions=tuple(names),
                        credit_each=window.credits.each[sha],
                    )
                )
        return tuple(sorted(counted, key=lambda c: (c.landed_at, c.sha)))

    def _excluded(self, window: WindowCredits, messages: Mapping[int, MessageFacts]) -> tuple[ExcludedGroup, ...]:
        groups: dict[str, list[int]] = defaultdict(list)
        for commit, reason in (*window.fixes.reasons.items(), *window.refused.items()):
            groups[reason].append(commit)
        found = []
        for reason, commits in groups.items():
            newest = sorted(commits, key=lambda c: (-self.history.landing[c], self._graph.ids[c]))[:_EXAMPLES]
            examples = tuple((self._graph.ids[c].hex(), messages[c].subject) for c in newest)
            found.append(ExcludedGroup(reason, len(commits), examples))
        return tuple(sorted(found, key=lambda g: (-g.commits, g.reason)))

    def _notes(self, *windows: tuple[Snapshot, WindowCredits]) -> list[str]:
        """The stated reductions, one sentence each."""
        notes = []
        if self.history.boundary is not None:
            sha = self._graph.ids[self.history.boundary].hex()[:10]
            kind = "shallow clone" if self._repository.shallow else "history cut off by a missing commit"
            notes.append(f"{kind}: {sha} counts as the first commit")
        if self._problems:
            notes.append(f"{_count(self._problems, 'commit')} missing or broken: what they hold is left out")
        if self._trees.missing:
            notes.append(f"{_count(self._trees.missing, 'folder')} missing or broken: taken as unchanged")
        if self._trees.skipped:
            notes.append(f"{_count(self._trees.skipped, 'entry', 'entries')} of oversized folders left out")
        notes.extend(self._missing_blobs())
        notes.extend(_refused_files(snapshot for snapshot, _ in windows))
        unresolved = sum(e.unresolved for _, w in windows for e in w.fixes.examined.values())
        if unresolved:
            notes.append(f"{_count(unresolved, 'touch', 'touches')} could not be traced to a function of the snapshot")
        return notes

    def _missing_blobs(self) -> list[str]:
        pairs = [want for want in self._book.problems.values() if isinstance(want, ChangeWant)]
        files = [want for want in self._book.problems.values() if isinstance(want, FunctionsWant)]
        blobs = {b for want in pairs for b in (want.old, want.new) if b} | {want.blob for want in files}
        broken = sum(not self._readable(blob) for blob in blobs)
        if not broken:
            return []
        distinct = len({(want.old, want.new) for want in pairs})
        left_out = f"{_count(broken, 'object')} missing: {_count(distinct, 'pair')} left out"
        return [left_out + (f", {_count(len(files), 'file')} of the snapshots taken as empty" if files else "")]

    def _readable(self, blob: bytes) -> bool:
        try:
            self._reader.blob(blob, 1 << 40)
        except ObjectProblem:
            return False
        return True


def _refused_files(snapshots: Iterable[Snapshot]) -> list[str]:
    """The files of the snapshots that are too large, minified and the like, if there are any."""
    refused = {path: why for snapshot in snapshots for path, why in snapshot.refused.items()}
    if not refused:
        return []
    reasons = ", ".join(f"{count:,} {why}" for why, count in Counter(sorted(refused.values())).most_common())
    return [f"{_count(len(refused), 'file')} not read as source: {reasons}"]


def _credited_files(window: WindowCredits) -> set[bytes]:
    return {root.path for root in window.credits.by_root if root.born_at == ALIVE}


def _function_histories(snapshot: Snapshot, window: WindowCredits) -> tuple[FunctionHistory, ...]:
    credits = window.credits
    found = []
    for path in sorted(snapshot.functions):
        shown, blob, language = printable(path), snapshot.blobs[path].hex(), language_of(path)
        assert language is not None
        for function in snapshot.functions[path]:
            key = key_of(function)
            root = Root(path, key, ALIVE)
            fixes = credits.fixes.get(root, 0)
            found.append(
                FunctionHistory(
                    path=shown,
                    qualified_name=function.qualified_name,
                    ordinal=function.ordinal,
                    language=language.name,
                    start_line=function.start_line,
                    end_line=function.end_line,
                    blob=blob,
                    credit=credits.by_root.get(root, 0.0),
                    fixes=fixes,
                    touches=max(fixes, window.touches.get((path, key), 0)) if fixes else 0,
                )
            )
    return tuple(found)


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
