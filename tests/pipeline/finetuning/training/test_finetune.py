"""Runs of a tiny model on pairs with a planted signal: they find what is there, and nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.finetuning.comparison import FROZEN
from pipeline.finetuning.events import JobEvent, PhaseStarted, Planned, SeedCompleted
from pipeline.finetuning.pair_set import PairSet
from pipeline.finetuning.ranker import ADAPTER, BLEND
from pipeline.finetuning.recipe import MAX_VALIDATED, FinetuneRecipe
from pipeline.finetuning.result import FinetuneResult
from pipeline.finetuning.result_assembly import NO_VALIDATION
from pipeline.finetuning.training.choose_steps import spearman, targets_of, validated_functions
from pipeline.finetuning.training.finetune import finetune, plan
from pipeline.finetuning.training.job import JobOptions
from pipeline.finetuning.training.loop import Stopped
from pipeline.records import AssayError
from pipeline.reports.curves import render_files
from pipeline.reports.finetune_json import finetune_json
from tests.builders.pair_sets import planted, quick
from tests.builders.tiny_model import tiny_decoder

pytestmark = pytest.mark.finetune


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_decoder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def done(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[FinetuneResult, Path, list[JobEvent]]:
    """Run one job from start to end."""
    out = tmp_path_factory.mktemp("jobs") / "done"
    events: list[JobEvent] = []
    return run(planted(), quick(model), out, watch=events.append), out, events


def run(pairs: PairSet, recipe: FinetuneRecipe, out: Path, **options: Any) -> FinetuneResult:
    return finetune(pairs, recipe, JobOptions(out=out, device="cpu", **options), render_files)


def rho(result: FinetuneResult, name: str = ADAPTER) -> float:
    row = result.judgement.row(name)
    assert row is not None
    assert row.quality.rho is not None
    return row.quality.rho


Done = tuple[FinetuneResult, Path, list[JobEvent]]


def test_a_planted_signal_is_found(done: Done) -> None:
    result, _, _ = done
    assert rho(result) > 0.5
    assert (result.judgement.outcome, result.counts, result.ended) == ("WIN", True, "")
    assert {row.name for row in result.judgement.rows} == {
        "baseline", ADAPTER, BLEND, FROZEN, "size", "decayed touches"
    }  # fmt: skip
    assert 0 < result.runs[0].fit.steps <= result.runs[0].fit.planned_steps
    assert result.runs[0].refit_steps == result.runs[0].fit.steps


def test_the_folder_holds_only_adapters_curves_and_the_result(done: Done) -> None:
    result, out, _ = done
    assert sorted(path.name for path in out.iterdir()) == ["adapter-seed-1", "curves.png", "result.json"]
    assert json.loads((out / "result.json").read_text()) == finetune_json(result)
    recorded = result.adapters[1]
    assert {path.name for path in (out / "adapter-seed-1").iterdir()} == recorded.keys()
    for name, digest in recorded.items():
        assert hashlib.sha256((out / "adapter-seed-1" / name).read_bytes()).hexdigest() == digest


def test_no_code_of_the_repository_is_in_what_is_written(done: Done) -> None:
    _, out, _ = done
    texts = [path.read_text() for path in out.rglob("*") if path.suffix in (".json", ".md")]
    assert len(texts) == 4
    assert not [text for text in texts if "unlock" in text or "train/m" in text]


def test_the_cost_is_announced_and_not_exceeded(done: Done) -> None:
    result, _, events = done
    assert isinstance(events[0], Planned)
    assert 0 < result.costs.training.tokens <= events[0].tokens
    phases = [event.phase for event in events if isinstance(event, PhaseStarted)]
    assert phases == ["choosing the steps", "training on all labels", "scoring the holdout"]
    assert [event for event in events if isinstance(event, SeedCompleted)] == [SeedCompleted(1, 1, 1, False)]


def test_a_plan_equals_what_the_job_announces(done: Done, model: Path) -> None:
    planned = plan(planted(), quick(model), "cpu")
    announced = done[2][0]
    assert isinstance(announced, Planned)
    assert dataclasses.replace(planned, minutes=None) == dataclasses.replace(announced, minutes=None)


def test_a_finished_job_is_not_repeated(done: Done, model: Path) -> None:
    with pytest.raises(AssayError, match="holds the result of a finished job"):
        run(planted(), quick(model), done[1])


@pytest.mark.parametrize("at", [6, 20])
def test_a_stopped_job_resumes_to_the_same_scores(done: Done, model: Path, tmp_path: Path, at: int) -> None:
    polls = count(1)
    with pytest.raises(Stopped, match="SIGTERM"):
        run(planted(), quick(model), tmp_path, stop=lambda: "SIGTERM" if next(polls) >= at else None)
    assert [path.name for path in tmp_path.iterdir()] == [".job"]
    again = run(planted(), quick(model), tmp_path)
    assert again.runs[0].scores.tolist() == done[0].runs[0].scores.tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter-seed-1", "curves.png", "result.json"]


def test_another_folder_resumes_from_checkpoints_kept_elsewhere(done: Done, model: Path, tmp_path: Path) -> None:
    kept, polls = f"file://{tmp_path}/kept", count(1)
    with pytest.raises(Stopped):
        run(
            planted(),
            quick(model),
            tmp_path / "here",
            checkpoints=kept,
            stop=lambda: "SIGTERM" if next(polls) >= 20 else None,
        )
    events: list[JobEvent] = []
    there = run(planted(), quick(model), tmp_path / "there", checkpoints=kept, watch=events.append)
    assert there.runs[0].scores.tolist() == done[0].runs[0].scores.tolist()
    assert "Resumed" in {type(event).__name__ for event in events}


def test_an_unfinished_job_of_another_recipe_is_refused_and_both_are_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        run(planted(), quick(model), tmp_path, stop=lambda: "SIGTERM")
    other = quick(model, learning_rate=0.02)
    with pytest.raises(AssayError) as refused:
        run(planted(), other, tmp_path)
    ids = (quick(model).recipe_id("0123456789ab"), other.recipe_id("0123456789ab"), planted().id[:12])
    assert [name in str(refused.value) for name in ids] == [True] * 3


def test_a_folder_with_other_files_is_refused_and_left_alone(model: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(AssayError, match="is not empty"):
        run(planted(), quick(model), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_nothing_is_learned_from_shuffled_labels_and_nothing_counts(model: Path, tmp_path: Path) -> None:
    """A model trained on noise still prefers some words to others, which happen to be culprits or not.

    So there are eight of each, and every deal is repeated with culprits and innocents swapped: an arbitrary preference
    then counts once for and once against.
    """
    recipe = quick(model, shuffled_labels=True, epochs=1, validations=1, seeds=(1, 2, 3))
    rhos = []
    for mirrored in (False, True):
        pairs = planted(train=400, words=8, mirrored=mirrored)
        result = run(pairs, recipe, tmp_path / str(mirrored))
        assert (result.judgement.outcome, result.control, result.counts) == ("INCONCLUSIVE", "shuffled labels", False)
        rhos += [spearman(seed.scores, pairs.labels) for seed in result.runs]
    assert len(rhos) == 6
    assert abs(np.mean([rho for rho in rhos if rho is not None])) < 0.2


@pytest.mark.parametrize("masked", ["code", "names"])
def test_a_signal_in_the_names_of_the_code_disappears_when_either_is_masked(
    model: Path, tmp_path: Path, masked: str
) -> None:
    result = run(planted(), quick(model, ablation=masked, epochs=1, validations=1), tmp_path)
    assert abs(rho(result)) < 0.2
    assert (result.control, result.counts) == (f"{masked} masked", False)


def test_without_a_late_fix_all_steps_are_taken_and_a_note_says_so(model: Path, tmp_path: Path) -> None:
    pairs = dataclasses.replace(planted(), late_credits=np.zeros(200))
    result = run(pairs, quick(model, epochs=1), tmp_path)
    assert NO_VALIDATION in result.notes
    assert (result.runs[0].fit.validations, result.runs[0].refit_steps > 1) == ((), True)


def ticking(seconds: float) -> Callable[[], float]:
    """Return a clock that every reading advances."""
    readings = count()
    return lambda: next(readings) * seconds


def test_a_time_limit_still_gives_a_result(model: Path, tmp_path: Path) -> None:
    recipe = quick(model, seeds=(1, 2, 3), max_minutes=1.0)
    result = run(planted(), recipe, tmp_path, clock=ticking(0.9))
    assert result.ended == "time limit"
    assert len(result.runs) < 3 or result.runs[0].shortened
    assert (tmp_path / "result.json").is_file()


def test_without_time_for_a_single_step_there_is_no_result(model: Path, tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="raise --max-minutes"):
        run(planted(), quick(model, max_minutes=0.01), tmp_path, clock=ticking(10.0))
    assert [path.name for path in tmp_path.iterdir()] == [".job"]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (planted(train=60, holdout=20), "60 functions to train on, at least 100 are needed"),
        (planted(train=120, holdout=20, share=0.05), "6 of 120 functions to train on were fixed, at least 10"),
    ],
)
def test_too_few_pairs_are_refused_before_a_model_is_loaded(pairs: PairSet, message: str, tmp_path: Path) -> None:
    with pytest.raises(AssayError, match=message):
        run(pairs, quick(tmp_path / "no model"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_model_leaves_nothing_half_written(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="--base-model"):
        run(planted(), quick(tmp_path / "no model"), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".job"]


def test_the_control_shuffles_the_labels_of_a_function_together_and_differently_for_each_seed(model: Path) -> None:
    pairs = planted()
    true = sorted(zip(pairs.signals, pairs.early_signals, pairs.late_credits, strict=True))
    one, two = (targets_of(pairs, quick(model, shuffled_labels=True), seed) for seed in (1, 2))
    assert sorted(zip(one.signals, one.early_signals, one.late_credits, strict=True)) == true
    assert (one.signals != pairs.signals).any()
    assert (one.signals != two.signals).any()
    assert targets_of(pairs, quick(model), 1).signals.tolist() == pairs.signals.tolist()


def test_many_functions_are_validated_by_a_sample_with_the_same_share_of_fixed_ones() -> None:
    late = np.where(np.arange(5_000) % 10 == 0, 1.0, 0.0)
    chosen = validated_functions(late)
    assert (len(chosen), len(set(chosen)), late[list(chosen)].sum()) == (MAX_VALIDATED, MAX_VALIDATED, 100)
    assert chosen == validated_functions(late)
    assert validated_functions(late[:40]) == tuple(range(40))
