"""Refits of a tiny model with a planted signal: they repeat the winning run and rank the head."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.finetuning.adapter import load_adapter
from pipeline.finetuning.events import (
    JobEvent,
    PhaseStarted,
    Planned,
    Resumed,
    SeedCompleted,
    TrainingStep,
)
from pipeline.finetuning.rank_by_adapter import rank_by, retrained_of
from pipeline.finetuning.ranking_set import RankingSet
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.result import RefitResult, SeedSteps
from pipeline.finetuning.training.job import JobOptions
from pipeline.finetuning.training.loop import Stopped
from pipeline.finetuning.training.refit import refit
from pipeline.records import AssayError
from pipeline.reports.finetune_json import load_refit, render_refit_files
from tests.builders.pair_sets import quick
from tests.builders.tiny_model import tiny_decoder
from tests.pipeline.finetuning.ranking_sets import planted_ranking, subjects_of, winner_of
from tests.pipeline.ranking.subjects import QUIET

pytestmark = pytest.mark.finetune

STEPS = 12
RANKING, GUILTY = planted_ranking()

Done = tuple[RefitResult, Path, list[JobEvent]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_decoder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def done(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Run one refit from start to end."""
    out = tmp_path_factory.mktemp("jobs") / "done"
    events: list[JobEvent] = []
    return run(quick(model), out, watch=events.append), out, events


def run(
    recipe: FinetuneRecipe, out: Path, ranking: RankingSet = RANKING, steps: int = STEPS, **options: Any
) -> RefitResult:
    winner = winner_of(recipe, steps=steps)
    return refit(ranking, recipe, winner, JobOptions(out=out, device="cpu", **options), render_refit_files)


def stopping(at: int) -> Callable[[], str | None]:
    polls = count(1)
    return lambda: "SIGTERM" if next(polls) >= at else None


def ticking(seconds: float) -> Callable[[], float]:
    """Return a clock that every reading advances."""
    readings = count()
    return lambda: next(readings) * seconds


def test_functions_with_the_planted_signal_rank_on_top(done: Done) -> None:
    refitted, _, _ = done
    top = np.argsort(-refitted.scores)[:20]
    assert GUILTY.mean() < 0.3
    assert GUILTY[top].mean() > 0.8
    shortlist = rank_by(RANKING, refitted.scores, "adapter", retrained_of(refitted.record))
    best = RANKING.head[int(top[0])]
    assert (shortlist.functions[0].path, shortlist.functions[0].qualified_name) == (best.path, best.qualified_name)
    assert (shortlist.scorer, shortlist.ranked_functions) == ("adapter", len(RANKING.head))


def rates_of(events: list[JobEvent]) -> list[float]:
    return [event.learning_rate for event in events if isinstance(event, TrainingStep)]


def test_the_steps_and_learning_rates_of_the_winning_run_are_repeated(done: Done, model: Path, tmp_path: Path) -> None:
    whole, events = rates_of(done[2]), list[JobEvent]()
    recipe = quick(model)
    winner = dataclasses.replace(winner_of(recipe), steps=(SeedSteps(1, steps=6, planned=STEPS),))
    refit(RANKING, recipe, winner, JobOptions(out=tmp_path, device="cpu", watch=events.append), render_refit_files)
    assert len(whole) == STEPS
    assert whole[-1] < 0.1 * max(whole)
    assert rates_of(events) == whole[:6]


def test_the_cost_and_the_phases_are_announced(done: Done) -> None:
    refitted, _, events = done
    planned = events[0]
    assert isinstance(planned, Planned)
    assert (planned.tokens, planned.seeds) == (refitted.record.tokens, 1)
    assert (planned.trained_on, planned.scored) == (len(RANKING.train), len(RANKING.head))
    phases = [event for event in events if isinstance(event, PhaseStarted | SeedCompleted)]
    assert phases == [
        PhaseStarted(1, 1, 1, "training on all labels"),
        PhaseStarted(1, 1, 1, "scoring the functions of the head"),
        SeedCompleted(1, 1, 1, False),
    ]


