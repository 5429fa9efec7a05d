from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.finetuning.adapter import adapter_files, load_adapter, read_adapter, save_adapter
from pipeline.finetuning.model_card import CardMetrics, CardScore, Provenance, Refit
from pipeline.finetuning.recipe import BaseModel, FinetuneRecipe
from pipeline.records import AssayError

RECIPE = FinetuneRecipe(seeds=(1, 2), lora_dropout=0, learning_rate=1e-4)
PROVENANCE = Provenance(
    repo="example/shop",
    head_sha="a" * 40,
    pair_set_id="b" * 64,
    label_recipe_id="abc123abc123",
    seed=2,
    trained_on=1_234,
    repository_id=4_711,
    versions={"torch": "2.13.0", "assay": "0.1"},
)
METRICS = CardMetrics(
    "WIN", 400, 60, (CardScore("adapter", 0.31, 0.2, 0.4), CardScore("baseline", 0.25)), 0.06, 0.01, 0.11, 0.7
)


def safetensors(header: dict[str, Any], numbers: bytes) -> bytes:
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + numbers


def tensor(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


TENSORS = safetensors(
    {"__metadata__": {"format": "pt"}, "head.weight": tensor(16, 24, [2]), "lora.a": tensor(0, 16, [2, 4], "F16")},
    bytes(range(24)),
)


def saved(folder: Path) -> dict[str, str]:
    return save_adapter(folder, TENSORS, RECIPE, PROVENANCE, METRICS)


def test_an_adapter_round_trips(tmp_path: Path) -> None:
    hashes = saved(tmp_path / "out" / "seed-2")
    loaded = load_adapter(tmp_path / "out" / "seed-2", hashes)
    assert (loaded.recipe, loaded.provenance, loaded.metrics) == (RECIPE, PROVENANCE, METRICS)
    assert loaded.tensors == TENSORS
    assert loaded.hashes == hashes
    assert os.listdir(tmp_path / "out") == ["seed-2"]


def test_the_hashes_are_those_of_the_files(tmp_path: Path) -> None:
    hashes = saved(tmp_path / "adapter")
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "adapter").iterdir()}
    assert hashes == digests
    assert set(hashes) == {"adapter.safetensors", "adapter.json", "README.md", "manifest.json"}


def test_the_description_of_a_refitted_adapter_says_so() -> None:
    refit = Refit("run-17", "2023-09-14T08:00:00Z", "c" * 40, 1_694_608_000)
    files = adapter_files(TENSORS, RECIPE, dataclasses.replace(PROVENANCE, refit=refit), METRICS)
    assert json.loads(files["adapter.json"])["provenance"]["refit"]["judged_by"] == "run-17"
    assert read_adapter(files).provenance.refit == refit


def test_the_adapter_of_a_run_is_written_as_by_releases_without_refits() -> None:
    files = adapter_files(TENSORS, RECIPE, PROVENANCE, METRICS)
    assert "refit" not in json.loads(files["adapter.json"])["provenance"]
    assert read_adapter(files).provenance == PROVENANCE


def test_the_same_adapter_makes_the_same_files() -> None:
    files = [adapter_files(TENSORS, RECIPE, PROVENANCE, METRICS) for _ in range(2)]
    assert files[0] == files[1]


@pytest.mark.finetune
def test_the_safetensors_library_and_assay_read_each_other_s_files(tmp_path: Path) -> None:
    from safetensors import numpy

    saved(tmp_path / "adapter")
    tensors = numpy.load((tmp_path / "adapter" / "adapter.safetensors").read_bytes())
    assert sorted(tensors) == ["head.weight", "lora.a"]
    written = numpy.save({"b": tensors["head.weight"], "a": tensors["head.weight"]})
    assert read_adapter(adapter_files(written, RECIPE, PROVENANCE, METRICS)).tensors == written


