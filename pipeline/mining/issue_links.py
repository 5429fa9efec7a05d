"""Link commits to issues and pull requests, as evidence beyond their own subjects.

    1. drop everything that was opened after the window's end
    2. find the commits of each merged pull request: reachable from its merge but not from the merge's first parent
    3. find the pull request of each commit: the innermost that contains it, else the one that its subject names
    4. evidence: the commit names an issue labelled as a bug, or its pull request is labelled so or closes such an issue
    5. withdrawal: the pull request, or an issue that it or the commit closes, is labelled as something else

The rules are in docs/development/design.md, "Fix commit" and "Credit". Pure: the order of the facts does not matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.classify.bug_labels import Nature, nature_of
from pipeline.classify.references import Home, Reference
from pipeline.git.history import ROOT, History
from pipeline.label_recipe import LabelRecipe
from pipeline.records import Evidence

_MAX_MERGE_DEPTH = 50  # of merges inside merges; deeper ones count as part of the outer merge
_STRENGTH = ("keyword", "prefix", "label", "issue")

References = Mapping[int, Sequence[Reference]]  # by commit (index of the graph)


@dataclass(frozen=True, slots=True)
class IssueFact:
    """The stored facts of an issue or pull request. Times are seconds since 1970, `merge_commit` 20 bytes."""

    number: int
    is_pull_request: bool
    state: Literal["open", "closed", "merged"]
    labels: tuple[str, ...]
    issue_type: str | None
    opened_at: int
    closed_at: int | None
    merge_commit: bytes | None
    closes: tuple[int, ...] = ()  # issues that a pull request closes


@dataclass(frozen=True, slots=True)
class Tracker:
    """The facts by number as of `evidence_as_of` (seconds since 1970), frozen for one screening."""

    facts: Mapping[int, IssueFact]
    evidence_as_of: int
    bug_labels: tuple[str, ...] | None = None  # replaces the default list

    def until(self, time: int) -> Tracker:
        """Return a copy without anything that was opened after `time`."""
        known = {number: fact for number, fact in self.facts.items() if fact.opened_at <= time}
        return Tracker(known, self.evidence_as_of, self.bug_labels)

    def nature(self, number: int) -> Nature | None:
        fact = self.facts.get(number)
        return nature_of(fact.labels, fact.issue_type, self.bug_labels) if fact else None

    def is_issue(self, number: int) -> bool:
        fact = self.facts.get(number)
        return fact is not None and not fact.is_pull_request

    def is_pull_request(self, number: int) -> bool:
        fact = self.facts.get(number)
        return fact is not None and fact.is_pull_request


@dataclass(frozen=True, slots=True)
class Tracked:
    """A tracker and the repository of its issues."""

    tracker: Tracker
    home: Home

    def labelled(self, bug_labels: tuple[str, ...] | None) -> Tracked:
        """Return a copy with a repository's own list of bug labels; None: the default list."""
        return replace(self, tracker=replace(self.tracker, bug_labels=bug_labels))


@dataclass(frozen=True, slots=True)
class Linked:
    """The evidence of a commit's issues and pull request. `pull_request` is its landing unit, if known."""

    evidence: tuple[Evidence, ...] = ()  # strongest first
    withdrawn: bool = False  # a keyword in the commit's own subject does not count
    pull_request: int | None = None

    def strongest(self, own: Evidence | None) -> Evidence | None:
        """Return the strongest of this evidence and the commit's own, unless the latter is withdrawn."""
        claims = (own,) if own and not (self.withdrawn and own.kind == "keyword") else ()
        return max((*self.evidence, *claims), key=lambda e: (e.weight, _STRENGTH.index(e.kind)), default=None)


@dataclass(frozen=True, slots=True)
class LandingUnit:
    """The commits of one pull request: the unit of credit if known, instead of the landing."""

    pull_request: int
    positions: frozenset[int]  # chain positions of the commits
    commits: int  # without merges


def landing_units(history: History, links: Mapping[int, Linked]) -> dict[int, LandingUnit]:
    """Return the unit of each commit (index of the graph) whose pull request is known."""
    members: dict[int, list[int]] = defaultdict(list)
    for commit, linked in links.items():
        if linked.pull_request is not None:
            members[linked.pull_request].append(commit)
    units: dict[int, LandingUnit] = {}
    for number, commits in members.items():
        size = sum(len(history.graph.parents[c]) < 2 for c in commits)
        unit = LandingUnit(number, frozenset(history.landing[c] for c in commits), size)
        units.update(dict.fromkeys(commits, unit))
    return units


def link(
    history: History, references: References, tracker: Tracker, window_end: int, recipe: LabelRecipe
) -> dict[int, Linked]:
    """Link commits (indexes of the graph) to issues and pull requests; commits without a link are left out.

    `references` are those of all commits that landed by `window_end` (seconds since 1970), including merges: the issues
    that the message of a merge closes are closed by its pull request.
    """
    known = tracker.until(window_end)
    merges = _merges(history, references, known)
    pull_request_of = _commit_pull_requests(history, merges)
    closing: dict[int, set[int]] = defaultdict(set)
    for number, fact in known.facts.items():
        closing[number].update(fact.closes if fact.is_pull_request else ())
    for merge, number in merges.items():
        closing[number].update(r.number for r in references.get(merge, ()) if r.kind == "closes")
    links: dict[int, Linked] = {}
    for commit in {*references, *pull_request_of}:
        pull_request = pull_request_of.get(commit) or _named(references.get(commit, ()), known)
        closed = closing[pull_request] if pull_request else set()
        linked = _linked(references.get(commit, ()), pull_request, closed, known, recipe)
        if history.landing[commit] >= 0 and linked != Linked():
            links[commit] = linked
    return links


