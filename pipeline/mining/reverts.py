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


class Revert(NamedTuple):
    """A revert and the commits that it undoes (indexes of the graph)."""

    commit: int
    position: int
    targets: tuple[int, ...]


def find_reverts(history: History, messages: Mapping[int, MessageFacts]) -> list[Revert]:
    """Return the reverts among `messages` whose targets are known, newest first. Targets landed before their revert.

    Targets are looked up by id, else by pull request, else by the quoted subject (the newest such commit before).
    """
    order = _order(history)
    by_subject: dict[str | int, list[int]] = defaultdict(list)  # and by pull request, if a subject names one
    for commit in sorted(messages, key=order):
        subject = messages[commit].subject
        by_subject[subject_key(subject)].append(commit)
        by_subject[pull_number(subject) or subject].append(commit)
    by_landing: dict[int, list[int]] = defaultdict(list)
    for commit in messages:
        by_landing[history.landing[commit]].append(commit)
    names = _CommitIds(history, messages)
    reverts = []
    for commit, facts in messages.items():
        targets = [t for sha in facts.reverts for t in names.find(sha)]
        named: list[str | int] = [*facts.reverts_pulls]
        if facts.reverts_subject:
            named.append(subject_key(facts.reverts_subject))
        for name in named:
            if targets:
                break
            same = by_subject.get(name, [])
            targets = same[: bisect_left(same, order(commit), key=order)][-1:]
        earlier = {t for target in targets for t in _members(history, by_landing, target) if order(t) < order(commit)}
        if earlier:
            reverts.append(Revert(commit, history.landing[commit], tuple(sorted(earlier))))
    return sorted(reverts, key=lambda u: order(u.commit), reverse=True)


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


class _CommitIds:
    """Commits by full or abbreviated id; an abbreviation must be unique."""

    def __init__(self, history: History, messages: Mapping[int, MessageFacts]) -> None:
        self._index = history.graph.index
        self._landing = history.landing
        self._ids: list[bytes] = []
        if _any_abbreviated(messages):
            ids = history.graph.ids
            self._ids = sorted(ids[c] for c, position in enumerate(history.landing) if position >= 0)

    def find(self, sha: str) -> list[int]:
        if len(sha) == 40:
            commit = self._index.get(bytes.fromhex(sha))
        else:
            low = bytes.fromhex(sha.ljust(40, "0"))
            at = bisect_left(self._ids, low)
            same = [name for name in self._ids[at : at + 2] if name.hex().startswith(sha)]
            commit = self._index[same[0]] if len(same) == 1 else None
        return [] if commit is None or self._landing[commit] < 0 else [commit]


def _any_abbreviated(messages: Mapping[int, MessageFacts]) -> bool:
    return any(len(sha) < 40 for facts in messages.values() for sha in facts.reverts)