def test_an_older_adapter_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    saved(tmp_path / "adapter")
    other = dataclasses.replace(PROVENANCE, seed=1)
    save_adapter(tmp_path / "adapter", TENSORS, RECIPE, other, METRICS)
    assert load_adapter(tmp_path / "adapter").provenance.seed == 1
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("dear")
    (tmp_path / "file").write_text("dear")
    (tmp_path / "link").symlink_to(tmp_path / "thesis")
    for name in ("thesis", "file", "link"):
        with pytest.raises(AssayError, match="exists and is not an adapter: name another folder"):
            saved(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["adapter", "file", "link", "thesis"]
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "dear"


@pytest.mark.parametrize("call", ["os.fsync", "os.replace"])
def test_a_failure_while_writing_leaves_the_old_adapter_and_nothing_else(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = saved(tmp_path / "adapter")
    calls = 0

    def fail(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if call == "os.fsync" or calls == 2:  # the second renaming, with the old one out of the way
            raise OSError(28, "No space left on device")
        rename(*arguments)

    rename = os.rename
    monkeypatch.setattr(call, fail)
    with pytest.raises(AssayError, match="No space left on device; free some space there"):
        save_adapter(tmp_path / "adapter", TENSORS, RECIPE, dataclasses.replace(PROVENANCE, seed=1), METRICS)
    monkeypatch.undo()
    assert load_adapter(tmp_path / "adapter", hashes).provenance.seed == 2
    assert os.listdir(tmp_path) == ["adapter"]


def test_a_folder_that_cannot_be_created_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AssayError, match=r"^cannot write the adapter to .*file/adapter': "):
        saved(tmp_path / "file" / "adapter")


class Sprung:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return (os.system, ("touch sprung",))


def rewritten(folder: Path, name: str, content: bytes) -> None:
    """Replace the content of a file and adjust the manifest."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest[name] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def described(folder: Path, **changes: Any) -> None:
    description = json.loads((folder / "adapter.json").read_text())
    rewritten(folder, "adapter.json", json.dumps(description | changes).encode())


def changed_recipe(folder: Path, **changes: Any) -> None:
    recipe = json.loads((folder / "adapter.json").read_text())["recipe"]
    described(folder, recipe=recipe | changes)


def linked(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    (folder.parent / "elsewhere").write_bytes(content)
    (folder / name).symlink_to(folder.parent / "elsewhere")


def piped(folder: Path) -> None:
    (folder / "README.md").unlink()
    os.mkfifo(folder / "README.md")


def climbing(folder: Path) -> None:
    (folder.parent / "elsewhere").write_bytes(b"x")
    rewritten(folder, "../elsewhere", b"x")


DAMAGE: list[tuple[Callable[[Path], Any], str]] = [
    (lambda f: (f / "adapter.safetensors").write_bytes(TENSORS[:-1]), "a file is damaged"),
    (lambda f: (f / "README.md").write_text("other"), "a file is damaged"),
    (lambda f: (f / "manifest.json").write_text("{}"), "a file is damaged"),
    (lambda f: (f / "manifest.json").write_bytes(b"\xff"), "cannot be read"),
    (lambda f: (f / "README.md").unlink(), "README.md is missing"),
    (lambda f: (f / "adapter_model.bin").write_bytes(pickle.dumps(Sprung())), "'adapter_model.bin' does not belong"),
    (lambda f: (f / "modeling.py").write_text("import os"), "'modeling.py' does not belong"),
    (lambda f: (f / "sub").mkdir(), "'sub' does not belong"),
    (lambda f: linked(f, "adapter.safetensors"), "adapter.safetensors is not a regular file"),
    (piped, "README.md is not a regular file"),
    (climbing, "a file is damaged"),
    (lambda f: rewritten(f, "adapter.safetensors", pickle.dumps(Sprung())), "cannot be read"),
    (lambda f: rewritten(f, "adapter.json", pickle.dumps(Sprung())), "cannot be read"),
    (lambda f: rewritten(f, "adapter.json", b"[" * 100_000), "cannot be read"),
    (lambda f: rewritten(f, "adapter.json", b"[]"), "cannot be read"),
    (lambda f: described(f, schema_version=2), r"format and prompt versions are \(2, 1\), not \(1, 1\)"),
    (lambda f: described(f, prompt_version=0), r"format and prompt versions are \(1, 0\), not \(1, 1\)"),
    (lambda f: described(f, more="than we know"), "cannot be read"),
    (lambda f: described(f, recipe_id="0" * 12), "does not match its id"),
    (lambda f: changed_recipe(f, lora_rank=8), "does not match its id"),
    (lambda f: changed_recipe(f, lora_rank="16"), "cannot be read"),
    (lambda f: changed_recipe(f, head="pickle"), "cannot be read"),
]


def test_anything_that_is_not_exactly_an_adapter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    for number, (damage, words) in enumerate(DAMAGE):
        with subtests.test(number=number, words=words), monkeypatch.context() as process:
            here = tmp_path / str(number)
            here.mkdir()
            process.chdir(here)
            saved(here / "adapter")
            damage(here / "adapter")
            complaint = f"is not a trusted adapter: .*{words}.*; fetch it again, or train another$"
            with pytest.raises(AssayError, match=complaint):
                load_adapter(here / "adapter")
            assert not (here / "sprung").exists()


def test_a_setting_out_of_range_is_named(tmp_path: Path) -> None:
    saved(tmp_path / "adapter")
    changed_recipe(tmp_path / "adapter", lora_rank=100_000)
    with pytest.raises(AssayError, match="lora_rank = 100000: must be between"):
        load_adapter(tmp_path / "adapter")


def test_another_adapter_in_its_place_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    hashes = saved(tmp_path / "adapter")
    save_adapter(tmp_path / "adapter", TENSORS, RECIPE, dataclasses.replace(PROVENANCE, seed=1), METRICS)
    with pytest.raises(AssayError, match="its files do not match the recorded hashes"):
        load_adapter(tmp_path / "adapter", hashes)
    (tmp_path / "adapter" / "adapter.json").write_bytes(b"[" * 100_000)
    with pytest.raises(AssayError, match="its files do not match the recorded hashes"):
        load_adapter(tmp_path / "adapter", hashes)


def test_an_adapter_with_only_some_hashes_recorded_is_not_trusted(tmp_path: Path) -> None:
    hashes = saved(tmp_path / "adapter")
    del hashes["adapter.json"]
    with pytest.raises(AssayError, match="do not match the recorded hashes"):
        load_adapter(tmp_path / "adapter", hashes)


def test_the_base_model_is_the_one_of_the_recipe(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, base_model=BaseModel("./models/tiny"))
    save_adapter(tmp_path / "adapter", TENSORS, recipe, PROVENANCE, METRICS)
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "evil/model"}))
    with pytest.raises(AssayError, match=r"'adapter_config\.json' does not belong there"):
        load_adapter(tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_config.json").unlink()
    assert load_adapter(tmp_path / "adapter").recipe.base_model == BaseModel("./models/tiny")


def test_a_missing_folder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match=r"^cannot read the adapter in .*none': No such file or directory$"):
        load_adapter(tmp_path / "none")


def test_tensors_that_are_not_safetensors_are_refused(tmp_path: Path, subtests: pytest.Subtests) -> None:
    cases: list[bytes] = [
        b"",
        b"\0" * 8,
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 2) + b"{}",
        safetensors({"a": tensor(0, 8, [2])}, b"\0" * 9),
        safetensors({"a": tensor(0, 8, [2])}, b"\0" * 7),
        safetensors({"a": tensor(1, 9, [2])}, b"\0" * 9),
        safetensors({"a": tensor(0, 8, [3])}, b"\0" * 8),
        safetensors({"a": tensor(0, 8, [2]), "b": tensor(4, 12, [2])}, b"\0" * 12),
        safetensors({"a": tensor(0, 8, [-1, -2])}, b"\0" * 8),
        safetensors({"a": tensor(0, 8, [8], "OBJECT")}, b"\0" * 8),
        safetensors({"a": {"dtype": "F32"}}, b"\0" * 8),
        safetensors({"a": 1}, b"\0" * 8),
        pickle.dumps({"a": 1}),
    ]
    for number, content in enumerate(cases):
        with subtests.test(content=content):
            adapter = tmp_path / str(number)
            saved(adapter)
            rewritten(adapter, "adapter.safetensors", content)
            with pytest.raises(AssayError, match="cannot be read"):
                load_adapter(adapter)


def test_a_metric_that_is_not_finite_is_a_programming_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_adapter(tmp_path / "a", TENSORS, RECIPE, PROVENANCE, dataclasses.replace(METRICS, delta=float("nan")))
    assert os.listdir(tmp_path) == []


FILES = adapter_files(TENSORS, RECIPE, PROVENANCE, METRICS)


@settings(deadline=None)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_a_flipped_bit_is_always_detected(name: str, data: st.DataObject) -> None:
    content = bytearray(FILES[name])
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(AssayError):
        read_adapter(FILES | {name: bytes(content)})
