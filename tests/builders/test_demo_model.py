"""The job of the demo, as it will be played: what lies in the code is found, and what does not is not."""

import dataclasses
from pathlib import Path

import pytest

from pipeline.finetuning.pair_set import PairSet, build_pair_set
from pipeline.finetuning.recipe import BaseModel, FinetuneRecipe
from pipeline.finetuning.result import FinetuneResult
from pipeline.finetuning.training.finetune import finetune
from pipeline.finetuning.training.job import JobOptions
from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES
from pipeline.mining.miner import Miner
from pipeline.ranking.dataset import build_dataset
from pipeline.ranking.outcome import decide_outcome
from pipeline.reports.curves import render_files
from tests.builders.demo_model import RECIPE, demo_model
from tests.builders.demo_story import BUSY, CarelessStory, build

pytestmark = pytest.mark.finetune


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> PairSet:
    return pairs_of(BUSY, tmp_path_factory.mktemp("busy"))


def pairs_of(story: CarelessStory, folder: Path) -> PairSet:
    repository = open_repository(build(story).write(folder / "history.git"))
    with Miner(repository, MESSAGES, folder / "facts", 1) as miner, repository.reader() as reader:

        def read(blob: str) -> bytes:
            return reader.blob(bytes.fromhex(blob), MESSAGES.most_file_bytes)

        return build_pair_set(miner, build_dataset(miner, MESSAGES, read), MESSAGES, read)


def job(pairs: PairSet, model: Path, out: Path, *, shuffled_labels: bool = False) -> FinetuneResult:
    recipe = FinetuneRecipe(base_model=BaseModel(str(model)), shuffled_labels=shuffled_labels, **RECIPE)
    return finetune(pairs, recipe, JobOptions(out=out, device="cpu"), render_files)


def would_be(result: FinetuneResult) -> str:
    """The outcome of the same figures, were the run no control."""
    rows = {row.name: row for row in result.judgement.rows}
    comparison = rows["adapter"].against_baseline
    assert comparison is not None
    return decide_outcome(
        n=result.judgement.n,
        positives=result.judgement.positives,
        rho_adapter=rows["adapter"].quality.rho,
        rho_baseline=rows["baseline"].quality.rho,
        win_share=comparison.win_share,
    ).outcome


def delta(result: FinetuneResult) -> float:
    found = next(row.against_baseline for row in result.judgement.rows if row.name == "adapter")
    assert found is not None
    assert found.delta is not None
    return found.delta


def test_what_lies_in_the_code_is_found_and_wins_by_far(busy: PairSet, model: Path, tmp_path: Path) -> None:
    result = job(busy, model, tmp_path)
    assert (result.judgement.outcome, would_be(result), result.counts) == ("WIN", "WIN", True)
    assert delta(result) > 0.1
    assert result.judgement.n >= 400
    assert result.judgement.positives >= 80
    assert len(result.runs) == 2


def test_from_shuffled_labels_there_is_no_win(busy: PairSet, model: Path, tmp_path: Path) -> None:
    """Not even by its figures: a control run never counts as an outcome, whatever they are."""
    result = job(busy, model, tmp_path, shuffled_labels=True)
    assert (result.judgement.outcome, result.control, result.counts) == ("INCONCLUSIVE", "shuffled labels", False)
    assert would_be(result) != "WIN"
    assert delta(result) < -0.05


@pytest.mark.parametrize("deal", [1])  # 2 and 3 end alike; each takes 25 s
def test_where_fixes_befall_functions_at_random_there_is_no_win(deal: int, model: Path, tmp_path: Path) -> None:
    pairs = pairs_of(dataclasses.replace(BUSY, dealt=deal), tmp_path / "mined")
    result = job(pairs, model, tmp_path / "out")
    assert result.judgement.outcome == "HARD LOSS"
    assert delta(result) < -0.1