def test_the_record_describes_the_refit(done: Done) -> None:
    refitted, out, _ = done
    record = refitted.record
    assert sorted(path.name for path in out.iterdir()) == ["adapter-seed-1", "result.json"]
    assert load_refit(json.loads((out / "result.json").read_text())) == record
    assert (record.ranking_set_id, record.ended, record.judged.run_id) == (RANKING.id, "", "run-17")
    assert (record.trained_on, record.training_positives) == (200, int((RANKING.signals > 0).sum()))
    assert record.seconds > 0


def test_the_adapter_says_that_it_was_never_evaluated_itself(done: Done) -> None:
    refitted, out, _ = done
    adapter = load_adapter(out / "adapter-seed-1", refitted.record.hashes[1])
    assert adapter.provenance.refit is not None
    assert (adapter.provenance.refit.judged_by, adapter.provenance.refit.labels_until) == ("run-17", RANKING.as_of)
    assert adapter.provenance.pair_set_id == RANKING.id
    card = (out / "adapter-seed-1" / "README.md").read_text()
    assert (
        "**Retrained on all labels up to 2023-09-13; not evaluated itself.** The metrics are those of run `run-17`"
        in card
    )


def test_no_code_of_the_repository_is_in_what_is_written(done: Done) -> None:
    texts = [path.read_text() for path in done[1].rglob("*") if path.suffix in (".json", ".md")]
    assert len(texts) == 4
    assert not [text for text in texts if "unlock" in text or "holdout/m" in text]


def test_the_history_of_functions_does_not_affect_their_scores(done: Done, model: Path, tmp_path: Path) -> None:
    busy = [dataclasses.replace(QUIET, touches=9, decayed_touches=9.0, fixes=4, credit=3.0)] * len(RANKING.head)
    ranking = dataclasses.replace(RANKING, subjects=subjects_of(RANKING.head, busy))
    assert ranking.id != RANKING.id
    assert run(quick(model), tmp_path, ranking).scores.tolist() == done[0].scores.tolist()


@pytest.mark.parametrize("at", [2, 8, 15, 18])
def test_a_stopped_job_resumes_to_the_same_scores(done: Done, model: Path, tmp_path: Path, at: int) -> None:
    with pytest.raises(Stopped, match="SIGTERM"):
        run(quick(model), tmp_path, stop=stopping(at))
    assert [path.name for path in tmp_path.iterdir()] == [".job"]
    again = run(quick(model), tmp_path)
    assert again.scores.tolist() == done[0].scores.tolist()
    assert again.record.hashes[1]["adapter.safetensors"] == done[0].record.hashes[1]["adapter.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter-seed-1", "result.json"]


class Killed(BaseException):
    """The process is killed, without a chance to save anything."""


def test_a_killed_job_resumes_from_its_last_checkpoint_to_the_same_scores(
    done: Done, model: Path, tmp_path: Path
) -> None:
    def kill(event: JobEvent) -> None:
        if isinstance(event, TrainingStep) and event.step == 7:
            raise Killed

    with pytest.raises(Killed):
        run(quick(model), tmp_path, watch=kill, checkpoint_every_steps=2)
    events: list[JobEvent] = []
    again = run(quick(model), tmp_path, watch=events.append)
    assert [event for event in events if isinstance(event, Resumed)] == [Resumed(6)]
    assert again.scores.tolist() == done[0].scores.tolist()


def test_checkpoints_kept_elsewhere_let_another_machine_go_on(done: Done, model: Path, tmp_path: Path) -> None:
    kept = f"file://{tmp_path}/kept"
    with pytest.raises(Stopped):
        run(quick(model), tmp_path / "here", checkpoints=kept, stop=stopping(8))
    events: list[JobEvent] = []
    there = run(quick(model), tmp_path / "there", checkpoints=kept, watch=events.append)
    assert there.scores.tolist() == done[0].scores.tolist()
    assert [event for event in events if isinstance(event, Resumed)]
    assert not [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]


