"""Attribute the fixes of a window to the functions of a snapshot, and compute their credit.

All facts come from the fact cache. Work that lacks facts is retried round by round, so that facts are computed in bulk.
Rounds end, because each requests only facts that the facts of the previous one made necessary.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.classify.messages import MessageFacts
from pipeline.classify.paths import excluded_path
from pipeline.git.history import History, first_parent
from pipeline.git.trees import FileChange
from pipeline.label_recipe import LabelRecipe
from pipeline.mining.credit import AttributedFix, Credits, give_credit
from pipeline.mining.diffs import TreeDiff, file_pairs
from pipeline.mining.facts.cache import FactCache, FactPending
from pipeline.mining.facts.lineage import FunctionKey
from pipeline.mining.fix_commits import (
    IGNORED_BY_BLAME,
    NOT_READABLE,
    FixCommit,
    alters_code,
    patch_of,
    reason_by_changes,
    reason_by_message,
    touched_functions,
    why_no_code,
)
from pipeline.mining.issue_links import LandingUnit
from pipeline.mining.repeats import NO_PATCH, Patch, find_repeats
from pipeline.mining.reverts import cancelled_by, find_reverts
from pipeline.mining.trace import ALIVE, Root, Tracer

REVERTED = "reverted later"
REPEATED = "the same change landed before"

Changes = Callable[[int], Sequence[FileChange]]

NO_UNITS: Mapping[int, LandingUnit] = {}


@dataclass(frozen=True)
class ExaminedFix:
    """A fix commit with its patch and the functions that it touched in the files of its parent."""

    fix: FixCommit
    patch: Patch
    touched: tuple[tuple[bytes, FunctionKey], ...]
    roots: frozenset[Root]
    unresolved: int


@dataclass
class WindowFixes:
    """The fix commits of a window: examined, too large to examine, or excluded for a reason."""

    examined: dict[int, ExaminedFix] = field(default_factory=dict)
    oversized: dict[int, FixCommit] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WindowCredits:
    """The credits of a window."""

    fixes: WindowFixes
    credits: Credits
    refused: Mapping[int, str]  # fix commits without credit, and why
    touches: Mapping[tuple[bytes, FunctionKey], int]  # landings that changed a credited function


class Attribution:
    """Attribute the fix commits of the window of chain positions (tracer's floor, `upto`]."""

    def __init__(
        self,
        history: History,
        cache: FactCache,
        recipe: LabelRecipe,
        messages: Mapping[int, MessageFacts],
        tracer: Tracer,
        upto: int,
        changes_of: Changes,
        excluded: Callable[[bytes], str | None] = excluded_path,
        units: Mapping[int, LandingUnit] = NO_UNITS,
        ignored: frozenset[bytes] = frozenset(),
    ) -> None:
        self._history = history
        self._cache = cache
        self._recipe = recipe
        self._messages = messages
        self._tracer = tracer
        self._upto = upto
        self._changes_of = changes_of
        self._excluded = excluded
        self._units = units
        self._ignored = ignored  # ids of commits that the project itself leaves out of blame
        self._fixes = WindowFixes()
        self._left = [c for c in messages if tracer.floor < history.landing[c] <= upto and messages[c].evidence]
        self._older = _equal_authors(history, self._left)
        self._older_patches: dict[int, Patch] = {}
        self._touches_of: dict[Root, int] = {}
        self._series: dict[int, list[int]] = defaultdict(list)
        for position, last in enumerate(history.unit):
            self._series[last].append(position)

    def advance(self) -> bool:
        """Examine the commits whose facts are available. Return True when all are examined."""
        self._left = [commit for commit in self._left if not self._try(commit)]
        return not self._left

    def _try(self, commit: int) -> bool:
        try:
            reason = self._examine(commit)
        except FactPending:
            return False
        if reason:
            self._fixes.reasons[commit] = reason
        return True

    def _examine(self, commit: int) -> str | None:
        """Examine a commit. Return why it is no fix commit, else None. Raises FactPending."""
        facts = self._messages[commit]
        reason = reason_by_message(self._history, commit, facts)
        if reason:
            return reason
        if self._history.graph.ids[commit] in self._ignored:
            return IGNORED_BY_BLAME
        changes = self._changes_of(commit)
        source = [c for c in changes if self._excluded(c.path) is None]
        reason = reason_by_changes(changes, source, self._excluded)
        if reason:
            return reason
        fix = FixCommit(commit, tuple(file_pairs(self._diff(commit, source), self._cache)))
        if len(fix.pairs) > self._recipe.most_files:
            self._fixes.oversized[commit] = fix  # gets no credit in any case: not worth parsing
            return None
        available = self._cache.request_all(fix.requests)
        for request in fix.requests:  # requested together, so that the versions of each file are parsed together
            available = self._tracer.prepare(request.old_path) and available
        if not available:
            raise FactPending
        if all(self._cache.change(request).problem for request in fix.requests):
            return NOT_READABLE
        if not alters_code(fix, self._cache):
            return why_no_code(fix, self._cache)
        self._fixes.examined[commit] = self._with_roots(fix)
        return None

    def _with_roots(self, fix: FixCommit) -> ExaminedFix:
        touched = self._touched(fix)
        roots, missing = [], False
        for path, key in touched:
            try:
                roots.append(self._tracer.root_of_fix(fix.commit, path, key))
            except FactPending:
                missing = True  # continue, to request the facts of the other functions in the same round
        for older in self._older.get(fix.commit, ()):
            missing = not self._examine_older(older) or missing
        if missing:
            raise FactPending
        resolved = frozenset(root for root in roots if root is not None)
        for root in resolved:
            if root.born_at == ALIVE and root not in self._touches_of:
                self._touches_of[root] = self._tracer.touches(root, self._upto)
        patch = patch_of(fix, self._cache, self._recipe.miner_version)
        return ExaminedFix(fix, patch, tuple(touched), resolved, sum(root is None for root in roots))

    def _touched(self, fix: FixCommit) -> list[tuple[bytes, FunctionKey]]:
        """Return the functions whose code a fix changed: one that only moved to another file is not among them."""
        touched = touched_functions(fix, self._cache)
        if self._recipe.miner_version < 2:
            return touched
        facts = [(request.old_path, self._cache.change(request)) for request in fix.requests]
        gone = {(path, key) for path, fact in facts for key in fact.vanished}
        if gone.isdisjoint(touched) or not any(fact.born for _, fact in facts):
            return touched
        source = [c for c in self._changes_of(fix.commit) if self._excluded(c.path) is None]
        moved = self._tracer.moved_unchanged(self._diff(fix.commit, source))
        return [place for place in touched if place not in moved]

    def _examine_older(self, commit: int) -> bool:
        """Compute the patch of an earlier commit that may be the same change. Return False if facts are missing."""
        if commit in self._older_patches:
            return True
        source = [c for c in self._changes_of(commit) if self._excluded(c.path) is None]
        if not 0 < len(source) <= self._recipe.most_files:
            self._older_patches[commit] = NO_PATCH
            return True
        try:
            fix = FixCommit(commit, tuple(file_pairs(self._diff(commit, source), self._cache)))
        except FactPending:
            return False
        if not self._cache.request_all(fix.requests):
            return False
        self._older_patches[commit] = patch_of(fix, self._cache, self._recipe.miner_version)
        return True

    def _diff(self, commit: int, source: Sequence[FileChange]) -> TreeDiff:
        parent = first_parent(self._history, commit)
        assert parent is not None, "a commit without a parent cannot be a fix commit"
        trees = self._history.graph.trees
        return TreeDiff(trees[parent], trees[commit], source)

    def credits(self, before: Mapping[int, Patch]) -> WindowCredits:
        """Return the credit by lineage, after `advance` returned True. `before`: patches of the earlier window."""
        cancelled = cancelled_by(find_reverts(self._history, self._messages, self._recipe.miner_version), self._upto)
        fixes = self._fixes
        refused = {c: REVERTED for c in (*fixes.examined, *fixes.oversized) if c in cancelled}
        patches = {**before, **{c: e.patch for c, e in fixes.examined.items()}}
        repeated = find_repeats(self._history, patches, self._messages, cancelled, self._older_of)
        refused.update((c, REPEATED) for c in repeated if c in fixes.examined)
        attributed = [self._attributed(c, e.fix, e.roots) for c, e in fixes.examined.items() if c not in refused]
        attributed += [self._attributed(c, f, frozenset()) for c, f in fixes.oversized.items() if c not in refused]
        credits = give_credit(attributed, self._recipe)
        index = self._history.graph.index
        refused.update((index[bytes.fromhex(sha)], reason) for sha, reason in credits.refused.items())
        return WindowCredits(fixes, credits, refused, self._touches(credits))

    @property
    def patches(self) -> dict[int, Patch]:
        return {commit: examined.patch for commit, examined in self._fixes.examined.items()}

    def _older_of(self, commit: int) -> list[Patch]:
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
        """Return (unit of credit, its chain positions): the pull request if known, else the landing."""
        history, max_commits = self._history, self._recipe.subsystem_merge_commits
        pull = self._units.get(commit)
        if pull and pull.commits <= max_commits:
            return (pull.pull_request, "pull request"), pull.positions
        position = history.landing[commit]
        last = history.unit[position]
        series = self._series[last]
        if max(history.landed[position] - 1, len(series)) > max_commits:
            return (position, history.graph.ids[commit].hex()), frozenset({position})
        return (last, ""), frozenset(series)

    def _touches(self, credits: Credits) -> dict[tuple[bytes, FunctionKey], int]:
        """Return how many landings of the window changed each credited function."""
        return {(root.path, root.key): self._touches_of[root] for root in credits.by_root if root.born_at == ALIVE}


def _equal_authors(history: History, commits: Iterable[int]) -> dict[int, list[int]]:
    """Return for each commit earlier ones with the same author and author time, of which it may be a cherry-pick."""
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
