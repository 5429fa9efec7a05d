"""Adapters that were trained once more rank the head of a later push, and no other files do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pipeline.finetuning.artifact_store import MissingError, open_store
from pipeline.finetuning.ranking_set import RankingSet
from pipeline.finetuning.refit_result import Refitted
from pipeline.finetuning.training.head_scores import average_of, score_head
from pipeline.finetuning.training.loop import Stopped
from pipeline.finetuning.training.refit import refit
from pipeline.records import AssayError
from pipeline.reports.refit_json import render_refit_files
from tests.builders.pair_sets import quick
from tests.builders.tiny_model import tiny_decoder
from tests.pipeline.finetuning.ranking_sets import judged, planted_ranking, told
from tests.pipeline.ranking.subjects import QUIET

pytestmark = pytest.mark.finetune

RANKING, _ = planted_ranking()


@pytest.fixture(scope="module")
def refitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Refitted, Path]:
    recipe = quick(tiny_decoder(tmp_path_factory.mktemp("model")), seeds=(1, 2))
    out = tmp_path_factory.mktemp("jobs") / "out"
    kept = judged(recipe, steps=6)
    return refit(RANKING, recipe, kept, out=out, device="cpu", files=render_refit_files), out


Kept = tuple[Refitted, Path]


def of_the_head(ranking: RankingSet) -> RankingSet:
    """As a push gathers it: nothing to train on."""
    return dataclasses.replace(ranking, train=(), signals=np.zeros(0), train_start=ranking.as_of)


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_the_head_is_scored_as_it_was_after_training(refitted: Kept, prefix: str) -> None:
    done, out = refitted
    scores = score_head(of_the_head(RANKING), open_store(f"{prefix}{out}"), done.record.hashes, device="cpu")
    assert scores.tolist() == done.scores.tolist()


def test_a_later_head_has_scores_for_its_own_functions(refitted: Kept) -> None:
    done, out = refitted
    later = dataclasses.replace(of_the_head(RANKING), head=RANKING.head[:40], subjects=told(RANKING.head[:40]))
    scores = score_head(later, open_store(out), done.record.hashes, device="cpu")
    assert scores.shape == (40,)
    assert len(set(scores.tolist())) > 20


def test_what_git_remembers_of_the_head_changes_no_score(refitted: Kept) -> None:
    done, out = refitted
    busy = [dataclasses.replace(QUIET, touches=9, decayed_touches=9.0, fixes=4, credit=3.0)] * len(RANKING.head)
    ranking = dataclasses.replace(RANKING, subjects=told(RANKING.head, busy))
    assert score_head(ranking, open_store(out), done.record.hashes, device="cpu").tolist() == done.scores.tolist()


def copied(out: Path, folder: Path) -> Path:
    for path in out.rglob("*"):
        if path.is_file():
            target = folder / path.relative_to(out)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("name", ["adapter.safetensors", "adapter.json", "README.md", "manifest.json"])
def test_an_adapter_with_a_changed_file_is_refused(refitted: Kept, tmp_path: Path, name: str) -> None:
    done, out = refitted
    path = copied(out, tmp_path) / "adapter-seed-2" / name
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(AssayError, match="its files are not the ones that were recorded"):
        score_head(RANKING, open_store(tmp_path), done.record.hashes, device="cpu")


def test_a_whole_adapter_in_place_of_another_is_refused(refitted: Kept, tmp_path: Path) -> None:
    done, out = refitted
    copied(out / "adapter-seed-1", copied(out, tmp_path) / "adapter-seed-2")
    with pytest.raises(AssayError, match="its files are not the ones that were recorded"):
        score_head(RANKING, open_store(tmp_path), done.record.hashes, device="cpu")


def test_an_adapter_that_is_gone_is_told(refitted: Kept, tmp_path: Path) -> None:
    done, _ = refitted
    with pytest.raises(MissingError, match="there is no such file"):
        score_head(RANKING, open_store(tmp_path), done.record.hashes, device="cpu")
    with pytest.raises(AssayError, match="no adapter is recorded there"):
        score_head(RANKING, open_store(tmp_path), {}, device="cpu")


def test_an_adapter_of_another_label_recipe_ranks_nothing(refitted: Kept) -> None:
    done, out = refitted
    other = dataclasses.replace(RANKING, label_recipe_id="ba9876543210")
    with pytest.raises(AssayError, match="learned labels of recipe 0123456789ab"):
        score_head(other, open_store(out), done.record.hashes, device="cpu")


def test_it_stops_when_it_is_told_to(refitted: Kept) -> None:
    done, out = refitted
    with pytest.raises(Stopped, match="cancelled"):
        score_head(RANKING, open_store(out), done.record.hashes, device="cpu", stop=lambda: "cancelled")


def test_a_score_that_is_no_number_is_not_ranked_by() -> None:
    with pytest.raises(AssayError, match="no score for 1 of 3 functions"):
        average_of([np.array([1.0, np.nan, 2.0]), np.array([1.0, 2.0, 3.0])])
    assert average_of([np.array([1.0, 3.0, 2.0])]).tolist() == pytest.approx([1 / 3, 1.0, 2 / 3])
