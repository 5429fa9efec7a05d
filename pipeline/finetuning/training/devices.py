"""Which device computes, in what precision, and how it says that its memory is full."""

from __future__ import annotations

import torch

from pipeline.records import AssayError


def choose_device(wanted: str | None) -> str:
    """The device asked for; if none, a GPU where there is one, else the CPU. Raises AssayError if it is missing."""
    if wanted is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cpu":
        return wanted
    kind, _, number = wanted.partition(":")
    if kind != "cuda" or (number and not number.isdecimal()):
        raise AssayError(f"--device {wanted}: it must be cpu, cuda or cuda:NUMBER")
    if not torch.cuda.is_available():
        raise AssayError(f"--device {wanted}: PyTorch sees no CUDA device here; --device cpu works, slowly")
    if number and int(number) >= torch.cuda.device_count():
        raise AssayError(f"--device {wanted}: there are only {torch.cuda.device_count()}, counted from 0")
    return wanted


def base_precision(device: str) -> torch.dtype:
    """Of the frozen weights and the matrix products: bfloat16 on a GPU that computes in it, else float32."""
    if torch.device(device).type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float32


def is_out_of_memory(error: RuntimeError) -> bool:
    """On a CPU it is a RuntimeError like any other, known by its text only."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
