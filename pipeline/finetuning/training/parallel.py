"""One process or several, one a GPU, as `accelerate launch` starts them.

Each process holds the whole model and computes its share of the micro-batches of a step. Two sums make them one: of the
scores, because the ranking loss compares functions across micro-batches, and of the gradients, which are small, since
only the adapter has any. So every process takes the same step as one process alone would, but for dropout and rounding.
What is decided (go on? which ρ?) the first process decides.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from torch import Tensor
from torch.distributed import is_torchelastic_launched

T = TypeVar("T")


class Processes(Protocol):
    """Those that train one adapter together, as one of them sees it."""

    share: int  # the number of this one, from 0; the first one alone writes and reports
    shares: int

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over all processes."""
        ...

    def agree(self, value: T) -> T:
        """What the first process says; the others wait for it."""
        ...


class Alone:
    """One process: nothing to add up, nobody to ask."""

    share = 0
    shares = 1

    def total(self, tensor: Tensor) -> Tensor:
        return tensor

    def agree(self, value: T) -> T:
        return value


class Accelerated:
    """One of several processes. Where one of them dies the launcher ends the others."""

    def __init__(self, *, cpu: bool = False) -> None:
        from accelerate import Accelerator  # most runs are alone and need not load it
        from accelerate.utils import broadcast_object_list

        self._broadcast = broadcast_object_list
        self._accelerator = Accelerator(cpu=cpu)
        self.share: int = self._accelerator.process_index
        self.shares: int = self._accelerator.num_processes
        self.device = str(self._accelerator.device)  # the one that this process has to use

    def total(self, tensor: Tensor) -> Tensor:
        summed: Tensor = self._accelerator.reduce(tensor, reduction="sum")
        return summed

    def agree(self, value: T) -> T:
        values: list[Any] = [value]
        self._broadcast(values)
        agreed: T = values[0]
        return agreed


def processes() -> Processes:
    """Those that this process was started with."""
    return Accelerated() if is_torchelastic_launched() else Alone()
