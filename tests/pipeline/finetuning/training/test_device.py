from __future__ import annotations

import pytest
import torch

from pipeline.finetuning.training.device import (
    device_problem,
    limit_memory,
    peak_memory_mb,
    random_state,
    restore_random_state,
)

pytestmark = pytest.mark.finetune


def test_random_numbers_go_on_where_they_were() -> None:
    state = random_state("cpu")
    drawn = torch.rand(5)
    restore_random_state("cpu", state)
    assert torch.equal(torch.rand(5), drawn)


def test_a_run_that_began_on_a_gpu_goes_on_on_a_cpu() -> None:
    restore_random_state("cpu", random_state("cpu") | {"cuda": torch.zeros(16, dtype=torch.uint8)})


def test_a_cpu_is_neither_limited_nor_measured() -> None:
    limit_memory("cpu", 1.0)
    assert peak_memory_mb("cpu") is None


@pytest.mark.parametrize(
    ("total_gb", "limit_gb", "share"), [(80, 20, 0.25), (80, 200, 1.0), (80, None, None)], ids=["part", "more", "none"]
)
def test_a_limit_is_a_share_of_the_memory(
    monkeypatch: pytest.MonkeyPatch, total_gb: float, limit_gb: float | None, share: float | None
) -> None:
    class Properties:
        total_memory = int(total_gb * 1e9)

    set_to: list[float] = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda part, device: set_to.append(part))
    limit_memory("cuda:0", limit_gb)
    assert set_to == ([] if share is None else [share])


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("CUDA error: device-side assert triggered\nmore", True),
        ("NCCL error in: ../ProcessGroupNCCL.cpp, unhandled system error", True),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_a_gpu_that_is_gone_is_known_by_its_words(text: str, lost: bool) -> None:
    told = device_problem(RuntimeError(text))
    assert (told is not None) is lost
    if told is not None:
        assert str(told).startswith(f"the GPU was lost ({text.splitlines()[0]}): run the same command again")
        assert "\n" not in str(told)


def test_memory_that_is_full_outside_of_a_step_is_told() -> None:
    told = device_problem(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert str(told) == "out of memory: lower micro_batch_tokens or max_tokens, or choose a smaller base_model"
