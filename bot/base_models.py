"""Which base models may be asked for, and what a run is trained with: the operator's list and recipe, validated.

A name on the list is all that a comment can choose; what it stands for is fixed by a commit hash, or by a directory
on the machines that train, which is known by what it holds.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from bot.records import Run
from pipeline.finetuning.model_digest import weights_digest
from pipeline.finetuning.recipe import PRESETS, BaseModel, FinetuneRecipe
from pipeline.records import AssayError
from pipeline.typed_json import loads, parse

LIST: Final = "ASSAY_BASE_MODELS"
CHANGES: Final = "ASSAY_FINETUNE"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_ENTRY: Final = re.compile(r"(?P<name>[^@=]+)(?:@(?P<revision>.*)|=(?P<folder>.*))?", re.DOTALL)
_HASH: Final = re.compile(r"[0-9a-f]{40}")
_SET_ELSEWHERE: Final = MappingProxyType({"base_model": "ASSAY_BASE_MODEL", "max_minutes": "ASSAY_FINETUNE_MINUTES"})
_FIELDS: Final = tuple(field.name for field in dataclasses.fields(FinetuneRecipe) if field.name not in _SET_ELSEWHERE)


def parse_base_models(text: str) -> Mapping[str, BaseModel]:
    """Name -> model, in the order of a comma-separated list; empty of an empty one.

    `owner/name` is pinned by Assay, `owner/name@COMMIT` by 40 hexadecimal digits, `owner/name=/folder` is a directory
    on the GPU workers; its digest is filled in there (`identified`). Raises AssayError that names the entry.
    """
    models: dict[str, BaseModel] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        name, model = _entry(entry)
        if name in models:
            raise AssayError(f"{LIST}: {name} stands there twice: keep one")
        models[name] = model
    return MappingProxyType(models)


def _entry(entry: str) -> tuple[str, BaseModel]:
    parts = _ENTRY.fullmatch(entry)
    name = parts["name"].strip() if parts else ""
    if parts is None or not _NAME.fullmatch(name):
        raise AssayError(f"{LIST}: {entry!r} begins with no name of a model: write owner/name")
    if parts["revision"] is not None:
        revision = parts["revision"].strip().lower()
        if not _HASH.fullmatch(revision):
            raise AssayError(f"{LIST}: {entry!r}: what follows @ must be a commit hash of 40 digits, no branch or tag")
        return name, BaseModel(name, revision)
    if parts["folder"] is not None:
        folder = parts["folder"].strip()
        if not folder.startswith("/"):
            raise AssayError(f"{LIST}: {entry!r}: what follows = must be a folder's whole path, beginning with /")
        return name, BaseModel(folder)
    if name not in PRESETS:
        raise AssayError(
            f"{LIST}: {name!r} is not a model that Assay pins ({', '.join(PRESETS)}): write {name}@ and its commit hash"
        )
    return name, PRESETS[name]


def default_base_model(base_models: Mapping[str, BaseModel], chosen: str) -> str:
    """The name of the model that is used where nobody names one: the first of the list where none is `chosen`.

    Empty of an empty list. Raises AssayError for one that is not on it.
    """
    if not base_models:
        return ""
    name = chosen or next(iter(base_models))
    if name not in base_models:
        raise AssayError(f"ASSAY_BASE_MODEL: {name!r} is not among {LIST} ({', '.join(base_models)})")
    return name


def parse_recipe_changes(text: str) -> Mapping[str, Any]:
    """The fields of FinetuneRecipe that one JSON object sets, `seeds` as a tuple; none of an empty text.

    Raises AssayError that names the field.
    """
    if not text.strip():
        return MappingProxyType({})
    try:
        said = loads(text.encode())
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise AssayError(f'{CHANGES}: must be one JSON object, like {{"epochs": 2, "seeds": [1, 2]}}')
    for name in said:
        if name in _SET_ELSEWHERE:
            raise AssayError(f"{CHANGES}: {name} does not belong there: set {_SET_ELSEWHERE[name]}")
    recipe = _changed(FinetuneRecipe(), said, CHANGES)
    return MappingProxyType({name: getattr(recipe, name) for name in said})


def recipe_of(run: Run, base_models: Mapping[str, BaseModel], minutes: float) -> FinetuneRecipe:
    """What a run is trained with, for `minutes` at most, or fewer where the run itself says `max_minutes`.

    Raises AssayError where its model is not on the list any more, or what it says makes no sense.
    """
    if run.base_model not in base_models:
        raise AssayError(f"the base model of this run is not on the operator's list ({LIST}) any more")
    said = dict(run.recipe)
    most = said.pop("max_minutes", minutes)
    if type(most) not in (int, float):
        raise AssayError(f"run {run.run_id}: max_minutes must be a number")
    recipe = FinetuneRecipe(base_model=base_models[run.base_model], max_minutes=min(float(most), minutes))
    return _changed(recipe, said, f"run {run.run_id}")


def identified(model: BaseModel) -> BaseModel:
    """A directory with the digest of what it holds, for who can read it: it reads all weights. Others as they are."""
    if model.revision or model.digest:
        return model
    return dataclasses.replace(model, digest=weights_digest(Path(model.name)))


def _changed(recipe: FinetuneRecipe, said: Mapping[str, Any], where: str) -> FinetuneRecipe:
    """The recipe with what is said. Raises AssayError that names `where` and the field."""
    _require_known(said, where)
    values = dataclasses.asdict(recipe) | dict(said)
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    try:
        return parse(FinetuneRecipe, values)
    except AssayError as error:
        raise AssayError(f"{where}: {error}") from None
    except (ValueError, OverflowError) as error:
        raise AssayError(f"{where}: {str(error).removeprefix('FinetuneRecipe.')}") from None


def _require_known(names: Iterable[str], where: str) -> None:
    for name in names:
        if name not in _FIELDS:
            raise AssayError(f"{where}: there is no {name!r} to set; there are {', '.join(_FIELDS)}")
