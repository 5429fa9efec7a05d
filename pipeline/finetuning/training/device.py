"""Device helpers: choice and precision, memory limits, RNG state, and errors of a full or lost device."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.records import AssayError


def choose_device(wanted: str | None, threads: int | None = None) -> str:
    """Return the wanted device, or by default a GPU if there is one, else the CPU, limited to `threads`.

    Raises AssayError if the wanted device is missing.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if wanted is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cpu":
        return wanted
    kind, _, number = wanted.partition(":")
    if kind != "cuda" or (number and not number.isdecimal()):
        raise AssayError(f"--device {wanted}: must be cpu, cuda or cuda:NUMBER")
    if not torch.cuda.is_available():
        raise AssayError(f"--device {wanted}: PyTorch sees no CUDA device here; --device cpu works, slowly")
    if number and int(number) >= torch.cuda.device_count():
        raise AssayError(f"--device {wanted}: there are only {torch.cuda.device_count()}, counted from 0")
    return wanted


def device_name(device: str) -> str:
    """Return the name that the driver gives (`NVIDIA H200`), or for a CPU its number of threads."""
    if _is_cuda(device):
        return str(torch.cuda.get_device_name(torch.device(device)))
    return f"CPU ({torch.get_num_threads()} threads)"


def base_precision(device: str) -> torch.dtype:
    """Return the precision of frozen weights and matrix products: bfloat16 on GPUs that support it, else float32."""
    if _is_cuda(device) and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float32


def limit_memory(device: str, limit_gb: float | None) -> None:
    """Limit this process's share of GPU memory. On a CPU, limit the process from outside instead."""
    if limit_gb is None or not _is_cuda(device):
        return
    total_gb = torch.cuda.get_device_properties(torch.device(device)).total_memory / 1e9
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit_gb / total_gb), torch.device(device))


def peak_memory_mb(device: str) -> float | None:
    """Return the most GPU memory that tensors took since the process began, in 10^6 bytes; None on a CPU."""
    return torch.cuda.max_memory_allocated(torch.device(device)) / 1e6 if _is_cuda(device) else None


def free_memory(device: str) -> None:
    """Return cached memory that no tensor needs to the GPU."""
    if _is_cuda(device):
        torch.cuda.empty_cache()


def random_state(device: str) -> dict[str, Tensor]:
    """Return the RNG states that dropout draws from, of the CPU and the GPU: uint8, on the CPU."""
    state = {"cpu": torch.get_rng_state()}
    if _is_cuda(device):
        state["cuda"] = torch.cuda.get_rng_state(torch.device(device))
    return state


def restore_random_state(device: str, state: dict[str, Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if _is_cuda(device) and "cuda" in state:  # missing if the run began on a CPU
        torch.cuda.set_rng_state(state["cuda"], torch.device(device))


def is_out_of_memory(error: RuntimeError) -> bool:
    """Recognise out-of-memory errors; PyTorch has no error class of its own for the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def device_problem(error: RuntimeError) -> AssayError | None:
    """Return a message for a full memory, a lost GPU, or a lost connection between GPUs; None for other errors."""
    if is_out_of_memory(error):
        return AssayError("out of memory: lower micro_batch_tokens or max_tokens, or choose a smaller base_model")
    if any(words in str(error) for words in ("CUDA error", "NCCL error")):
        reason = str(error).partition("\n")[0]
        return AssayError(f"the GPU was lost ({reason}): run the same command again to continue from the checkpoint")
    return None


def _is_cuda(device: str) -> bool:
    return torch.device(device).type == "cuda"
