"""Which commits are undone by a given time. Pure.

A revert cancels only in windows that end at or after its landing; reverting the revert restores.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pipeline.classify.messages import MessageFacts, pull_number, subject_key
from pipeline.git.history import History


class Undoing(NamedTuple):
    """A revert and what it undoes (graph indexes)."""

    commit: int
    position: int
    targets: tuple[int, ...]


def find_undoings(history: History, messages: Mapping[int, MessageFacts]) -> list[Undoing]:
    """Every revert among `messages` whose target is known, newest first. A target always landed before its revert.

    What it names counts in this order: ids, pull requests, the quoted subject (its newest bearer before the revert).
    """
    order = _order(history)
    by_subject: dict[str | int, list[int]] = defaultdict(list)  # and by pull request, where a subject names one
    for commit in sorted(messages, key=order):
        subject = messages[commit].subject
        by_subject[subject_key(subject)].append(commit)
        by_subject[pull_number(subject) or subject].append(commit)
    by_landing: dict[int, list[int]] = defaultdict(list)
    for commit in messages:
        by_landing[history.landing[commit]].append(commit)
    names = _Names(history, messages)
    undoings = []
    for commit, facts in messages.items():
        targets = [t for sha in facts.reverts for t in names.find(sha)]
        named: list[str | int] = [*facts.reverts_pulls]
        if facts.reverts_subject:
            named.append(subject_key(facts.reverts_subject))
        for told in named:
            if targets:
                break
            same = by_subject.get(told, [])
            targets = same[: bisect_left(same, order(commit), key=order)][-1:]
        earlier = {t for target in targets for t in _members(history, by_landing, target) if order(t) < order(commit)}
        if earlier:
            undoings.append(Undoing(commit, history.landing[commit], tuple(sorted(earlier))))
    return sorted(undoings, key=lambda u: order(u.commit), reverse=True)


def cancelled_by(undoings: Sequence[Undoing], position: int) -> set[int]:
    """Commits undone, and not restored, by the landing at `position`. `undoings` newest first."""
    cancelled: set[int] = set()
    for undoing in undoings:
        if undoing.position <= position and undoing.commit not in cancelled:
            cancelled.update(undoing.targets)
    return cancelled


def _order(history: History) -> Callable[[int], tuple[int, int, bytes]]:
    graph = history.graph
    return lambda c: (history.landing[c], graph.committed_at[c], graph.ids[c])


def _members(history: History, by_landing: Mapping[int, Sequence[int]], target: int) -> Sequence[int]:
    """A reverted merge undoes all that landed with it."""
    position = history.landing[target]
    if len(history.graph.parents[target]) > 1 and position >= 0 and history.chain[position] == target:
        return [target, *by_landing.get(position, ())]
    return (target,)


class _Names:
    """Commits by full or abbreviated id; an abbreviation counts only where it is the only one."""

    def __init__(self, history: History, messages: Mapping[int, MessageFacts]) -> None:
        self._index = history.graph.index
        self._landing = history.landing
        self._ids: list[bytes] = []
        if _any_abbreviated(messages):
            ids = history.graph.ids
            self._ids = sorted(ids[c] for c, position in enumerate(history.landing) if position >= 0)

    def find(self, sha: str) -> list[int]:
        if len(sha) == 40:
            found = self._index.get(bytes.fromhex(sha))
        else:
            low = bytes.fromhex(sha.ljust(40, "0"))
            at = bisect_left(self._ids, low)
            same = [name for name in self._ids[at : at + 2] if name.hex().startswith(sha)]
            found = self._index[same[0]] if len(same) == 1 else None
        return [] if found is None or self._landing[found] < 0 else [found]


def _any_abbreviated(messages: Mapping[int, MessageFacts]) -> bool:
    return any(len(sha) < 40 for facts in messages.values() for sha in facts.reverts)
