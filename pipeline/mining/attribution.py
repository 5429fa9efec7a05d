"""What happened to the functions of a snapshot: which fixes touched them, and what credit that gives.

Asks the fact book for everything and tries again what was not known yet, round by round, so that facts are computed in
bulk. Rounds end because each one only asks for facts that the facts of the last one made necessary.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.classify.messages import MessageFacts
from pipeline.classify.paths import excluded_path
from pipeline.git.history import History, first_parent
from pipeline.git.trees import FileChange
from pipeline.label_recipe import LabelRecipe
from pipeline.mining.credit import AttributedFix, Credits, give_credit
from pipeline.mining.diffs import Step, file_pairs
from pipeline.mining.facts.cache import FactCache, NotYet
from pipeline.mining.facts.compute import ChangeWant
from pipeline.mining.facts.lineage import FunctionKey
from pipeline.mining.fix_commits import (
    NOT_READABLE,
    ONLY_COMMENTS,
    FixCommit,
    alters_code,
    patch_id,
    reason_not_to_count,
    reason_of_changes,
    repeated_patches,
    touched_functions,
)
from pipeline.mining.issue_links import LandingUnit
from pipeline.mining.reverts import cancelled_by, find_undoings
from pipeline.mining.trace import ALIVE, Root, Tracer

REVERTED = "reverted later"
REPEATED = "the same change landed before"

Changes = Callable[[int], Sequence[FileChange]]

NO_UNITS: Mapping[int, LandingUnit] = {}


@dataclass(frozen=True)
class Examined:
    """A fix commit whose facts are known: its patch and the functions it touched in its parent's files."""

    fix: FixCommit
    patch: bytes
    touched: tuple[tuple[bytes, FunctionKey], ...]
    roots: frozenset[Root]
    unresolved: int


@dataclass
class WindowFixes:
    """Fix commits of one window: examined ones, those too large to examine, and the reasons of the others."""

    examined: dict[int, Examined] = field(default_factory=dict)
    oversized: dict[int, FixCommit] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WindowCredits:
    """The outcome of one window."""

    fixes: WindowFixes
    credits: Credits
    refused: Mapping[int, str]  # fix commits that gave no credit, and why
    touches: Mapping[tuple[bytes, FunctionKey], int]  # landings that changed a credited function


