"""Connected components of a graph given by its edges (union-find)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable


class Components:
    """The components of the numbers 0 to n − 1, initially all separate."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def find(self, number: int) -> int:
        """Return the smallest number in the component of `number`."""
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number

    def join(self, one: int, other: int) -> None:
        """Merge the components of two numbers."""
        low, high = sorted((self.find(one), self.find(other)))
        self._parent[high] = low

    def join_equal(self, keys: Iterable[Hashable | None]) -> None:
        """Join the numbers with equal keys, where the i-th key belongs to number i; None equals nothing."""
        first: dict[Hashable, int] = {}
        for number, key in enumerate(keys):
            if key is not None:
                self.join(first.setdefault(key, number), number)

    def labels(self) -> list[int]:
        """Return the smallest number in the component of each number."""
        return [self.find(number) for number in range(len(self._parent))]
