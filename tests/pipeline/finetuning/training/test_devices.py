from __future__ import annotations

import pytest
import torch

from pipeline.finetuning.training.devices import base_precision, choose_device, is_out_of_memory
from pipeline.records import AssayError

pytestmark = pytest.mark.finetune


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """As if the machine had that many."""
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
def test_a_gpu_is_taken_where_there_is_one_unless_another_device_is_asked_for(wanted: str | None, chosen: str) -> None:
    assert choose_device(wanted) == chosen


@pytest.mark.parametrize(
    ("gpus", "wanted", "said"),
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
def test_a_device_that_is_missing_is_named_with_its_setting(wanted: str, said: str) -> None:
    with pytest.raises(AssayError, match=f"--device {wanted}: .*{said}"):
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
def test_memory_that_is_full_is_told_from_other_errors(error: RuntimeError, full: bool) -> None:
    assert is_out_of_memory(error) is full


def test_a_cpu_says_that_its_memory_is_full_in_the_words_that_are_looked_for() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)
