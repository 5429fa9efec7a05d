"""Commits linked to issues and pull requests: evidence beyond what their own subjects say.

    1. forget whatever was opened after the window's end
    2. find the commits that each merged pull request brought: what its merge reaches and the commits before it do not
    3. find the pull request of each commit: the innermost of those that brought it, else the one that its subject names
    4. evidence: an issue labelled as a bug that the commit names; a pull request labelled so or closing such an issue
    5. withdrawal: what the commit or its pull request closes, or the pull request itself, is labelled as something else

DESIGN.md section 2, "Fix commit" and "Credit". Pure: the same facts give the same links in any order.
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

_DEEPEST_MERGE = 50  # merges inside merges; deeper ones count as part of the one that holds them
_STRENGTH = ("keyword", "prefix", "label", "issue")

References = Mapping[int, Sequence[Reference]]  # by commit, as an index of the graph


@dataclass(frozen=True, slots=True)
class IssueFact:
    """What is kept of an issue or pull request. Times are seconds since 1970, `merge_commit` 20 bytes."""

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
    """The facts by number as they stood at `evidence_as_of` (seconds since 1970): frozen for one screening."""

    facts: Mapping[int, IssueFact]
    evidence_as_of: int
    bug_labels: tuple[str, ...] | None = None  # in place of the default list

    def until(self, time: int) -> Tracker:
        """Without whatever was opened after `time`."""
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
    """A tracker and the repository whose references it answers."""

    tracker: Tracker
    home: Home

    def labelled(self, bug_labels: tuple[str, ...] | None) -> Tracked:
        """The same with a repository's own list of labels that mean a bug; none: the default list."""
        return replace(self, tracker=replace(self.tracker, bug_labels=bug_labels))


@dataclass(frozen=True, slots=True)
class Linked:
    """What a commit's issues and pull request say. `pull_request` is its landing unit, where it is known."""

    evidence: tuple[Evidence, ...] = ()  # strongest first
    withdrawn: bool = False  # a keyword in the commit's own subject is no evidence
    pull_request: int | None = None

    def judge(self, own: Evidence | None) -> Evidence | None:
        """The strongest of this evidence and the commit's own, which may have been taken back."""
        claims = (own,) if own and not (self.withdrawn and own.kind == "keyword") else ()
        return max((*self.evidence, *claims), key=lambda e: (e.weight, _STRENGTH.index(e.kind)), default=None)


@dataclass(frozen=True, slots=True)
class LandingUnit:
    """The commits of one pull request: the unit of credit, in place of the landing, where it is known."""

    pull_request: int
    positions: frozenset[int]  # chain positions where they landed
    commits: int  # merges not counted


def landing_units(history: History, links: Mapping[int, Linked]) -> dict[int, LandingUnit]:
    """The unit of each commit whose pull request is known, by its index in the graph."""
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
    """What is linked to each commit that has a link, by its index in the graph.

    `references` are those of every commit that landed by `window_end` (seconds since 1970), merges too: what the
    message of a merge closes, its pull request closes.
    """
    known = tracker.until(window_end)
    merges = _merges(history, references, known)
    brought = _brought_by(history, merges)
    closing: dict[int, set[int]] = defaultdict(set)
    for number, fact in known.facts.items():
        closing[number].update(fact.closes if fact.is_pull_request else ())
    for merge, number in merges.items():
        closing[number].update(r.number for r in references.get(merge, ()) if r.kind == "closes")
    links: dict[int, Linked] = {}
    for commit in {*references, *brought}:
        pull_request = brought.get(commit) or _named(references.get(commit, ()), known)
        closed = closing[pull_request] if pull_request else set()
        linked = _linked(references.get(commit, ()), pull_request, closed, known, recipe)
        if history.landing[commit] >= 0 and linked != Linked():
            links[commit] = linked
    return links


