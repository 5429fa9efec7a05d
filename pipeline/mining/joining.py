"""Which function of a later snapshot is which one of an earlier one, along the very lineages that credit follows."""

from __future__ import annotations

from pipeline.mining.facts.cache import NotYet
from pipeline.mining.facts.lineage import Place
from pipeline.mining.snapshot import Snapshot, functions_of
from pipeline.mining.trace import ALIVE, Root, Tracer


class Joining:
    """Traces every function of `later` to `earlier`. Ask for `round` until it says that nothing is left."""

    def __init__(self, tracer: Tracer, earlier: Snapshot, later: Snapshot) -> None:
        self._tracer = tracer
        self._earlier = earlier
        self._later = later
        self._roots: dict[Place, Root | None] = {}
        self._left = list(functions_of(later))

    def round(self) -> bool:
        """Trace what can be with the facts known; True when nothing is left."""
        self._left = [place for place in self._left if not self._try(place)]
        return not self._left

    def _try(self, place: Place) -> bool:
        try:
            self._roots[place] = self._tracer.trace(*place, self._later.position)
        except NotYet:
            return False
        return True

    def read(self) -> tuple[int | None, ...]:
        """In the order of the later functions, the place of each among the earlier ones; None: born in between."""
        index = {place: i for i, place in enumerate(functions_of(self._earlier))}
        roots = (self._roots[place] for place in functions_of(self._later))
        return tuple(
            index[root.path, root.key] if root is not None and root.born_at == ALIVE else None for root in roots
        )
