from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import typer

from bot.cli.errors import handled
from bot.cli.local.finetune import finetune
from bot.cli.local.finetune_progress import ProgressLines, duration
from bot.cli.local.finetune_view import render
from bot.cli.output import print_result
from pipeline.finetuning.events import (
    MicroBatchHalved,
    PhaseStarted,
    Planned,
    Resumed,
    SeedCompleted,
    TrainingStep,
    Validated,
)
from pipeline.finetuning.pair_file import save_pairs
from pipeline.reports.finetune_json import finetune_json
from tests.builders import finetunings as build
from tests.builders.pair_sets import planted
from tests.pipeline.ranking.subjects import long_history
from tests.pipeline.ranking.test_dataset import BEFORE, HORIZON, TRAINING


def assay(*arguments: object) -> int:
    """The exit code of `assay finetune` with these arguments."""
    app = typer.Typer(add_completion=False)
    app.command()(finetune)
    command = typer.main.get_command(app)
    texts = [str(argument) for argument in arguments]

    def invoke() -> object:
        with command.make_context("assay finetune", list(texts)) as context:
            return command.invoke(context)

    return handled(invoke, texts)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    file = tmp_path / "pairs.parquet"
    save_pairs(planted(), file)
    return file


def test_invalid_options_are_usage_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    cases: list[tuple[list[str], str]] = [
        (["--out", "x"], "name a repository"),
        ([".", "--pairs", "p", "--out", "x"], "keep one"),
        (["--pairs", "p", "--as-of", "2024-01-01", "--out", "x"], "--as-of has no effect with --pairs"),
        (["."], "--out is missing"),
        ([".", "--out", "x", "--base-model", "gpt-9"], "'gpt-9' is not a model that Assay pins"),
        ([".", "--out", "x", "--base-model", "a/b", "--revision", "main"], "must be a commit hash"),
        ([".", "--out", "x", "--max-tokens", "7"], "max_tokens = 7: must be between 32 and"),
        ([".", "--out", "x", "--max-minutes", "0"], "max_minutes = 0"),
        ([".", "--out", "x", "--head", "words"], "'words'"),
        ([".", "--out", "x", "--as-of", "soon"], "--as-of 'soon' is not a date"),
    ]
    for arguments, message in cases:
        with subtests.test(arguments=arguments, message=message):
            monkeypatch.chdir(tmp_path)
            assert assay(*arguments) == 2
            assert message in capsys.readouterr().err
            assert list(tmp_path.iterdir()) == []


def test_a_missing_library_is_one_line_that_says_how_to_install_it(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else real(name))
    assert assay("--pairs", pairs, "--out", tmp_path / "out", "--json") == 1
    written = capsys.readouterr()
    line = "torch is not installed: install it with: pip install 'assay[finetune]' (in a checkout: "
    assert written.err.startswith(f"assay: {line}")
    assert json.loads(written.out)["error"].startswith(line)
    assert not (tmp_path / "out").exists()


@pytest.mark.finetune
def test_a_repository_with_too_little_to_learn_from_is_refused_with_what_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = long_history([*BEFORE, *TRAINING, *HORIZON]).write(tmp_path / "shop.git")
    kept = tmp_path / "kept.parquet"
    assert assay(repository, "--out", tmp_path / "out", "--save-pairs", kept, "--jobs", "1") == 1
    assert "functions to train on, at least 100 are needed" in capsys.readouterr().err
    assert kept.is_file()
    assert not (tmp_path / "out").exists()


@pytest.mark.finetune
def test_a_folder_that_is_not_empty_is_refused_before_anything_is_mined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert assay(tmp_path / "no repository", "--out", tmp_path) == 2
    assert "is not empty and holds no unfinished job" in capsys.readouterr().err


