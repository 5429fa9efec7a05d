"""Which model a directory holds."""

from __future__ import annotations

from pathlib import Path

from pipeline.finetuning.model_digest import weights_digest


def model(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in {"model.safetensors": "weights", "config.json": "{}", **files}.items():
        (folder / name).write_text(text)
    return folder


def test_the_same_model_elsewhere_has_the_same_digest(tmp_path):
    assert weights_digest(model(tmp_path / "here")) == weights_digest(model(tmp_path / "there"))


def test_other_weights_or_another_configuration_change_the_digest(tmp_path):
    plain = weights_digest(model(tmp_path / "plain"))
    assert weights_digest(model(tmp_path / "weights", **{"model.safetensors": "others"})) != plain
    assert weights_digest(model(tmp_path / "config", **{"config.json": "[]"})) != plain
    assert weights_digest(model(tmp_path / "tokenizer", **{"tokenizer.json": "{}"})) != plain


def test_files_that_no_score_depends_on_do_not_affect_the_digest(tmp_path):
    assert weights_digest(model(tmp_path / "a", **{"README.md": "x"})) == weights_digest(model(tmp_path / "b"))


def test_a_folder_without_weights_has_no_digest(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert weights_digest(tmp_path) == ""
