from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.gpu_worker.environment import CREDENTIALS, child_environment, credentials_in
from bot.gpu_worker.purposes import PURPOSES
from bot.gpu_worker.training_process import _kind_of, _without_places
from bot.gpu_worker.training_task import (
    Delivered,
    Failure,
    Halted,
    TrainingTask,
    dump_line,
    dump_order,
    load_answer,
    load_order,
)
from bot.records import RunPurpose
from pipeline.finetuning.recipe import BaseModel, FinetuneRecipe
from pipeline.json_fields import Fields, MalformedError


def order(**changes: Any) -> TrainingTask:
    known: dict[str, Any] = {
        "purpose": "refit",
        "name": "17",
        "asked_at": "2026-11-05T12:00:00+00:00",
        "input_file": Path("/scratch/run/input.parquet"),
        "input_id": "a" * 64,
        "out": Path("/scratch/run/out"),
        "recipe": FinetuneRecipe(base_model=BaseModel("/models/tiny"), seeds=(1, 5), max_minutes=3),
        "device": "cuda:1",
        "silent_s": 12.5,
        "checkpoints": "s3://key:secret@bucket/checkpoints",
        "known_checkpoints": ("b" * 64, "c" * 64),
        "done": "s3://key:secret@bucket/done",
        "judged": {"run_id": "3"},
    }
    return TrainingTask(**known | changes)


@pytest.mark.parametrize("one", [order(), order(judged=None, known_checkpoints=(), refitted={"seeds": [1]})])
def test_an_order_arrives_as_it_was_given(one: TrainingTask) -> None:
    line = dump_order(one)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert load_order(json.loads(line)) == one


def test_an_order_that_is_printed_shows_no_address_of_the_store() -> None:
    assert "secret" not in repr(order())


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ({"progress": {"phase": "x"}}, None),
        ({"checkpoint": "a" * 64}, None),
        ({"stopped": 1}, Halted()),
        ({"failed": {"kind": "store", "sentence": "s", "detail": "d"}}, Failure("store", "s", "d")),
        ({"failed": {"kind": "bug", "sentence": "s", "detail": ""}}, Failure("bug", "s")),
        (
            {"done": {"result": {"n": 1}, "recipe_id": "r", "files": {"a/b": "c"}}},
            Delivered({"n": 1}, "r", {"a/b": "c"}),
        ),
    ],
)
def test_an_answer_is_read(said: dict[str, Any], answer: object) -> None:
    assert load_answer(Fields(json.loads(dump_line(said)), "answer")) == answer


@pytest.mark.parametrize(
    "said",
    [{"failed": {"kind": "fun", "sentence": "s", "detail": ""}}, {"done": {"result": 1}}, {"done": []}],
)
def test_nonsense_is_no_answer(said: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        load_answer(Fields(said, "answer"))


def test_every_purpose_has_its_job() -> None:
    assert set(PURPOSES) == set(RunPurpose.__args__)  # type: ignore[attr-defined]


def test_what_is_said_of_a_lost_gpu_is_known_by_its_words() -> None:
    assert _kind_of("the GPU was lost (CUDA error: x): run the same command again") == "device"
    assert _kind_of("out of memory: lower micro_batch_tokens") == "memory"
    assert _kind_of("too few pairs") == "input"


def test_no_sentence_names_a_folder_of_the_machine() -> None:
    said = "/models/tiny holds no weights, and /scratch/run/out is full"
    assert _without_places(said, order()) == "tiny holds no weights, and its folder/out is full"


def test_only_what_is_needed_is_passed_on() -> None:
    passed = {"PATH": "/bin", "LC_ALL": "C", "AWS_SECRET_ACCESS_KEY": "k", "HF_TOKEN": "t", "CUDA_VISIBLE_DEVICES": "0"}
    withheld = dict.fromkeys(
        [*CREDENTIALS, "ASSAY_DATABASE_URL", "ASSAY_REDIS_URL", "ASSAY_ARTIFACTS_URL", "GITHUB_TOKEN", "GH_TOKEN",
         "PGPASSWORD", "SSH_AUTH_SOCK", "PYTHONPATH", "LD_PRELOAD", "XAWS_KEY", "AWS"], "x"
    )  # fmt: skip
    assert child_environment(passed | withheld) == passed


def test_credentials_of_the_app_are_named_where_they_are() -> None:
    assert credentials_in({"ASSAY_PRIVATE_KEY_FILE": "/key", "ASSAY_CLIENT_SECRET": "", "PATH": "/bin"}) == [
        "ASSAY_PRIVATE_KEY_FILE"
    ]