@pytest.mark.finetune
def test_a_missing_model_is_one_line(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "nothing"
    assert assay("--pairs", pairs, "--out", tmp_path / "out", "--base-model", model) == 1
    assert capsys.readouterr().err == f"assay: --base-model {model}: there is no such directory\n"


@pytest.mark.finetune
def test_a_dry_run_prints_the_cost_and_writes_nothing(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.builders.tiny_model import tiny_decoder

    model = tiny_decoder(tmp_path / "model")
    capsys.readouterr()
    options = ("--base-model", model, "--device", "cpu", "--dry-run", "--max-tokens", 64)
    assert assay("--pairs", pairs, "--out", tmp_path / "out", "--json", *options) == 0
    cost = json.loads(capsys.readouterr().out)
    assert (cost["trained_on"], cost["held_out"], cost["tokens"]) == (200, 210, 200 * 64 * 3 * 2 * 3)
    assert cost["words"].startswith("200 functions to train on, 210 held out, 3 seeds: at most 230,400 tokens")
    assert not (tmp_path / "out").exists()


@pytest.mark.finetune
def test_a_whole_job_prints_the_documented_fields_and_progress_goes_to_stderr(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.builders.tiny_model import tiny_decoder

    model = tiny_decoder(tmp_path / "model")
    capsys.readouterr()
    options = ("--base-model", model, "--seeds", 1, "--epochs", 1, "--max-tokens", 48, "--device", "cpu")
    assert assay("--pairs", pairs, "--out", tmp_path / "out", "--json", *options) == 0
    written = capsys.readouterr()
    result = json.loads(written.out)
    assert result == json.loads((tmp_path / "out" / "result.json").read_text()) | {"out": str(tmp_path / "out")}
    assert {"outcome", "rho_adapter", "rho_baseline", "scorers", "recipe_id", "gpu_seconds"} <= result.keys()
    lines = written.err.splitlines()
    assert lines[0].startswith("200 functions to train on")
    assert lines[1] == "seed 1 (1 of 1), choosing the steps"
    assert "validation ρ" in lines[2]
    assert assay("--pairs", pairs, "--out", tmp_path / "out", "--base-model", model) == 2
    assert "holds the result of a finished job" in capsys.readouterr().err


# -- text output


def shown(result: Any, capsys: pytest.CaptureFixture[str]) -> str:
    print_result(finetune_json(result) | {"out": "there"}, False, render)
    return capsys.readouterr().out


def test_the_text_shows_the_outcome_and_the_comparison_with_cheap_rankings(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(build.result(), capsys)
    assert "WIN: the adapter ranks this repository's functions better" in text
    assert "it beats the best cheap ranking, decayed touches (ρ 0." in text
    assert "it beats frozen embeddings + ridge (ρ 0." in text
    assert "300 held-out functions, 60 of them fixed by 2020-05-20" in text
    assert "28,000 tokens of training, 875 tokens/s, 3.4% padding; estimate: at most 2 min" in text


def test_the_text_shows_a_loss_and_a_job_cut_short(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(build.result(strength=-3.0, seeds=3, completed=1), capsys)
    assert "HARD LOSS: the adapter is worse than the baseline; use the ranking without a model" in text
    assert "it does not beat the best cheap ranking" in text
    assert "1 of 3 seeds were completed within the time limit" in text


def step(number: int, tokens: int) -> TrainingStep:
    return TrainingStep(number, 10, 0.5, 1.0, 1e-4, tokens, tokens / 100, 0.05, 2_048.0)


def test_progress_shows_step_loss_speed_and_time_left() -> None:
    lines = ProgressLines()
    plan = Planned(12_000, 3e12, 2.0, "NVIDIA H200", 400, 300, 2)
    assert lines.update(plan) == (
        "400 functions to train on, 300 held out, 2 seeds: at most 12,000 tokens, 3.0e+12 FLOPs, about 2 min on "
        "NVIDIA H200"
    )
    assert lines.update(PhaseStarted(7, 1, 2, "choosing the steps")) == "seed 7 (1 of 2), choosing the steps"
    assert lines.update(step(3, 6_000)) == ""
    assert lines.state() == "step 3/10, loss 0.500, validation ρ –, 100 tokens/s, at most 1 min left, 2.0 GB"
    assert lines.update(Validated(3, 0.25)) == f"seed 7 (1 of 2), choosing the steps: {lines.state()}"
    assert "validation ρ 0.250" in lines.state()
    lines.update(PhaseStarted(7, 1, 2, "training on all labels"))
    lines.update(step(1, 3_000))
    assert lines.state() == "step 1/10, loss 0.500, validation ρ –, 100 tokens/s, at most 30 s left, 2.0 GB"
    assert lines.update(Resumed(4)) == "seed 7 (1 of 2), training on all labels: resumed after step 4"
    assert lines.update(MicroBatchHalved(512)) == "out of memory: continuing with micro-batches of 512 tokens"
    assert lines.update(SeedCompleted(7, 1, 2, True)) == "seed 7 (1 of 2) is already done"


def test_durations_are_shown_in_a_fitting_unit() -> None:
    cases: list[tuple[float, str]] = [(0.0, "1 s"), (0.5, "30 s"), (1.4, "1 min"), (119, "119 min"), (180, "3.0 h")]
    wrong = [(value, got, text) for value, text in cases if (got := duration(value)) != text]
    assert wrong == []
