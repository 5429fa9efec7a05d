"""Connected components: what hangs together, however long the chain."""

from __future__ import annotations

from collections.abc import Hashable, Iterable


class Components:
    """Numbers 0 to n − 1, each alone until joined."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def find(self, number: int) -> int:
        """The smallest number of its component."""
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.find(one), self.find(other)))
        self._parent[high] = low

    def join_equal(self, keys: Iterable[Hashable | None]) -> None:
        """Join the numbers whose keys are equal; none is equal to nothing. The i-th key is that of number i."""
        first: dict[Hashable, int] = {}
        for number, key in enumerate(keys):
            if key is not None:
                self.join(first.setdefault(key, number), number)

    def labels(self) -> list[int]:
        """The smallest number of each one's component."""
        return [self.find(number) for number in range(len(self._parent))]
