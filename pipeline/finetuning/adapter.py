"""An adapter as a directory: four files, each with a known SHA-256, none of them able to run anything.

    adapter.safetensors   LoRA matrices and head
    adapter.json          recipe (with the base model and its revision), provenance, metrics
    README.md             the model card
    manifest.json         SHA-256 of the other three

The base model is the one of our own recipe. A directory with anything else in it is refused, not searched.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import typed_json
from pipeline.finetuning.model_card import CardMetrics, Provenance, render_model_card
from pipeline.finetuning.recipe import PROMPT_VERSION, FinetuneRecipe
from pipeline.records import AssayError

SCHEMA_VERSION = 1

TENSORS, DESCRIPTION, CARD, MANIFEST = "adapter.safetensors", "adapter.json", "README.md", "manifest.json"
_MOST_BYTES = {TENSORS: 8 << 30, DESCRIPTION: 1 << 20, CARD: 1 << 20, MANIFEST: 1 << 16}
_LONGEST_HEADER = 64 << 20
_DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True, slots=True)
class LoadedAdapter:
    """What a directory holds, checked."""

    recipe: FinetuneRecipe
    provenance: Provenance
    metrics: CardMetrics
    tensors: bytes  # safetensors
    hashes: Mapping[str, str]  # file -> SHA-256, 64 hexadecimal digits


@dataclass(frozen=True, slots=True)
class _Description:
    schema_version: int
    prompt_version: int
    recipe: FinetuneRecipe
    recipe_id: str
    provenance: Provenance
    metrics: CardMetrics


def save_adapter(
    folder: Path, tensors: bytes, recipe: FinetuneRecipe, provenance: Provenance, metrics: CardMetrics
) -> dict[str, str]:
    """Write the directory whole or not at all, in place of an older adapter; returns the SHA-256 of each file.

    `tensors` is safetensors. Raises AssayError where it cannot be written, or where something else is in the way.
    """
    files = adapter_files(tensors, recipe, provenance, metrics)
    unfinished = folder.parent / f".{folder.name}-{os.getpid()}-{secrets.token_hex(4)}.part"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished.mkdir()
        for name, content in files.items():
            _write_synced(unfinished / name, content)
        _put_in_place(unfinished, folder)
    except OSError as error:
        raise AssayError(f"cannot write the adapter to {str(folder)!r}: {error.strerror}; make room there") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return {name: _sha256(content) for name, content in files.items()}


def load_adapter(folder: Path, expected: Mapping[str, str] | None = None) -> LoadedAdapter:
    """Read a directory of `save_adapter`; its tensors are checked, and left to whoever knows tensors.

    `expected` are the hashes that `save_adapter` returned, from wherever the caller keeps them: only they tell an
    adapter from another one. Raises AssayError for anything that is not exactly such a directory.
    """
    return read_adapter(_read_folder(folder), expected, str(folder))


def adapter_files(
    tensors: bytes, recipe: FinetuneRecipe, provenance: Provenance, metrics: CardMetrics
) -> dict[str, bytes]:
    """The files of an adapter by name. Raises ValueError for tensors that are no safetensors, or a metric of NaN."""
    _check_tensors(tensors)
    recipe_id = recipe.recipe_id(provenance.label_recipe_id)
    description = _Description(SCHEMA_VERSION, PROMPT_VERSION, recipe, recipe_id, provenance, metrics)
    files = {
        TENSORS: tensors,
        DESCRIPTION: typed_json.dumps(_described(description)),
        CARD: render_model_card(recipe, provenance, metrics).encode("utf-8", "replace"),
    }
    return files | {MANIFEST: typed_json.dumps({name: _sha256(content) for name, content in files.items()})}


def read_adapter(
    files: Mapping[str, bytes], expected: Mapping[str, str] | None = None, where: str = "adapter"
) -> LoadedAdapter:
    """The adapter of these files, hashes first. Raises AssayError; `where` is what it calls the adapter."""
    if files.keys() != _MOST_BYTES.keys():
        strange, missing = sorted(files.keys() - _MOST_BYTES.keys()), sorted(_MOST_BYTES.keys() - files.keys())
        raise _refused(where, f"{strange[0]!r} does not belong there" if strange else f"{missing[0]} is missing")
    hashes = {name: _sha256(content) for name, content in files.items()}
    if expected is not None and dict(expected) != hashes:
        raise _refused(where, "its files are not the ones that were recorded")
    with _explained(where):
        if typed_json.loads(files[MANIFEST]) != {name: hashes[name] for name in hashes if name != MANIFEST}:
            raise _refused(where, "a file is damaged, it has not the SHA-256 of manifest.json")
        described = typed_json.loads(files[DESCRIPTION])
        versions = (described["schema_version"], described["prompt_version"])
        if versions != (SCHEMA_VERSION, PROMPT_VERSION):
            raise _refused(where, f"format and prompt {versions} are not {(SCHEMA_VERSION, PROMPT_VERSION)}")
        description = typed_json.parse(_Description, _completed(described))
        if description.recipe_id != description.recipe.recipe_id(description.provenance.label_recipe_id):
            raise _refused(where, "its recipe is not the one of its id")
        _check_tensors(files[TENSORS])
    return LoadedAdapter(description.recipe, description.provenance, description.metrics, files[TENSORS], hashes)


def _described(description: _Description) -> dict[str, Any]:
    """Of an adapter that was judged itself the same bytes as before there were others."""
    described = dataclasses.asdict(description)
    if description.provenance.refit is None:
        del described["provenance"]["refit"]
    return described


def _completed(described: dict[str, Any]) -> dict[str, Any]:
    return described | {"provenance": {"refit": None, **described["provenance"]}}


def _read_folder(folder: Path) -> dict[str, bytes]:
    try:
        names = sorted(os.listdir(folder))
        strange = [name for name in names if name not in _MOST_BYTES]
        if strange:
            raise _refused(str(folder), f"{strange[0]!r} does not belong there")
        return {name: _read_file(folder, name) for name in names}
    except OSError as error:
        raise AssayError(f"cannot read the adapter in {str(folder)!r}: {error.strerror}") from error


def _read_file(folder: Path, name: str) -> bytes:
    """A regular file, and no link to one."""
    if not stat.S_ISREG((folder / name).lstat().st_mode):
        raise _refused(str(folder), f"{name} is not a file")
    opened = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(opened, "rb") as file:
        content = file.read(_MOST_BYTES[name] + 1)
    if len(content) > _MOST_BYTES[name]:
        raise _refused(str(folder), f"{name} is too large")
    return content


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _put_in_place(unfinished: Path, folder: Path) -> None:
    """Two renames where there is an older adapter: a crash between them leaves both whole under other names."""
    if not os.path.lexists(folder):
        os.replace(unfinished, folder)
        return
    if folder.is_symlink() or not folder.is_dir() or not set(os.listdir(folder)) <= _MOST_BYTES.keys():
        raise AssayError(f"{str(folder)!r} is there and is no adapter: name another place")
    old = unfinished.with_suffix(".old")
    os.replace(folder, old)
    try:
        os.replace(unfinished, folder)
    except OSError:
        os.replace(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _check_tensors(content: bytes) -> None:
    """Whether this is safetensors as its specification has it: a header of JSON, then the numbers without a gap.

    Raises ValueError. https://github.com/huggingface/safetensors#format
    """
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(_LONGEST_HEADER, len(content) - 8):
        raise ValueError("no safetensors")
    header = typed_json.loads(content[8 : 8 + length])
    at = 0
    for name, entry in sorted(_tensor_entries(header), key=lambda tensor: tensor[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        if begin != at or end - begin != _DTYPE_BYTES[entry["dtype"]] * math.prod(entry["shape"]):
            raise ValueError(f"{name} is not where it should be")
        at = end
    if not at or at != len(content) - 8 - length:
        raise ValueError("safetensors of another length")


def _tensor_entries(header: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(header, dict):
        raise ValueError("no safetensors")
    for name, entry in header.items():
        if name != "__metadata__":
            numbers = (*entry["data_offsets"], *entry["shape"])
            if not all(type(number) is int and number >= 0 for number in numbers):
                raise ValueError(f"{name} has no shape")
            yield name, entry


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _refused(where: str, reason: str) -> AssayError:
    return AssayError(f"{where!r} is no adapter to be trusted: {reason}; fetch it again, or train another")


@contextlib.contextmanager
def _explained(where: str) -> Iterator[None]:
    try:
        yield
    except (LookupError, TypeError, ValueError) as error:
        raise _refused(where, "its description or its tensors cannot be read") from error
