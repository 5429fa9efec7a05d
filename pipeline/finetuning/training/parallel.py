"""Train in one process, or in several with one GPU each, as `accelerate launch` starts them.

Each process holds the whole model and computes its share of the micro-batches of a step. They exchange two sums: of the
scores, because the ranking loss compares functions across micro-batches, and of the gradients, which are small because
only the adapter has any. So every process takes the step that a single process would take, up to dropout and rounding.
The first process makes every decision, such as whether to stop.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from torch import Tensor
from torch.distributed import is_torchelastic_launched

T = TypeVar("T")


class Processes(Protocol):
    """The processes that train one adapter together, as seen by one of them."""

    share: int  # number of this process, from 0; only the first one writes and reports
    shares: int

    def total(self, tensor: Tensor) -> Tensor:
        """Return the sum over all processes."""
        ...

    def agree(self, value: T) -> T:
        """Return the first process's value; the others wait for it."""
        ...


class Alone:
    """A single process."""

    share = 0
    shares = 1

    def total(self, tensor: Tensor) -> Tensor:
        return tensor

    def agree(self, value: T) -> T:
        return value


class Accelerated:
    """One of several processes. If one dies, the launcher ends the others."""

    def __init__(self, *, cpu: bool = False) -> None:
        from accelerate import Accelerator  # slow to import, and most runs have one process
        from accelerate.utils import broadcast_object_list

        self._broadcast = broadcast_object_list
        self._accelerator = Accelerator(cpu=cpu)
        self.share: int = self._accelerator.process_index
        self.shares: int = self._accelerator.num_processes
        self.device = str(self._accelerator.device)  # assigned to this process

    def total(self, tensor: Tensor) -> Tensor:
        summed: Tensor = self._accelerator.reduce(tensor, reduction="sum")
        return summed

    def agree(self, value: T) -> T:
        values: list[Any] = [value]
        self._broadcast(values)
        agreed: T = values[0]
        return agreed


def processes() -> Processes:
    """Return the processes that this one was started with."""
    return Accelerated() if is_torchelastic_launched() else Alone()