def _linked(
    references: Sequence[Reference], pull_request: int | None, closed: set[int], known: Tracker, recipe: LabelRecipe
) -> Linked:
    """Link one commit. `closed` are the issues that its pull request closes."""
    own = [r for r in references if known.is_issue(r.number)]
    by_pull_request = {number for number in closed if known.is_issue(number)}
    evidence = []
    if any(known.nature(r.number) == "bug" for r in own):
        evidence.append(Evidence("issue", recipe.weight("issue")))
    landed_by = {pull_request} if pull_request else set()
    if any(known.nature(number) == "bug" for number in landed_by | by_pull_request):
        evidence.append(Evidence("label", recipe.weight("label")))
    closed_or_own = landed_by | by_pull_request | {r.number for r in own if r.kind == "closes"}
    withdrawn = any(known.nature(number) == "other" for number in closed_or_own)
    return Linked(tuple(evidence), withdrawn and not evidence, pull_request)


def _named(references: Sequence[Reference], known: Tracker) -> int | None:
    """Return the pull request that a subject ends with, None if there is none or it is an issue."""
    return next((r.number for r in references if r.kind == "pull request" and known.is_pull_request(r.number)), None)


def _merges(history: History, references: References, known: Tracker) -> dict[int, int]:
    """Return commit -> pull request that it merged, by the tracker, else by the commit's subject.

    Unmerged pull requests are skipped: their `merge_commit` is a test merge by GitHub.
    """
    graph = history.graph
    merges: dict[int, int] = {}
    for number in sorted(known.facts, reverse=True):
        fact = known.facts[number]
        merge = graph.index.get(fact.merge_commit) if fact.merge_commit else None
        if fact.is_pull_request and fact.state == "merged" and merge is not None and history.landing[merge] >= 0:
            merges[merge] = number  # of two with one merge commit the first
    placed = set(merges.values())
    unplaced = [c for c in references if c not in merges and history.landing[c] >= 0 and len(graph.parents[c]) > 1]
    for commit in sorted(unplaced, key=lambda c: (history.landing[c], graph.ids[c])):
        named = _named(references[commit], known)
        if named is not None and named not in placed:
            merges[commit] = named
            placed.add(named)
    return merges


def _commit_pull_requests(history: History, merges: Mapping[int, int]) -> dict[int, int]:
    """Return commit -> innermost pull request that contains it, merges themselves included.

    A merge contains the commits that it reaches and its first parent does not. A commit with one parent was squashed,
    and contains itself, or is the last of a rebased branch: then it contains the series that it ends, recognised by
    author and time (`History.unit`), back to the end of another pull request.
    """
    pull_request_of = dict(merges)
    for commit, number in merges.items():
        position = history.landing[commit]
        if len(history.graph.parents[commit]) > 1 or history.chain[position] != commit:
            continue
        while position > 0 and history.unit[position - 1] == history.unit[position]:
            position -= 1
            if history.chain[position] in merges:
                break
            pull_request_of[history.chain[position]] = number
    for merge, members in _commits_of_merges(history, {c for c in merges if len(history.graph.parents[c]) > 1}):
        pull_request_of.update((member, merges[merge]) for member in members if member not in merges)
    return pull_request_of


def _commits_of_merges(history: History, wanted: set[int]) -> Iterator[tuple[int, set[int]]]:
    """Yield (merge, its commits) of each of the `wanted` merges, outer ones before inner ones."""
    parents = history.graph.parents
    sides: dict[int, set[int]] = {history.landing[c]: set() for c in wanted}
    for commit, position in enumerate(history.landing):
        if position in sides and history.chain[position] != commit:
            sides[position].add(commit)
    todo = [(history.chain[position], sides[position], 0) for position in sorted(sides)]
    while todo:
        merge, members, depth = todo.pop()
        if merge in wanted:
            yield merge, members
        if depth == _MAX_MERGE_DEPTH or wanted.isdisjoint(members):
            continue
        left = set(members)
        for tip in parents[merge][1:]:
            for inner in _first_parent_line(history, tip, left):
                left.discard(inner)
                inside = _reached(history, parents[inner][1:], left)
                left -= inside
                if inside:
                    todo.append((inner, inside, depth + 1))


def _first_parent_line(history: History, tip: int, members: set[int]) -> list[int]:
    """Return the first-parent line of a tip among the members, oldest first."""
    line = []
    while tip in members:
        line.append(tip)
        above = history.graph.parents[tip]
        tip = above[0] if above else ROOT
    return line[::-1]


def _reached(history: History, tips: Iterable[int], members: set[int]) -> set[int]:
    reached: set[int] = set()
    todo = list(tips)
    while todo:
        commit = todo.pop()
        if commit in members and commit not in reached:
            reached.add(commit)
            todo.extend(history.graph.parents[commit])
    return reached