class Attribution:
    """Attributes the fix commits of one window, chain positions (tracer's floor, `upto`]."""

    def __init__(
        self,
        history: History,
        book: FactCache,
        recipe: LabelRecipe,
        messages: Mapping[int, MessageFacts],
        tracer: Tracer,
        upto: int,
        changes_of: Changes,
        excluded: Callable[[bytes], str | None] = excluded_path,
        units: Mapping[int, LandingUnit] = NO_UNITS,
    ) -> None:
        self._history = history
        self._book = book
        self._recipe = recipe
        self._messages = messages
        self._tracer = tracer
        self._upto = upto
        self._changes_of = changes_of
        self._excluded = excluded
        self._units = units
        self._found = WindowFixes()
        self._left = [c for c in messages if tracer.floor < history.landing[c] <= upto and messages[c].evidence]
        self._older = _equal_authors(history, self._left)
        self._older_patches: dict[int, bytes] = {}
        self._series: dict[int, list[int]] = defaultdict(list)
        for position, last in enumerate(history.unit):
            self._series[last].append(position)

    def round(self) -> bool:
        """Examine what can be examined with the facts known; True when nothing is left."""
        self._left = [commit for commit in self._left if not self._try(commit)]
        return not self._left

    def _try(self, commit: int) -> bool:
        try:
            reason = self._examine(commit)
        except NotYet:
            return False
        if reason:
            self._found.reasons[commit] = reason
        return True

    def _examine(self, commit: int) -> str | None:
        """Why the commit is no fix commit, or None when it has been taken. Raises NotYet."""
        facts = self._messages[commit]
        reason = reason_not_to_count(self._history, commit, facts)
        if reason:
            return reason
        changes = self._changes_of(commit)
        source = [c for c in changes if self._excluded(c.path) is None]
        reason = reason_of_changes(changes, source, self._excluded)
        if reason:
            return reason
        fix = FixCommit(commit, tuple(file_pairs(self._step(commit, source), self._book)))
        if len(fix.pairs) > self._recipe.most_files:
            self._found.oversized[commit] = fix  # no credit whatever it touches: not worth parsing
            return None
        known = self._book.knows_all(fix.wants)
        for want in fix.wants:  # asked for together, so that each file is parsed along its versions once
            known = self._tracer.prepare(want.old_path) and known
        if not known:
            raise NotYet
        if all(self._book.change(want).problem for want in fix.wants):
            return NOT_READABLE
        if not alters_code(fix, self._book):
            return ONLY_COMMENTS
        self._found.examined[commit] = self._with_roots(fix)
        return None

    def _with_roots(self, fix: FixCommit) -> Examined:
        touched = touched_functions(fix, self._book)
        roots, missing = [], False
        for path, key in touched:
            try:
                roots.append(self._tracer.root_of_fix(fix.commit, path, key))
            except NotYet:
                missing = True  # go on: what the other functions need is asked for in the same round
        for older in self._older.get(fix.commit, ()):
            missing = not self._examine_older(older) or missing
        if missing:
            raise NotYet
        resolved = frozenset(root for root in roots if root is not None)
        patch = patch_id(fix, self._book)
        return Examined(fix, patch, tuple(touched), resolved, sum(root is None for root in roots))

    def _examine_older(self, commit: int) -> bool:
        """The patch of a commit from before the window that may be the same change; False if facts are missing."""
        if commit in self._older_patches:
            return True
        source = [c for c in self._changes_of(commit) if self._excluded(c.path) is None]
        if not 0 < len(source) <= self._recipe.most_files:
            self._older_patches[commit] = b""
            return True
        try:
            fix = FixCommit(commit, tuple(file_pairs(self._step(commit, source), self._book)))
        except NotYet:
            return False
        if not self._book.knows_all(fix.wants):
            return False
        self._older_patches[commit] = patch_id(fix, self._book)
        return True

    def _step(self, commit: int, source: Sequence[FileChange]) -> Step:
        parent = first_parent(self._history, commit)
        assert parent is not None, "a commit without a parent is no fix commit"
        trees = self._history.graph.trees
        return Step(trees[parent], trees[commit], source)

    def credits(self, before: Mapping[int, bytes]) -> WindowCredits:
        """Credit by lineage, once `round` has said that nothing is left. `before`: patches of the earlier window."""
        cancelled = cancelled_by(find_undoings(self._history, self._messages), self._upto)
        found = self._found
        refused = {c: REVERTED for c in (*found.examined, *found.oversized) if c in cancelled}
        patches = {**before, **{c: e.patch for c, e in found.examined.items()}}
        repeated = repeated_patches(self._history, patches, cancelled, self._older_of)
        refused.update((c, REPEATED) for c in repeated if c in found.examined)
        attributed = [self._attributed(c, e.fix, e.roots) for c, e in found.examined.items() if c not in refused]
        attributed += [self._attributed(c, f, frozenset()) for c, f in found.oversized.items() if c not in refused]
        credits = give_credit(attributed, self._recipe)
        index = self._history.graph.index
        refused.update((index[bytes.fromhex(sha)], reason) for sha, reason in credits.refused.items())
        return WindowCredits(found, credits, refused, self._touches(credits))

    @property
    def patches(self) -> dict[int, bytes]:
        return {commit: examined.patch for commit, examined in self._found.examined.items()}

    def _older_of(self, commit: int) -> list[bytes]:
        return [self._older_patches[o] for o in self._older.get(commit, ())]

    def _attributed(self, commit: int, fix: FixCommit, roots: frozenset[Root]) -> AttributedFix:
        evidence = self._messages[commit].evidence
        assert evidence is not None
        unit, born = self._unit(commit)
        return AttributedFix(
            sha=self._history.graph.ids[commit].hex(),
            position=self._history.landing[commit],
            unit=unit,
            born=born,
            evidence=evidence,
            files=frozenset(new_path for *_, new_path in fix.pairs),
            roots=roots,
        )

    def _unit(self, commit: int) -> tuple[tuple[int, str], frozenset[int]]:
        """(the unit of credit, the chain positions it landed at): the pull request where known, else the landing."""
        history, most = self._history, self._recipe.subsystem_merge_commits
        pull = self._units.get(commit)
        if pull and pull.commits <= most:
            return (pull.pull_request, "pull request"), pull.positions
        position = history.landing[commit]
        last = history.unit[position]
        series = self._series[last]
        if max(history.landed[position] - 1, len(series)) > most:
            return (position, history.graph.ids[commit].hex()), frozenset({position})
        return (last, ""), frozenset(series)

    def _touches(self, credits: Credits) -> dict[tuple[bytes, FunctionKey], int]:
        """Landings of the window that changed each credited function, in the file where it stood when it began."""
        counts: Counter[tuple[bytes, FunctionKey]] = Counter()
        credited: dict[bytes, set[FunctionKey]] = defaultdict(set)
        for root in credits.by_root:
            if root.born_at == ALIVE:
                credited[root.path].add(root.key)
        for path, keys in credited.items():
            for position, change in self._tracer.path_changes(path):
                if position > self._upto or change.old is None:
                    continue
                for key in self._book.change(ChangeWant(change.old, change.new, path, path, False)).touched:
                    if key in keys and self._tracer.born_in_path(path, key, position - 1) is None:
                        counts[path, key] += 1
        return dict(counts)


def _equal_authors(history: History, commits: Iterable[int]) -> dict[int, list[int]]:
    """For each commit, those that landed earlier with the same author and author time: it may be a cherry-pick."""
    graph = history.graph
    keys = {graph.author_key[c] for c in commits}
    same: dict[int, list[int]] = defaultdict(list)
    for commit, key in enumerate(graph.author_key):
        if key in keys and history.landing[commit] >= 0:
            same[key].append(commit)
    return {
        c: [o for o in same[graph.author_key[c]] if history.landing[o] < history.landing[c] and _is_change(history, o)]
        for c in commits
        if len(same[graph.author_key[c]]) > 1
    }


def _is_change(history: History, commit: int) -> bool:
    return len(history.graph.parents[commit]) == 1 and first_parent(history, commit) is not None
