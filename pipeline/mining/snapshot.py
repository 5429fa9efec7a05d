"""Snapshots of functions, the join of two snapshots, and the result of mining."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.classify.messages import MessageFacts
from pipeline.git.history import History
from pipeline.git.objects import ObjectReader
from pipeline.git.packs import ObjectProblem
from pipeline.git.repository import Repository
from pipeline.git.trees import TreeReader
from pipeline.mining.attribution import WindowCredits, WindowFixes
from pipeline.mining.credit import Credits
from pipeline.mining.facts.cache import FactCache, FactPending
from pipeline.mining.facts.compute import ChangeRequest, FunctionsRequest, key_of
from pipeline.mining.facts.lineage import FunctionKey, Place
from pipeline.mining.trace import ALIVE, Root, Tracer
from pipeline.records import CountedFix, ExcludedGroup, FunctionHistory, Mined, Windows, printable
from pipeline.syntax.languages import language_of
from pipeline.syntax.parser import Function

_EXAMPLES = 5
_LINES_OF_A_FUNCTION = 12  # where none was found


@dataclass(frozen=True)
class Snapshot:
    """The functions alive at one chain position, by path."""

    position: int
    blobs: Mapping[bytes, bytes]
    functions: Mapping[bytes, tuple[Function, ...]]
    keys: Mapping[bytes, frozenset[FunctionKey]]
    refused: Mapping[bytes, str]  # reasons why files are not read as source
    unread: Mapping[bytes, int] = field(
        default_factory=dict
    )  # lines that could not be read, of files with syntax errors

    @property
    def count(self) -> int:
        return sum(map(len, self.functions.values()))

    def has(self, path: bytes, key: FunctionKey) -> bool:
        return key in self.keys.get(path, ())


def functions_of(snapshot: Snapshot) -> Iterator[tuple[bytes, FunctionKey]]:
    """Yield (path, function) in the order of the results."""
    for path in sorted(snapshot.functions):
        for function in snapshot.functions[path]:
            yield path, key_of(function)


class SnapshotJoin:
    """Find the functions of `later` in `earlier` along their lineages. Call `advance` until True, then `read`."""

    def __init__(self, tracer: Tracer, earlier: Snapshot, later: Snapshot) -> None:
        self._tracer = tracer
        self._earlier = earlier
        self._later = later
        self._roots: dict[Place, Root | None] = {}
        self._left = list(functions_of(later))

    def advance(self) -> bool:
        """Trace what the available facts allow. Return True when all is done."""
        self._left = [place for place in self._left if not self._try(place)]
        return not self._left

    def _try(self, place: Place) -> bool:
        try:
            self._roots[place] = self._tracer.trace(*place, self._later.position)
        except FactPending:
            return False
        return True

    def read(self) -> tuple[int | None, ...]:
        """Return the index of each later function among the earlier ones, None if it was born between them."""
        index = {place: i for i, place in enumerate(functions_of(self._earlier))}
        roots = (self._roots[place] for place in functions_of(self._later))
        return tuple(
            index[root.path, root.key] if root is not None and root.born_at == ALIVE else None for root in roots
        )


def assemble_mined(
    repository: Repository,
    history: History,
    windows: Windows,
    training: tuple[Snapshot, WindowCredits],
    horizon: tuple[Snapshot, WindowCredits],
    messages: Mapping[int, MessageFacts],
    notes: Sequence[str],
) -> Mined:
    """Assemble the result of mining from both windows. `notes` are those of `reduction_notes`."""
    at_train, trained = training
    graph = history.graph
    fixes = trained.fixes
    return Mined(
        repo=repository.name,
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
            printable(path) for path in trained.credits.files | _credited_files(trained) if path in at_train.functions
        ),
        counted=_counted_fixes(history, trained, messages),
        excluded=_excluded(history, trained, messages),
        notes=tuple(notes),
    )


def _counted_fixes(
    history: History, window: WindowCredits, messages: Mapping[int, MessageFacts]
) -> tuple[CountedFix, ...]:
    graph = history.graph
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


def _excluded(
    history: History, window: WindowCredits, messages: Mapping[int, MessageFacts]
) -> tuple[ExcludedGroup, ...]:
    groups: dict[str, list[int]] = defaultdict(list)
    for commit, reason in (*window.fixes.reasons.items(), *window.refused.items()):
        groups[reason].append(commit)
    excluded = []
    for reason, commits in groups.items():
        newest = sorted(commits, key=lambda c: (-history.landing[c], history.graph.ids[c]))[:_EXAMPLES]
        examples = tuple((history.graph.ids[c].hex(), messages[c].subject) for c in newest)
        excluded.append(ExcludedGroup(reason, len(commits), examples))
    return tuple(sorted(excluded, key=lambda g: (-g.commits, g.reason)))


@dataclass(frozen=True)
class ReadFailures:
    """The data that could not be read while mining."""

    commits: int
    trees: TreeReader
    cache: FactCache
    reader: ObjectReader


def reduction_notes(
    repository: Repository, history: History, failures: ReadFailures, windows: Iterable[tuple[Snapshot, WindowCredits]]
) -> list[str]:
    """Return what was left out and why, one sentence each."""
    notes = _unfollowed(repository)
    both = list(windows)
    if history.boundary is not None:
        sha = history.graph.ids[history.boundary].hex()[:10]
        kind = "shallow clone" if repository.shallow else "history cut off by a missing commit"
        notes.append(f"{kind}: {sha} counts as the first commit")
    if history.rewritten:
        landings = _count(history.rewritten, "landing")
        notes.append(
            f"committer dates of {landings} are those of a rewrite or an import: author dates are used instead"
        )
    if failures.commits:
        notes.append(f"{_count(failures.commits, 'commit')} missing or broken: left out")
    if failures.trees.missing:
        notes.append(f"{_count(failures.trees.missing, 'folder')} missing or broken: taken as unchanged")
    if failures.trees.skipped:
        notes.append(f"{_count(failures.trees.skipped, 'entry', 'entries')} of oversized folders left out")
    notes.extend(_missing_blobs(failures))
    notes.extend(_refused_files(snapshot for snapshot, _ in both))
    notes.extend(_unread_files([snapshot for snapshot, _ in both]))
    unresolved = sum(e.unresolved for _, w in both for e in w.fixes.examined.values())
    if unresolved:
        notes.append(f"{_count(unresolved, 'touch', 'touches')} could not be traced to a function of the snapshot")
    return notes


def _unfollowed(repository: Repository) -> list[str]:
    """Return a note on `git replace` and grafts, which git follows and mining does not."""
    kinds = []
    if repository.replaced:
        kinds.append(_count(repository.replaced, "replacement ref"))
    if repository.grafts:
        kinds.append(_count(repository.grafts, "graft"))
    if not kinds:
        return []
    return [
        f"{' and '.join(kinds)} not followed: the history is read as it was committed, not as git log shows it. To "
        "measure a joined history, make it permanent in a copy (git filter-repo --force)"
    ]


def _missing_blobs(failures: ReadFailures) -> list[str]:
    pairs = [request for request in failures.cache.problems.values() if isinstance(request, ChangeRequest)]
    files = [request for request in failures.cache.problems.values() if isinstance(request, FunctionsRequest)]
    broken = _count_unreadable(pairs, files, failures.reader)
    if not broken:
        return []
    distinct = len({(request.old, request.new) for request in pairs})
    left_out = f"{_count(broken, 'object')} missing: {_count(distinct, 'pair')} left out"
    return [left_out + (f", {_count(len(files), 'file')} of the snapshots taken as empty" if files else "")]


def count_missing(failures: ReadFailures) -> int:
    """Return how many commits, trees and blobs could not be read so far."""
    problems = failures.cache.problems.values()
    pairs = [request for request in problems if isinstance(request, ChangeRequest)]
    files = [request for request in problems if isinstance(request, FunctionsRequest)]
    return failures.commits + failures.trees.missing + _count_unreadable(pairs, files, failures.reader)


def _count_unreadable(pairs: Iterable[ChangeRequest], files: Iterable[FunctionsRequest], reader: ObjectReader) -> int:
    blobs = {b for request in pairs for b in (request.old, request.new) if b} | {request.blob for request in files}
    return sum(not _readable(reader, blob) for blob in blobs)


def _readable(reader: ObjectReader, blob: bytes) -> bool:
    try:
        reader.blob(blob, 1 << 40)
    except ObjectProblem:
        return False
    return True


def _refused_files(snapshots: Iterable[Snapshot]) -> list[str]:
    """Return a note on the files of the snapshots that are too large, minified and the like, if any."""
    refused = {path: reason for snapshot in snapshots for path, reason in snapshot.refused.items()}
    if not refused:
        return []
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in Counter(sorted(refused.values())).most_common())
    return [f"{_count(len(refused), 'file')} not read as source: {reasons}"]


def _unread_files(snapshots: Sequence[Snapshot]) -> list[str]:
    """Return a note on the files of the snapshots that could be parsed in part only, if any.

    How many functions are missing is estimated: the lines that could not be read and belong to no function that was
    found, divided by the mean length of a function.
    """
    unread = {path: lines for snapshot in snapshots for path, lines in snapshot.unread.items()}
    if not unread:
        return []
    files = {path for snapshot in snapshots for path in snapshot.blobs}
    lengths = [f.end_line - f.start_line + 1 for s in snapshots for listed in s.functions.values() for f in listed]
    mean = sum(lengths) / len(lengths) if lengths else _LINES_OF_A_FUNCTION
    missing = round(sum(unread.values()) / mean)
    about = f"about {_count(missing, 'function is', 'functions are')} missing"
    parsed = f"{len(unread):,} of {_count(len(files), 'file')} could not be parsed wholly"
    return [f"{parsed}: {about if missing else 'no function seems to be missing'}"]


def _credited_files(window: WindowCredits) -> set[bytes]:
    return {root.path for root in window.credits.by_root if root.born_at == ALIVE}


def functions_alive(snapshot: Snapshot) -> tuple[FunctionHistory, ...]:
    """Return the functions of a snapshot, without credit."""
    return _function_histories(snapshot, WindowCredits(WindowFixes(), Credits(), {}, {}))


def _function_histories(snapshot: Snapshot, window: WindowCredits) -> tuple[FunctionHistory, ...]:
    credits = window.credits
    histories = []
    for path in sorted(snapshot.functions):
        shown, blob, language = printable(path), snapshot.blobs[path].hex(), language_of(path)
        assert language is not None
        for function in snapshot.functions[path]:
            key = key_of(function)
            root = Root(path, key, ALIVE)
            fixes = credits.fixes.get(root, 0)
            histories.append(
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
    return tuple(histories)


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
