from __future__ import annotations

from pathlib import Path

import pytest

from bot.cli import scorers
from bot.cli.scorers import AdapterFolder, parse_adapters, parse_base_model, parse_scorer, scorer_of
from pipeline.finetuning.recipe import BaseModel
from pipeline.ranking.baseline import Baseline
from pipeline.records import AssayError
from tests.bot.cli.adapters import Scored, adapter


def read(blob: str) -> bytes:
    raise AssertionError(f"{blob} was read")


def test_the_baseline_needs_no_folder() -> None:
    assert isinstance(scorer_of(parse_scorer("baseline"), read), Baseline)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none", "no such folder; give `baseline` or a folder with an adapter"),
        ("empty", "no adapter found; give the --out folder of a finished `assay finetune`"),
        ("file", "no such folder"),
    ],
)
def test_a_folder_without_an_adapter_is_refused_by_name(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(AssayError, match=rf"^--scorer .*/{name}: {words}"):
        parse_scorer(str(tmp_path / name))


def test_an_adapter_needs_the_libraries_of_fine_tuning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = adapter(tmp_path, monkeypatch)
    monkeypatch.setattr(scorers, "FOR_SCORING", ("json", "no_such_library", "nor_this"))
    with pytest.raises(AssayError, match=r"^--scorer .*: no_such_library is not installed: .* 'assay\[finetune\]'"):
        parse_scorer(str(folder))


@pytest.mark.parametrize("manifest", ["manifest.json", "adapter-seed-1/manifest.json"])
def test_adapter_folders_may_be_relative_and_of_one_seed_or_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manifest: str
) -> None:
    adapter(tmp_path, monkeypatch, manifest=manifest)
    monkeypatch.chdir(tmp_path)
    chosen = parse_scorer("adapter")
    assert chosen == AdapterFolder("adapter adapter", tmp_path / "adapter")
    assert isinstance(scorer_of(chosen, read), Scored)


def test_folders_are_deduplicated_and_the_baseline_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = adapter(tmp_path, monkeypatch)
    assert parse_adapters([]) == ()
    assert [chosen.path for chosen in parse_adapters([str(folder), "baseline", f"{folder}/"])] == [folder]


@pytest.mark.finetune
def test_a_damaged_adapter_is_refused_on_loading(tmp_path: Path) -> None:
    from pipeline.finetuning.adapter import MANIFEST
    from pipeline.finetuning.job_folder import adapter_folder

    (tmp_path / adapter_folder(1)).mkdir()
    (tmp_path / adapter_folder(1) / MANIFEST).write_text("{}")
    with pytest.raises(AssayError):
        scorer_of(parse_scorer(str(tmp_path)), read)


def test_a_base_model_is_pinned_or_a_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorers, "FOR_SCORING", ())
    assert parse_base_model(None) is None
    assert parse_base_model("./model") == BaseModel("./model")
    with pytest.raises(AssayError, match="is not a model that Assay pins"):
        parse_base_model("some/model")


def test_a_base_model_needs_the_libraries_of_fine_tuning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorers, "FOR_SCORING", ("no_such_library",))
    with pytest.raises(AssayError, match=r"^--base-model \./model: no_such_library is not installed"):
        parse_base_model("./model")
