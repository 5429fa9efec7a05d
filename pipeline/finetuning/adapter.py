"""Read and write an adapter directory: four files, each with a recorded SHA-256, none of them executable.

    adapter.safetensors   LoRA matrices and head
    adapter.json          recipe (with the base model and its revision), provenance, metrics
    README.md             the model card
    manifest.json         SHA-256 of the other three

The base model is the one of the recipe. A directory that holds anything else is refused.
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

from pipeline.finetuning.model_card import CardMetrics, Provenance, render_model_card
from pipeline.finetuning.recipe import PROMPT_VERSION, FinetuneRecipe
from pipeline.json_fields import MalformedError, parse_json, parse_record, render_json
from pipeline.records import AssayError

SCHEMA_VERSION = 1

TENSORS, DESCRIPTION, CARD, MANIFEST = "adapter.safetensors", "adapter.json", "README.md", "manifest.json"
_MAX_BYTES = {TENSORS: 8 << 30, DESCRIPTION: 1 << 20, CARD: 1 << 20, MANIFEST: 1 << 16}
_MAX_HEADER_BYTES = 64 << 20
_DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True, slots=True)
class LoadedAdapter:
    """The checked content of an adapter directory."""

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
    """Write the directory whole or not at all, replacing an older adapter, and return the SHA-256 of each file.

    `tensors` is safetensors. Raises AssayError if it cannot be written, or if something else is in the way.
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
        raise AssayError(
            f"cannot write the adapter to {str(folder)!r}: {error.strerror}; free some space there"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return {name: _sha256(content) for name, content in files.items()}


def load_adapter(folder: Path, expected: Mapping[str, str] | None = None) -> LoadedAdapter:
    """Read a directory of `save_adapter`; the layout of its tensors is checked, not their values.

    `expected` are the hashes that `save_adapter` returned: only they tell one adapter from another. Raises AssayError
    for anything that is not exactly such a directory.
    """
    return read_adapter(_read_folder(folder), expected, str(folder))


def adapter_files(
    tensors: bytes, recipe: FinetuneRecipe, provenance: Provenance, metrics: CardMetrics
) -> dict[str, bytes]:
    """Return the files of an adapter by name. Raises ValueError if `tensors` is not safetensors or a metric is NaN."""
    _check_tensors(tensors)
    recipe_id = recipe.recipe_id(provenance.label_recipe_id)
    description = _Description(SCHEMA_VERSION, PROMPT_VERSION, recipe, recipe_id, provenance, metrics)
    files = {
        TENSORS: tensors,
        DESCRIPTION: render_json(_described(description)),
        CARD: render_model_card(recipe, provenance, metrics).encode("utf-8", "replace"),
    }
    return files | {MANIFEST: render_json({name: _sha256(content) for name, content in files.items()})}


def read_adapter(
    files: Mapping[str, bytes], expected: Mapping[str, str] | None = None, where: str = "adapter"
) -> LoadedAdapter:
    """Return the adapter of these files, checking hashes first. Raises AssayError, which calls the adapter `where`."""
    if files.keys() != _MAX_BYTES.keys():
        strange, missing = sorted(files.keys() - _MAX_BYTES.keys()), sorted(_MAX_BYTES.keys() - files.keys())
        raise _refused(where, f"{strange[0]!r} does not belong there" if strange else f"{missing[0]} is missing")
    hashes = {name: _sha256(content) for name, content in files.items()}
    if expected is not None and dict(expected) != hashes:
        raise _refused(where, "its files do not match the recorded hashes")
    with _explained(where):
        if _json(files, MANIFEST) != {name: hashes[name] for name in hashes if name != MANIFEST}:
            raise _refused(where, "a file is damaged: its SHA-256 is not the one in manifest.json")
        described = _json(files, DESCRIPTION)
        versions = (described["schema_version"], described["prompt_version"])
        if versions != (SCHEMA_VERSION, PROMPT_VERSION):
            raise _refused(
                where, f"its format and prompt versions are {versions}, not {(SCHEMA_VERSION, PROMPT_VERSION)}"
            )
        description = parse_record(_Description, _completed(described), DESCRIPTION)
        if description.recipe_id != description.recipe.recipe_id(description.provenance.label_recipe_id):
            raise _refused(where, "its recipe does not match its id")
        _check_tensors(files[TENSORS])
    return LoadedAdapter(description.recipe, description.provenance, description.metrics, files[TENSORS], hashes)


def _described(description: _Description) -> dict[str, Any]:
    """Omit `refit` if there is none, so that the bytes equal those of releases without refits."""
    described = dataclasses.asdict(description)
    if description.provenance.refit is None:
        del described["provenance"]["refit"]
    return described


def _completed(described: dict[str, Any]) -> dict[str, Any]:
    return described | {"provenance": {"refit": None, **described["provenance"]}}


def _json(files: Mapping[str, bytes], name: str) -> Any:
    return parse_json(files[name], name)


def _read_folder(folder: Path) -> dict[str, bytes]:
    try:
        names = sorted(os.listdir(folder))
        strange = [name for name in names if name not in _MAX_BYTES]
        if strange:
            raise _refused(str(folder), f"{strange[0]!r} does not belong there")
        return {name: _read_file(folder, name) for name in names}
    except OSError as error:
        raise AssayError(f"cannot read the adapter in {str(folder)!r}: {error.strerror}") from error


def _read_file(folder: Path, name: str) -> bytes:
    """Read a regular file, refusing links."""
    if not stat.S_ISREG((folder / name).lstat().st_mode):
        raise _refused(str(folder), f"{name} is not a regular file")
    opened = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(opened, "rb") as file:
        content = file.read(_MAX_BYTES[name] + 1)
    if len(content) > _MAX_BYTES[name]:
        raise _refused(str(folder), f"{name} is too large")
    return content


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _put_in_place(unfinished: Path, folder: Path) -> None:
    """Rename, moving an older adapter out of the way first: a crash in between leaves both whole under other names."""
    if not os.path.lexists(folder):
        os.replace(unfinished, folder)
        return
    if folder.is_symlink() or not folder.is_dir() or not set(os.listdir(folder)) <= _MAX_BYTES.keys():
        raise AssayError(f"{str(folder)!r} exists and is not an adapter: name another folder")
    old = unfinished.with_suffix(".old")
    os.replace(folder, old)
    try:
        os.replace(unfinished, folder)
    except OSError:
        os.replace(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _check_tensors(content: bytes) -> None:
    """Raise ValueError unless this is safetensors: a JSON header, then the numbers without gaps.

    https://github.com/huggingface/safetensors#format
    """
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(_MAX_HEADER_BYTES, len(content) - 8):
        raise ValueError("not safetensors")
    header = parse_json(content[8 : 8 + length], TENSORS, _MAX_HEADER_BYTES)
    position = 0
    for name, entry in sorted(_tensor_entries(header), key=lambda tensor: tensor[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        if begin != position or end - begin != _DTYPE_BYTES[entry["dtype"]] * math.prod(entry["shape"]):
            raise ValueError(f"{name} is out of place")
        position = end
    if not position or position != len(content) - 8 - length:
        raise ValueError("safetensors of the wrong length")


def _tensor_entries(header: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(header, dict):
        raise ValueError("not safetensors")
    for name, entry in header.items():
        if name != "__metadata__":
            numbers = (*entry["data_offsets"], *entry["shape"])
            if not all(type(number) is int and number >= 0 for number in numbers):
                raise ValueError(f"{name} has no shape")
            yield name, entry


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _refused(where: str, reason: str) -> AssayError:
    return AssayError(f"{where!r} is not a trusted adapter: {reason}; fetch it again, or train another")


@contextlib.contextmanager
def _explained(where: str) -> Iterator[None]:
    try:
        yield
    except MalformedError as error:
        raise _refused(where, f"it cannot be read ({error})") from error
    except (LookupError, TypeError, ValueError) as error:
        raise _refused(where, "its description or its tensors cannot be read") from error