def test_a_forged_checkpoint_is_ignored(done: Done, model: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        run(quick(model), tmp_path, stop=stopping(8))
    events: list[JobEvent] = []
    again = run(quick(model), tmp_path, watch=events.append, known_checkpoints=())
    assert not [event for event in events if isinstance(event, Resumed)]
    assert again.scores.tolist() == done[0].scores.tolist()


def test_an_unfinished_job_with_other_steps_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        run(quick(model), tmp_path, stop=stopping(8))
    with pytest.raises(AssayError, match="takes 12 steps for seed 1 and this one takes 6: name another folder"):
        run(quick(model), tmp_path, steps=6)


def test_an_unfinished_job_of_another_head_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        run(quick(model), tmp_path, stop=stopping(8))
    with pytest.raises(AssayError, match="holds an unfinished job of set"):
        run(quick(model), tmp_path, dataclasses.replace(RANKING, head_sha="e" * 40))


def test_several_seeds_are_averaged_and_each_has_its_adapter(model: Path, tmp_path: Path) -> None:
    refitted = run(quick(model, seeds=(1, 2)), tmp_path, steps=6)
    assert sorted(refitted.record.hashes) == [1, 2]
    assert refitted.record.hashes[1]["adapter.safetensors"] != refitted.record.hashes[2]["adapter.safetensors"]
    assert ((refitted.scores > 0) & (refitted.scores <= 1)).all()


def test_only_the_seeds_of_the_winning_run_are_trained(model: Path, tmp_path: Path) -> None:
    recipe = quick(model, seeds=(1, 2, 3))
    winner = winner_of(recipe, steps=4)
    winner = dataclasses.replace(winner, steps=winner.steps[1:2])
    refitted = refit(RANKING, recipe, winner, JobOptions(out=tmp_path, device="cpu"), render_refit_files)
    assert (list(refitted.record.hashes), refitted.record.ended) == ([2], "")


def test_a_seed_cut_short_by_the_time_limit_counts_for_nothing_and_can_be_resumed(
    done: Done, model: Path, tmp_path: Path
) -> None:
    short = quick(model, max_minutes=1.0)
    with pytest.raises(AssayError, match="no seed was retrained within 1 minutes: allow more"):
        run(short, tmp_path, clock=ticking(2.0))
    assert [path.name for path in tmp_path.iterdir()] == [".job"]
    events: list[JobEvent] = []
    again = run(quick(model), tmp_path, watch=events.append)
    assert [event for event in events if isinstance(event, Resumed)]
    assert again.scores.tolist() == done[0].scores.tolist()


def test_with_time_for_one_seed_only_the_record_notes_the_missing_one(model: Path, tmp_path: Path) -> None:
    recipe = quick(model, seeds=(1, 2))
    looks = count()
    run(recipe, tmp_path / "measured", clock=lambda: float(next(looks)), steps=4)
    once = next(looks) / 2  # looks at the clock that one seed takes, and some
    limited = dataclasses.replace(recipe, max_minutes=1.5 * once / 60)
    refitted = run(limited, tmp_path / "limited", clock=ticking(1.0), steps=4)
    assert (list(refitted.record.hashes), refitted.record.ended) == ([1], "time limit")


def test_the_time_spent_by_an_earlier_process_counts(model: Path, tmp_path: Path) -> None:
    recipe, ends = quick(model, seeds=(1, 2)), list[JobEvent]()

    def watch(event: JobEvent) -> None:
        if isinstance(event, SeedCompleted):
            ends.append(event)

    with pytest.raises(Stopped):
        run(recipe, tmp_path, steps=4, clock=ticking(1.0), watch=watch, stop=lambda: "SIGTERM" if ends else None)
    first = json.loads((tmp_path / ".job" / "seed-1" / "done.json").read_text())
    spent_s = first["refit_work"]["seconds"] + first["scoring_seconds"]
    limited = dataclasses.replace(recipe, max_minutes=1.5 * spent_s / 60)
    refitted = run(limited, tmp_path, steps=4, clock=lambda: 0.0)
    assert (list(refitted.record.hashes), refitted.record.ended) == ([1], "time limit")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": RANKING.train[:60], "signals": RANKING.signals[:60]}, "60 at the start of the latest window"),
        ({"signals": np.zeros(200)}, "0 of 200 functions were fixed in the latest window"),
        ({"label_recipe_id": "ba9876543210"}, "the winning run used recipe"),
    ],
)
def test_an_impossible_refit_is_refused_before_a_model_is_loaded(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(AssayError, match=message):
        run(quick(tmp_path / "no model"), tmp_path / "out", dataclasses.replace(RANKING, **changes))
    assert not (tmp_path / "out").exists()
