"""A job killed as a machine kills it, at three moments, and run again: the scores are those of a job left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.finetuning.pair_file import save_pairs
from tests.builders.pair_sets import planted
from tests.builders.patience import PATIENCE_S
from tests.builders.tiny_model import tiny_decoder
from tests.flows.command import ROOT

pytestmark = pytest.mark.finetune

# Prints every event; where the moment has come it waits for its end.
JOB = """
import sys, time
from pathlib import Path
from pipeline.finetuning.training.finetune import finetune
from pipeline.finetuning.training.job import JobOptions
from pipeline.finetuning.pair_file import load_pairs
from pipeline.reports.curves import render_files
from tests.builders.pair_sets import quick

pairs, model, out, moment = sys.argv[1:]
seen = []

def watch(event):
    seen.append(type(event).__name__ + getattr(event, "phase", ""))
    if moment == f"{seen[-1]} {seen.count(seen[-1])}":
        print("now", flush=True)
        time.sleep(60)

options = JobOptions(out=Path(out), device="cpu", watch=watch, checkpoint_every_steps=2)
result = finetune(load_pairs(Path(pairs)), quick(Path(model), epochs=1), options, render_files)
print(result.runs[0].scores.tolist(), flush=True)
"""
COMMAND = """
import sys, typer
from bot.cli.errors import handled
from bot.cli.local.finetune import finetune
app = typer.Typer(add_completion=False)
app.command()(finetune)
command = typer.main.get_command(app)
def invoke():
    with command.make_context("assay finetune", sys.argv[1:]) as context:
        return command.invoke(context)
sys.exit(handled(invoke, sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    save_pairs(planted(), file)
    return file


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_decoder(tmp_path_factory.mktemp("model"))


def started(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def killed_at(moment: str, pairs: Path, model: Path, out: Path) -> None:
    child = started("-c", JOB, pairs, model, out, moment)
    assert child.stdout is not None
    assert child.stdout.readline() == "now\n", child.communicate()[1]
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=PATIENCE_S)


def scores(pairs: Path, model: Path, out: Path) -> Any:
    child = started("-c", JOB, pairs, model, out, "never")
    printed, errors = child.communicate(timeout=120)
    assert child.returncode == 0, errors
    return json.loads(printed)


def test_killed_at_three_moments_a_job_ends_with_the_scores_of_one_that_was_left_alone(
    pairs: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    for moment in ("PhaseStartedchoosing the steps 1", "TrainingStep 4", "PhaseStartedscoring the holdout 1"):
        killed_at(moment, pairs, model, out)
        assert [path.name for path in out.iterdir()] == [".job"]
    assert scores(pairs, model, out) == scores(pairs, model, tmp_path / "alone")
    assert sorted(path.name for path in out.iterdir()) == ["adapter-seed-1", "curves.png", "result.json"]
    results = [json.loads((folder / "result.json").read_text()) for folder in (out, tmp_path / "alone")]
    assert results[0]["rho_adapter"] == results[1]["rho_adapter"]
    assert results[0]["adapters"]["1"]["adapter.safetensors"] == results[1]["adapters"]["1"]["adapter.safetensors"]


def test_told_to_end_the_command_saves_and_says_how_to_go_on(pairs: Path, model: Path, tmp_path: Path) -> None:
    command = ("-c", COMMAND, "--pairs", pairs, "--out", tmp_path / "out")
    child = started(*command, "--base-model", model, "--seeds", "1", "--max-tokens", "96", "--json")
    assert child.stderr is not None
    lines: list[str] = []
    while "choosing the steps" not in (line := child.stderr.readline()):
        assert line, lines
        lines.append(line)
    child.send_signal(signal.SIGTERM)
    out, errors = child.communicate(timeout=PATIENCE_S)
    said = "stopped by SIGTERM; progress is saved: run the same command again to resume"
    assert child.returncode == 143
    assert errors.splitlines()[-1] == f"assay: {said}"
    assert json.loads(out) == {"error": said}
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".job"]
