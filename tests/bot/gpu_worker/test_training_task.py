from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.gpu_worker.purposes import PURPOSES
from bot.gpu_worker.training_child import CREDENTIALS, child_environment, credentials_in
from bot.gpu_worker.training_process import _kind_of, _without_paths
from bot.gpu_worker.training_task import (
    Delivered,
    Failure,
    Stopped,
    TrainingTask,
    dump_line,
    dump_task,
    load_reply,
    load_task,
)
from bot.records import RunPurpose
from pipeline.finetuning.recipe import BaseModel, FinetuneRecipe
from pipeline.json_fields import Fields, MalformedError


def task(**changes: Any) -> TrainingTask:
    known: dict[str, Any] = {
        "purpose": "refit",
        "name": "17",
        "requested_at": "2026-11-05T12:00:00+00:00",
        "input_file": Path("/scratch/run/input.parquet"),
        "input_id": "a" * 64,
        "out": Path("/scratch/run/out"),
        "recipe": FinetuneRecipe(base_model=BaseModel("/models/tiny"), seeds=(1, 5), max_minutes=3),
        "device": "cuda:1",
        "worker_timeout_s": 12.5,
        "checkpoints_url": "s3://key:secret@bucket/checkpoints",
        "known_checkpoints": ("b" * 64, "c" * 64),
        "results_url": "s3://key:secret@bucket/done",
        "judged": {"run_id": "3"},
    }
    return TrainingTask(**known | changes)


@pytest.mark.parametrize("a_task", [task(), task(judged=None, known_checkpoints=(), refitted={"seeds": [1]})])
def test_a_task_round_trips(a_task: TrainingTask) -> None:
    line = dump_task(a_task)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert load_task(json.loads(line)) == a_task


def test_the_repr_of_a_task_hides_urls() -> None:
    assert "secret" not in repr(task())


def test_replies_are_parsed() -> None:
    cases: list[tuple[dict[str, Any], object]] = [
        ({"progress": {"phase": "x"}}, None),
        ({"checkpoint": "a" * 64}, None),
        ({"stopped": 1}, Stopped()),
        ({"failed": {"kind": "store", "sentence": "s", "detail": "d"}}, Failure("store", "s", "d")),
        ({"failed": {"kind": "bug", "sentence": "s", "detail": ""}}, Failure("bug", "s")),
        (
            {"done": {"result": {"n": 1}, "recipe_id": "r", "files": {"a/b": "c"}}},
            Delivered({"n": 1}, "r", {"a/b": "c"}),
        ),
    ]
    wrong = [
        (message, got, reply)
        for message, reply in cases
        if (got := load_reply(Fields(json.loads(dump_line(message)), "reply"))) != reply
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "message",
    [{"failed": {"kind": "fun", "sentence": "s", "detail": ""}}, {"done": {"result": 1}}, {"done": []}],
)
def test_malformed_replies_are_rejected(message: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        load_reply(Fields(message, "reply"))


def test_every_purpose_has_a_job() -> None:
    assert set(PURPOSES) == set(RunPurpose.__args__)  # type: ignore[attr-defined]


def test_errors_are_classified_by_their_first_words() -> None:
    assert _kind_of("the GPU was lost (CUDA error: x): run the same command again") == "device"
    assert _kind_of("out of memory: lower micro_batch_tokens") == "memory"
    assert _kind_of("too few pairs") == "input"


def test_paths_of_the_machine_are_removed_from_sentences() -> None:
    message = "/models/tiny holds no weights, and /scratch/run/out is full"
    assert _without_paths(message, task()) == "tiny holds no weights, and its folder/out is full"


def test_only_needed_variables_are_passed_to_the_child() -> None:
    passed = {"PATH": "/bin", "LC_ALL": "C", "AWS_SECRET_ACCESS_KEY": "k", "HF_TOKEN": "t", "CUDA_VISIBLE_DEVICES": "0"}
    withheld = dict.fromkeys(
        [*CREDENTIALS, "ASSAY_DATABASE_URL", "ASSAY_REDIS_URL", "ASSAY_ARTIFACTS_URL", "GITHUB_TOKEN", "GH_TOKEN",
         "PGPASSWORD", "SSH_AUTH_SOCK", "PYTHONPATH", "LD_PRELOAD", "XAWS_KEY", "AWS"], "x"
    )  # fmt: skip
    assert child_environment(passed | withheld) == passed


def test_app_credentials_in_the_environment_are_listed() -> None:
    assert credentials_in({"ASSAY_PRIVATE_KEY_FILE": "/key", "ASSAY_CLIENT_SECRET": "", "PATH": "/bin"}) == [
        "ASSAY_PRIVATE_KEY_FILE"
    ]
