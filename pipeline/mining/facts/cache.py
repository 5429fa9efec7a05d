"""Cache facts, and collect requests for missing ones to compute them in bulk.

A request for a missing fact raises `FactPending` and is queued. The worker pool computes the queued facts, then the
caller retries. Decisions stay sequential and simple this way, while facts are computed in parallel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

from pipeline.mining.facts.codec import decode, encode, key_for
from pipeline.mining.facts.compute import (
    ChangeFact,
    ChangeRequest,
    Fact,
    FactRequest,
    FunctionsFact,
    FunctionsRequest,
    MovesFact,
    MovesRequest,
    RenamesFact,
    RenamesRequest,
)
from pipeline.mining.facts.store import FactStore
from pipeline.mining.facts.worker_pool import WorkerPool


class FactPending(Exception):
    """The fact is missing and has been requested."""


class FactCache:
    """Facts from memory and the store. `compute_pending` computes the missing ones."""

    def __init__(self, store: FactStore, worker_pool: WorkerPool) -> None:
        self._store = store
        self._worker_pool = worker_pool
        self._known: dict[bytes, Fact] = {}
        self._pending: dict[bytes, FactRequest] = {}
        self.rounds = 0  # how often pending facts have been computed
        self.problems: dict[bytes, FactRequest] = {}  # facts of objects that are missing or damaged

    def functions(self, request: FunctionsRequest) -> FunctionsFact:
        """Return the fact. Raises FactPending, as the next three."""
        return cast(FunctionsFact, self._get(request))

    def change(self, request: ChangeRequest) -> ChangeFact:
        return cast(ChangeFact, self._get(request))

    def renames(self, request: RenamesRequest) -> RenamesFact:
        return cast(RenamesFact, self._get(request))

    def moves(self, request: MovesRequest) -> MovesFact:
        return cast(MovesFact, self._get(request))

    def request_all(self, requests: Iterable[FactRequest]) -> bool:
        """Return whether all facts are available, and request those that are not."""
        complete = True
        for request in requests:
            key = key_for(request)
            if self._lookup(key, request) is None:
                self._request(key, request)
                complete = False
        return complete

    @property
    def pending(self) -> int:
        return len(self._pending)

    def compute_pending(self, progress: Callable[[int], None] | None = None) -> None:
        """Compute the pending facts."""
        requests, self._pending = list(self._pending.values()), {}
        self.rounds += 1
        for batch, facts in self._worker_pool.compute(requests):
            for request, fact in zip(batch, facts, strict=True):
                key = key_for(request)
                if fact.problem:  # missing objects may be fetched later: not stored
                    self.problems[key] = request
                    self._known[key] = fact
                else:  # decoded on use, which shares equal parts
                    self._store.put(key, encode(fact))
                    self._known.pop(key, None)  # a fact with less detail
            if progress:
                progress(len(batch))

    def _get(self, request: FactRequest) -> Fact:
        key = key_for(request)
        fact = self._lookup(key, request)
        if fact is None:
            self._request(key, request)
            raise FactPending
        return fact

    def _request(self, key: bytes, request: FactRequest) -> None:
        """Make a fact pending. Of two requests for one fact the more detailed one is kept."""
        if not (isinstance(request, ChangeRequest) and not request.code and key in self._pending):
            self._pending[key] = request

    def _lookup(self, key: bytes, request: FactRequest) -> Fact | None:
        fact = self._known.get(key)
        if fact is None:
            value = self._store.get(key)
            if value is None:
                return None
            try:
                fact = decode(request, value)
            except (ValueError, KeyError, IndexError, TypeError):
                return None
            self._known[key] = fact
        return fact if _satisfies(fact, request) else None


def _satisfies(fact: Fact, request: FactRequest) -> bool:
    """Return False if the request includes `code` and the fact was computed without it."""
    return not (
        isinstance(request, ChangeRequest) and request.code and cast(ChangeFact, fact).code is None and not fact.problem
    )
