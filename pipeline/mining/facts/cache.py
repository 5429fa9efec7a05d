"""Facts asked for by the code that decides, answered when they are known, noted down when they are not.

Whoever needs a fact asks the book; `NotYet` means that it has been written on the list. The list is worked off in bulk
by the worker_pool, and the asker tries again: so deciding stays sequential and simple, and computing stays parallel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

from pipeline.mining.facts.codec import decode, encode, key_for
from pipeline.mining.facts.compute import (
    ChangeFact,
    ChangeWant,
    Fact,
    FunctionsFact,
    FunctionsWant,
    MovesFact,
    MovesWant,
    RenamesFact,
    RenamesWant,
    Want,
)
from pipeline.mining.facts.store import FactStore
from pipeline.mining.facts.worker_pool import WorkerPool


class NotYet(Exception):
    """The fact is on the list of what is wanted."""


class FactCache:
    """Answers from memory and store; `work_off` computes what was asked for and not known."""

    def __init__(self, store: FactStore, worker_pool: WorkerPool) -> None:
        self._store = store
        self._worker_pool = worker_pool
        self._known: dict[bytes, Fact] = {}
        self._wanted: dict[bytes, Want] = {}
        self.rounds = 0  # how often the list has been worked off
        self.problems: dict[bytes, Want] = {}  # facts about objects that are missing or broken

    def functions(self, want: FunctionsWant) -> FunctionsFact:
        return cast(FunctionsFact, self._get(want))

    def change(self, want: ChangeWant) -> ChangeFact:
        return cast(ChangeFact, self._get(want))

    def renames(self, want: RenamesWant) -> RenamesFact:
        return cast(RenamesFact, self._get(want))

    def moves(self, want: MovesWant) -> MovesFact:
        return cast(MovesFact, self._get(want))

    def knows_all(self, wants: Iterable[Want]) -> bool:
        """Whether every fact is known; those that are not are put on the list, all of them."""
        known = True
        for want in wants:
            key = key_for(want)
            if self._recall(key, want) is None:
                self._note(key, want)
                known = False
        return known

    @property
    def wanted(self) -> int:
        return len(self._wanted)

    def work_off(self, progress: Callable[[int], None] | None = None) -> None:
        """Compute everything on the list."""
        wants, self._wanted = list(self._wanted.values()), {}
        self.rounds += 1
        for batch, facts in self._worker_pool.compute(wants):
            for want, fact in zip(batch, facts, strict=True):
                key = key_for(want)
                if fact.problem:  # what is missing today may be fetched tomorrow: it is not kept in the store
                    self.problems[key] = want
                    self._known[key] = fact
                else:  # decoded when it is asked for: that shares equal parts
                    self._store.put(key, encode(fact))
                    self._known.pop(key, None)  # an answer that said less
            if progress:
                progress(len(batch))

    def _get(self, want: Want) -> Fact:
        key = key_for(want)
        fact = self._recall(key, want)
        if fact is None:
            self._note(key, want)
            raise NotYet
        return fact

    def _note(self, key: bytes, want: Want) -> None:
        """Put a fact on the list; of two wants for one fact the one that asks for more stays."""
        if not (isinstance(want, ChangeWant) and not want.code and key in self._wanted):
            self._wanted[key] = want

    def _recall(self, key: bytes, want: Want) -> Fact | None:
        fact = self._known.get(key)
        if fact is None:
            value = self._store.get(key)
            if value is None:
                return None
            try:
                fact = decode(want, value)
            except (ValueError, KeyError, IndexError, TypeError):
                return None
            self._known[key] = fact
        return fact if _answers(fact, want) else None


def _answers(fact: Fact, want: Want) -> bool:
    """A fact about a change may have been computed without looking whether it alters code."""
    return not (isinstance(want, ChangeWant) and want.code and cast(ChangeFact, fact).code is None and not fact.problem)
