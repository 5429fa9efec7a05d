"""What training asks of a GPU, and how little of it there is on a CPU: memory, random numbers, its loss."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.finetuning.training.devices import is_out_of_memory
from pipeline.records import AssayError


def limit_memory(device: str, limit_gb: float | None) -> None:
    """Let this process take no more of a GPU. On a CPU whoever starts the process has to limit it."""
    if limit_gb is None or _kind(device) != "cuda":
        return
    total_gb = torch.cuda.get_device_properties(torch.device(device)).total_memory / 1e9
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit_gb / total_gb), torch.device(device))


def peak_memory_mb(device: str) -> float | None:
    """Most that tensors took of a GPU since the process began, in 10^6 bytes; none on a CPU."""
    return torch.cuda.max_memory_allocated(torch.device(device)) / 1e6 if _kind(device) == "cuda" else None


def free_memory(device: str) -> None:
    """Give back what the allocator holds and no tensor needs."""
    if _kind(device) == "cuda":
        torch.cuda.empty_cache()


def random_state(device: str) -> dict[str, Tensor]:
    """Where the random numbers that dropout is drawn from stand, of the CPU and of the GPU: uint8, on the CPU."""
    state = {"cpu": torch.get_rng_state()}
    if _kind(device) == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(torch.device(device))
    return state


def restore_random_state(device: str, state: dict[str, Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if _kind(device) == "cuda" and "cuda" in state:  # not there where the run began on a CPU
        torch.cuda.set_rng_state(state["cuda"], torch.device(device))


def device_problem(error: RuntimeError) -> AssayError | None:
    """What to tell a person if the GPU, or the way to the other ones, is gone, or its memory is full; else none."""
    if is_out_of_memory(error):
        return AssayError("out of memory: lower micro_batch_tokens or max_tokens, or choose a smaller base_model")
    if any(words in str(error) for words in ("CUDA error", "NCCL error")):
        reason = str(error).partition("\n")[0]
        return AssayError(f"the GPU was lost ({reason}): run the same command again, it goes on from its checkpoint")
    return None


def _kind(device: str) -> str:
    return torch.device(device).type
