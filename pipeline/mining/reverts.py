"""Find reverted commits. Pure.

A revert counts only in windows that end at or after its landing, and reverting the revert restores the commit.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pipeline.classify.messages import MessageFacts, pull_number, subject_key
from pipeline.git.history import History
from pipeline.label_recipe import MINER_VERSION
from pipeline.mining.commit_ids import CommitIds


class Revert(NamedTuple):
    """A revert and the commits that it undoes (indexes of the graph)."""

    commit: int
    position: int
    targets: tuple[int, ...]


def find_reverts(history: History, messages: Mapping[int, MessageFacts], version: int = MINER_VERSION) -> list[Revert]:
    """Return the reverts among `messages` whose targets are known, newest first. Targets landed before their revert.

    Targets are looked up by id, else by pull request, else by the quoted subject (the newest such commit before). What
    lands something again undoes the reverts of it.
    """
    order = _order(history)
    names = _Names(history, messages, version)
    reverts: dict[int, Revert] = {}
    reverted_by: dict[int, list[int]] = defaultdict(list)
    for commit in sorted(messages, key=order):
        facts = messages[commit]
        named = [t for t in names.targets(commit, facts) if order(t) < order(commit)]
        if facts.restores:
            named = [r for t in named for r in ([t] if t in reverts else reverted_by[t])]
        if named:
            targets = tuple(sorted(set(named)))
            reverts[commit] = Revert(commit, history.landing[commit], targets)
            for target in targets:
                reverted_by[target].append(commit)
    return sorted(reverts.values(), key=lambda u: order(u.commit), reverse=True)


class _Names:
    """The commits of `messages` by what a revert may call them."""

    def __init__(self, history: History, messages: Mapping[int, MessageFacts], version: int) -> None:
        self._history = history
        self._order = _order(history)
        self._version = version
        self._by_subject: dict[str, list[int]] = defaultdict(list)
        self._by_pull: dict[int, list[int]] = defaultdict(list)
        self._by_landing: dict[int, list[int]] = defaultdict(list)
        for commit in sorted(messages, key=self._order):
            facts = messages[commit]
            self._by_subject[subject_key(facts.subject)].append(commit)
            if facts.origin.title:
                self._by_subject[subject_key(facts.origin.title)].append(commit)
            if number := pull_number(facts.subject) if version < 2 else facts.origin.pull:
                self._by_pull[number].append(commit)
            self._by_landing[history.landing[commit]].append(commit)
        self._ids = CommitIds(history, (sha for facts in messages.values() for sha in facts.reverts))

    def targets(self, commit: int, facts: MessageFacts) -> list[int]:
        """Return the commits that a commit reverts or lands again, with those that a merge among them landed."""
        found = [t for sha in facts.reverts for t in self._ids.find(sha)]
        if not found:
            pulls = [self._newest(self._by_pull.get(number, ()), commit) for number in facts.reverts_pulls]
            # Version 1 stops at the first number that it knows.
            found = [t for newest in pulls for t in newest] if self._version >= 2 else next(filter(None, pulls), [])
        if not found and facts.reverts_subject:
            found = self._titled(facts.reverts_subject, commit)
            if not found and facts.restores:  # its revert has a title of its own
                found = self._titled(facts.reverts_subject.removeprefix('Revert "').removesuffix('"'), commit)
        return [member for target in found for member in _members(self._history, self._by_landing, target)]

    def _titled(self, subject: str, commit: int) -> list[int]:
        return self._newest(self._by_subject.get(subject_key(subject), ()), commit)

    def _newest(self, same: Sequence[int], commit: int) -> list[int]:
        order = self._order
        return list(same[: bisect_left(same, order(commit), key=order)][-1:])


def cancelled_by(reverts: Sequence[Revert], position: int) -> set[int]:
    """Return the commits that are reverted, and not restored, by the landing at `position`. `reverts`: newest first."""
    cancelled: set[int] = set()
    for revert in reverts:
        if revert.position <= position and revert.commit not in cancelled:
            cancelled.update(revert.targets)
    return cancelled


def _order(history: History) -> Callable[[int], tuple[int, int, bytes]]:
    graph = history.graph
    return lambda c: (history.landing[c], graph.committed_at[c], graph.ids[c])


def _members(history: History, by_landing: Mapping[int, Sequence[int]], target: int) -> Sequence[int]:
    """Return the target and, if it is a merge, the commits that landed with it."""
    position = history.landing[target]
    if len(history.graph.parents[target]) > 1 and position >= 0 and history.chain[position] == target:
        return [target, *by_landing.get(position, ())]
    return (target,)
