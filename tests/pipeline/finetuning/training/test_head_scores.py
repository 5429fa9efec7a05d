"""The adapters of a refit rank the head of a later push, and no other files do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pipeline.finetuning.artifact_store import MissingError, open_store
from pipeline.finetuning.ranking_set import RankingSet
from pipeline.finetuning.result import RefitResult
from pipeline.finetuning.training.head_scores import average_of, score_head
from pipeline.finetuning.training.job import JobOptions
from pipeline.finetuning.training.loop import Stopped
from pipeline.finetuning.training.refit import refit
from pipeline.records import AssayError
from pipeline.reports.finetune_json import render_refit_files
from tests.builders.pair_sets import quick
from tests.builders.tiny_model import tiny_decoder
from tests.pipeline.finetuning.ranking_sets import planted_ranking, subjects_of, winner_of
from tests.pipeline.ranking.subjects import QUIET

pytestmark = pytest.mark.finetune

RANKING, _ = planted_ranking()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[RefitResult, Path]:
    recipe = quick(tiny_decoder(tmp_path_factory.mktemp("model")), seeds=(1, 2))
    out = tmp_path_factory.mktemp("jobs") / "out"
    winner = winner_of(recipe, steps=6)
    return refit(RANKING, recipe, winner, JobOptions(out=out, device="cpu"), render_refit_files), out


Finished = tuple[RefitResult, Path]


def of_the_head(ranking: RankingSet) -> RankingSet:
    """Return the set as built for a push: nothing to train on."""
    return dataclasses.replace(ranking, train=(), signals=np.zeros(0), train_start=ranking.as_of)


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_the_head_is_scored_as_it_was_after_training(finished: Finished, prefix: str) -> None:
    result, out = finished
    scores = score_head(of_the_head(RANKING), open_store(f"{prefix}{out}"), result.record.hashes, device="cpu")
    assert scores.tolist() == result.scores.tolist()


def test_the_functions_of_a_later_head_are_scored(finished: Finished) -> None:
    result, out = finished
    later = dataclasses.replace(of_the_head(RANKING), head=RANKING.head[:40], subjects=subjects_of(RANKING.head[:40]))
    scores = score_head(later, open_store(out), result.record.hashes, device="cpu")
    assert scores.shape == (40,)
    assert len(set(scores.tolist())) > 20


def test_the_history_of_functions_does_not_affect_their_scores(finished: Finished) -> None:
    result, out = finished
    busy = [dataclasses.replace(QUIET, touches=9, decayed_touches=9.0, fixes=4, credit=3.0)] * len(RANKING.head)
    ranking = dataclasses.replace(RANKING, subjects=subjects_of(RANKING.head, busy))
    assert score_head(ranking, open_store(out), result.record.hashes, device="cpu").tolist() == result.scores.tolist()


def copied(out: Path, folder: Path) -> Path:
    for path in out.rglob("*"):
        if path.is_file():
            target = folder / path.relative_to(out)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("name", ["adapter.safetensors", "adapter.json", "README.md", "manifest.json"])
def test_an_adapter_with_a_changed_file_is_refused(finished: Finished, tmp_path: Path, name: str) -> None:
    result, out = finished
    path = copied(out, tmp_path) / "adapter-seed-2" / name
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(AssayError, match="its files do not match the recorded hashes"):
        score_head(RANKING, open_store(tmp_path), result.record.hashes, device="cpu")


def test_a_whole_adapter_in_place_of_another_is_refused(finished: Finished, tmp_path: Path) -> None:
    result, out = finished
    copied(out / "adapter-seed-1", copied(out, tmp_path) / "adapter-seed-2")
    with pytest.raises(AssayError, match="its files do not match the recorded hashes"):
        score_head(RANKING, open_store(tmp_path), result.record.hashes, device="cpu")


def test_a_missing_adapter_is_an_error(finished: Finished, tmp_path: Path) -> None:
    result, _ = finished
    with pytest.raises(MissingError, match="no such file"):
        score_head(RANKING, open_store(tmp_path), result.record.hashes, device="cpu")
    with pytest.raises(AssayError, match="no adapter is recorded there"):
        score_head(RANKING, open_store(tmp_path), {}, device="cpu")


def test_an_adapter_of_another_label_recipe_is_refused(finished: Finished) -> None:
    result, out = finished
    other = dataclasses.replace(RANKING, label_recipe_id="ba9876543210")
    with pytest.raises(AssayError, match="learned labels of recipe 0123456789ab"):
        score_head(other, open_store(out), result.record.hashes, device="cpu")


def test_scoring_can_be_stopped(finished: Finished) -> None:
    result, out = finished
    with pytest.raises(Stopped, match="cancelled"):
        score_head(RANKING, open_store(out), result.record.hashes, device="cpu", stop=lambda: "cancelled")


def test_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(AssayError, match="no score for 1 of 3 functions"):
        average_of([np.array([1.0, np.nan, 2.0]), np.array([1.0, 2.0, 3.0])])
    assert average_of([np.array([1.0, 3.0, 2.0])]).tolist() == pytest.approx([1 / 3, 1.0, 2 / 3])