def _linked(
    references: Sequence[Reference], pull_request: int | None, closed: set[int], known: Tracker, recipe: LabelRecipe
) -> Linked:
    """`closed` are the issues that the pull request closes."""
    own = [r for r in references if known.is_issue(r.number)]
    by_pull_request = {number for number in closed if known.is_issue(number)}
    evidence = []
    if any(known.nature(r.number) == "bug" for r in own):
        evidence.append(Evidence("issue", recipe.weight("issue")))
    landed_by = {pull_request} if pull_request else set()
    if any(known.nature(number) == "bug" for number in landed_by | by_pull_request):
        evidence.append(Evidence("label", recipe.weight("label")))
    answers = landed_by | by_pull_request | {r.number for r in own if r.kind == "closes"}
    withdrawn = any(known.nature(number) == "other" for number in answers)
    return Linked(tuple(evidence), withdrawn and not evidence, pull_request)


def _named(references: Sequence[Reference], known: Tracker) -> int | None:
    """The pull request that a subject ends with, where it is one."""
    return next((r.number for r in references if r.kind == "pull request" and known.is_pull_request(r.number)), None)


def _merges(history: History, references: References, known: Tracker) -> dict[int, int]:
    """commit -> the pull request that it merged: by what the tracker says, else by what the commit's subject says.

    A pull request that was closed without being merged has a commit of GitHub's own in that place: it is not looked at.
    """
    graph = history.graph
    told: dict[int, int] = {}
    for number in sorted(known.facts, reverse=True):
        fact = known.facts[number]
        merge = graph.index.get(fact.merge_commit) if fact.merge_commit else None
        if fact.is_pull_request and fact.state == "merged" and merge is not None and history.landing[merge] >= 0:
            told[merge] = number  # of two with one merge commit the first
    placed = set(told.values())
    unplaced = [c for c in references if c not in told and history.landing[c] >= 0 and len(graph.parents[c]) > 1]
    for commit in sorted(unplaced, key=lambda c: (history.landing[c], graph.ids[c])):
        named = _named(references[commit], known)
        if named is not None and named not in placed:
            told[commit] = named
            placed.add(named)
    return told


def _brought_by(history: History, merges: Mapping[int, int]) -> dict[int, int]:
    """commit -> the innermost pull request that brought it, merges themselves included.

    A merge brought what it reaches and its first parent does not. A commit with one parent was squashed, and brought
    itself, or it is the last of a rebased branch: then it brought the series that it ends, which mining tells by
    author and time (`History.unit`), back to the end of another pull request.
    """
    brought = dict(merges)
    for commit, number in merges.items():
        position = history.landing[commit]
        if len(history.graph.parents[commit]) > 1 or history.chain[position] != commit:
            continue
        while position > 0 and history.unit[position - 1] == history.unit[position]:
            position -= 1
            if history.chain[position] in merges:
                break
            brought[history.chain[position]] = number
    for merge, members in _insides(history, {c for c in merges if len(history.graph.parents[c]) > 1}):
        brought.update((member, merges[merge]) for member in members if member not in merges)
    return brought


def _insides(history: History, wanted: set[int]) -> Iterator[tuple[int, set[int]]]:
    """(merge, the commits it brought) of each merge that is wanted, outer ones before those inside them."""
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
        if depth == _DEEPEST_MERGE or wanted.isdisjoint(members):
            continue
        left = set(members)
        for tip in parents[merge][1:]:
            for inner in _line(history, tip, left):
                left.discard(inner)
                inside = _reached(history, parents[inner][1:], left)
                left -= inside
                if inside:
                    todo.append((inner, inside, depth + 1))


def _line(history: History, tip: int, members: set[int]) -> list[int]:
    """The first parents of a tip among the members, oldest first."""
    line = []
    while tip in members:
        line.append(tip)
        above = history.graph.parents[tip]
        tip = above[0] if above else ROOT
    return line[::-1]


def _reached(history: History, tips: Iterable[int], members: set[int]) -> set[int]:
    found: set[int] = set()
    todo = list(tips)
    while todo:
        commit = todo.pop()
        if commit in members and commit not in found:
            found.add(commit)
            todo.extend(history.graph.parents[commit])
    return found
