"""Adapters that were saved rank the functions of a repository, each as it scored them when it was trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from safetensors.torch import save

from pipeline.finetuning.adapter import save_adapter
from pipeline.finetuning.model_card import CardMetrics, Provenance
from pipeline.finetuning.prompts import Prompted
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.training.adapter_scorer import AdapterScorer
from pipeline.finetuning.training.load_model import load_model
from pipeline.finetuning.training.score import score
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.rank import rank_functions
from pipeline.ranking.scorer import Subject
from pipeline.ranking.statistics import rank_average
from pipeline.records import AssayError
from tests.builders.pair_sets import quick
from tests.builders.tiny_model import tiny_decoder
from tests.pipeline.ranking.subjects import subject

pytestmark = pytest.mark.finetune

BLOB = b"import x\n" + b"".join(b"def f%d(x):\n    return x.call%d()\n" % (i, i) for i in range(12))


def read(blob: str) -> bytes:
    assert blob == "0" * 40
    return BLOB


def subjects() -> list[Subject]:
    """Twelve functions of two lines, one after the other."""
    collected = []
    for number in range(12):
        known = subject("a.py", f"f{number}", lines=2)
        place = {"start_line": 2 + 2 * number, "end_line": 3 + 2 * number}
        fields = {name: getattr(known, name) for name in Subject.__dataclass_fields__}
        collected.append(Subject(**(fields | place)))
    return collected


def prompted(functions: Sequence[Subject]) -> list[Prompted]:
    lines = BLOB.decode().split("\n")
    return [
        Prompted(f.path, f.qualified_name, f.language, f.metrics, "\n".join(lines[f.start_line - 1 : f.end_line]))
        for f in functions
    ]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> FinetuneRecipe:
    return quick(tiny_decoder(tmp_path_factory.mktemp("model")), seeds=(1, 2), max_tokens=256)


@pytest.fixture(scope="module")
def own_scores(recipe: FinetuneRecipe) -> dict[int, Floats]:
    """What each adapter says when it stands in memory."""
    loaded = load_model(recipe, prompted(subjects()), (), "cpu")
    collected = {}
    for seed in recipe.seeds:
        loaded.ranker.reset(seed)
        collected[seed] = score(loaded.ranker, loaded.train, micro_batch_tokens=4_096, device="cpu")
    return collected


@pytest.fixture
def out(recipe: FinetuneRecipe, tmp_path: Path) -> Path:
    for seed in recipe.seeds:
        saved(tmp_path / f"adapter-seed-{seed}", recipe, seed)
    return tmp_path


def saved(folder: Path, recipe: FinetuneRecipe, seed: int, pair_set_id: str = "b" * 64) -> None:
    loaded = load_model(recipe, (), (), "cpu")
    loaded.ranker.reset(seed)
    tensors = save({name: tensor.detach().clone() for name, tensor in loaded.ranker.trainable().items()})
    origin = Provenance("shop", "a" * 40, pair_set_id, "0123456789ab", seed, 400)
    save_adapter(folder, tensors, recipe, origin, CardMetrics("WIN", 300, 60, ()))


def test_a_job_ranks_by_the_rank_average_of_its_seeds(out: Path, own_scores: dict[int, Floats]) -> None:
    scorer = AdapterScorer("adapter", out, read, "cpu")
    assert scorer.predict(subjects()).tolist() == rank_average(list(own_scores.values())).tolist()


def test_one_adapter_ranks_alone(out: Path, own_scores: dict[int, Floats]) -> None:
    scorer = AdapterScorer("adapter", out / "adapter-seed-2", read, "cpu")
    scorer.fit([], own_scores[2][:0])
    assert scorer.predict(subjects()).tolist() == rank_average([own_scores[2]]).tolist()


def test_an_adapter_ranks_functions_like_any_other_scorer(out: Path) -> None:
    scorer = AdapterScorer("adapter", out, read, "cpu")
    ranked = rank_functions(subjects(), scorer)
    assert [place.score for place in ranked] == sorted((place.score for place in ranked), reverse=True)
    assert scorer.predict([]).shape == (0,)


def test_adapters_of_two_jobs_in_one_folder_are_refused(out: Path, recipe: FinetuneRecipe) -> None:
    saved(out / "adapter-seed-3", recipe, 3, pair_set_id="c" * 64)
    with pytest.raises(AssayError, match="holds adapters of 2 jobs"):
        AdapterScorer("adapter", out, read, "cpu")


def test_a_folder_without_an_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="holds no adapter"):
        AdapterScorer("adapter", tmp_path, read, "cpu")
    with pytest.raises(AssayError, match="there is no folder"):
        AdapterScorer("adapter", tmp_path / "nothing", read, "cpu")


def test_a_changed_adapter_is_refused(out: Path) -> None:
    path = out / "adapter-seed-1" / "adapter.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(AssayError, match="damaged"):
        AdapterScorer("adapter", out, read, "cpu")
