from __future__ import annotations

import pytest
import torch

from pipeline.finetuning.training.device import (
    base_precision,
    choose_device,
    device_problem,
    is_out_of_memory,
    limit_memory,
    peak_memory_mb,
    random_state,
    restore_random_state,
)
from pipeline.records import AssayError

pytestmark = pytest.mark.finetune


def test_random_numbers_continue_after_a_restore() -> None:
    state = random_state("cpu")
    drawn = torch.rand(5)
    restore_random_state("cpu", state)
    assert torch.equal(torch.rand(5), drawn)


def test_a_run_from_a_gpu_continues_on_a_cpu() -> None:
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
def test_a_lost_gpu_is_recognised_by_its_message(text: str, lost: bool) -> None:
    problem = device_problem(RuntimeError(text))
    assert (problem is not None) is lost
    if problem is not None:
        assert str(problem).startswith(f"the GPU was lost ({text.splitlines()[0]}): run the same command again")
        assert "\n" not in str(problem)


def test_a_full_memory_outside_of_a_step_is_reported() -> None:
    problem = device_problem(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert str(problem) == "out of memory: lower micro_batch_tokens or max_tokens, or choose a smaller base_model"


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Pretend that the machine has this many GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: request.param)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: request.param > 1)


@pytest.mark.parametrize(
    ("gpus", "wanted", "chosen"),
    [
        (0, None, "cpu"),
        (1, None, "cuda"),
        (0, "cpu", "cpu"),
        (1, "cpu", "cpu"),
        (2, "cuda:1", "cuda:1"),
        (1, "cuda", "cuda"),
    ],
    indirect=["gpus"],
)
@pytest.mark.usefixtures("gpus")
def test_a_gpu_is_the_default_if_there_is_one(wanted: str | None, chosen: str) -> None:
    assert choose_device(wanted) == chosen


@pytest.mark.parametrize(
    ("gpus", "wanted", "message"),
    [
        (0, "cuda", "no CUDA device"),
        (0, "cuda:0", "no CUDA"),
        (1, "cuda:1", "only 1"),
        (1, "tpu", "must be cpu"),
        (1, "cuda:x", "must be cpu"),
    ],
    indirect=["gpus"],
)
@pytest.mark.usefixtures("gpus")
def test_a_missing_device_is_named_with_its_setting(wanted: str, message: str) -> None:
    with pytest.raises(AssayError, match=f"--device {wanted}: .*{message}"):
        choose_device(wanted)


@pytest.mark.parametrize(
    ("gpus", "device", "precision"),
    [(2, "cuda", torch.bfloat16), (1, "cuda", torch.float32), (2, "cpu", torch.float32)],
    indirect=["gpus"],
)
@pytest.mark.usefixtures("gpus")
def test_a_base_is_bfloat16_only_on_a_gpu_that_computes_in_it(device: str, precision: torch.dtype) -> None:
    assert base_precision(device) == precision


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
            True,
        ),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error: RuntimeError, full: bool) -> None:
    assert is_out_of_memory(error) is full


def test_pytorch_still_words_cpu_memory_errors_as_expected() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)
