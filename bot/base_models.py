"""Parse the operator's base models and recipe changes, and build the recipe of a run.

A comment can only choose a name from the list. What the name means is pinned by a commit hash, or by a directory on the
GPU workers that is identified by a digest of its contents.
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
from pipeline.json_fields import MalformedError, parse_json, parse_record
from pipeline.records import AssayError

MODELS_VARIABLE: Final = "ASSAY_BASE_MODELS"
RECIPE_VARIABLE: Final = "ASSAY_FINETUNE"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_ENTRY: Final = re.compile(r"(?P<name>[^@=]+)(?:@(?P<revision>.*)|=(?P<folder>.*))?", re.DOTALL)
_HASH: Final = re.compile(r"[0-9a-f]{40}")
_SET_ELSEWHERE: Final = MappingProxyType({"base_model": "ASSAY_BASE_MODEL", "max_minutes": "ASSAY_FINETUNE_MINUTES"})
_FIELDS: Final = tuple(field.name for field in dataclasses.fields(FinetuneRecipe) if field.name not in _SET_ELSEWHERE)


class ModelNotOffered(AssayError):
    """A run's base model is no longer on the operator's list."""


def parse_base_models(text: str) -> Mapping[str, BaseModel]:
    """Parse a comma-separated list into name -> model, in the order of the list.

    Entries: `owner/name`, if Assay pins it; `owner/name@COMMIT` with 40 hexadecimal digits; `owner/name=/folder` for a
    directory on the GPU workers, whose digest is computed there (`identified`). Raises AssayError naming the entry.
    """
    models: dict[str, BaseModel] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        name, model = _entry(entry)
        if name in models:
            raise AssayError(f"{MODELS_VARIABLE}: {name} is listed twice: remove one")
        models[name] = model
    return MappingProxyType(models)


def _entry(entry: str) -> tuple[str, BaseModel]:
    parts = _ENTRY.fullmatch(entry)
    name = parts["name"].strip() if parts else ""
    if parts is None or not _NAME.fullmatch(name):
        raise AssayError(f"{MODELS_VARIABLE}: {entry!r} must start with a model name such as owner/name")
    if parts["revision"] is not None:
        revision = parts["revision"].strip().lower()
        if not _HASH.fullmatch(revision):
            raise AssayError(
                f"{MODELS_VARIABLE}: {entry!r}: @ must be followed by a 40-digit commit hash, not a branch or tag"
            )
        return name, BaseModel(name, revision)
    if parts["folder"] is not None:
        folder = parts["folder"].strip()
        if not folder.startswith("/"):
            raise AssayError(
                f"{MODELS_VARIABLE}: {entry!r}: = must be followed by an absolute path, such as /models/name"
            )
        return name, BaseModel(folder)
    if name not in PRESETS:
        raise AssayError(
            f"{MODELS_VARIABLE}: Assay pins no commit for {name!r}, only for {', '.join(PRESETS)}: write {name}@COMMIT"
        )
    return name, PRESETS[name]


def default_base_model(base_models: Mapping[str, BaseModel], chosen: str) -> str:
    """Return the default model's name: `chosen`, else the first of the list, else empty.

    Raises AssayError if `chosen` is not on the list.
    """
    if not base_models:
        return ""
    name = chosen or next(iter(base_models))
    if name not in base_models:
        raise AssayError(f"ASSAY_BASE_MODEL: {name!r} is not in {MODELS_VARIABLE} ({', '.join(base_models)})")
    return name


def parse_recipe_changes(text: str) -> Mapping[str, Any]:
    """Parse a JSON object of FinetuneRecipe fields (`seeds` as a tuple); an empty text changes nothing.

    Raises AssayError naming the field.
    """
    if not text.strip():
        return MappingProxyType({})
    try:
        changes = parse_json(text.encode(), RECIPE_VARIABLE)
    except MalformedError:
        changes = None
    if not isinstance(changes, dict):
        raise AssayError(f'{RECIPE_VARIABLE}: must be one JSON object, such as {{"epochs": 2, "seeds": [1, 2]}}')
    for name in changes:
        if name in _SET_ELSEWHERE:
            raise AssayError(f"{RECIPE_VARIABLE}: {name} cannot be set here: set {_SET_ELSEWHERE[name]}")
    recipe = _changed(FinetuneRecipe(), changes, RECIPE_VARIABLE)
    return MappingProxyType({name: getattr(recipe, name) for name in changes})


def recipe_of(run: Run, base_models: Mapping[str, BaseModel], minutes: float) -> FinetuneRecipe:
    """Return a run's recipe, limited to `minutes`, or to the run's own `max_minutes` if that is less.

    Raises ModelNotOffered, and AssayError if the run's recipe is invalid.
    """
    if run.base_model not in base_models:
        raise ModelNotOffered(f"{run.base_model} is not in {MODELS_VARIABLE}")
    changes = dict(run.recipe)
    max_minutes = changes.pop("max_minutes", minutes)
    if type(max_minutes) not in (int, float):
        raise AssayError(f"run {run.run_id}: max_minutes must be a number")
    recipe = FinetuneRecipe(base_model=base_models[run.base_model], max_minutes=min(float(max_minutes), minutes))
    return _changed(recipe, changes, f"run {run.run_id}")


def identified(model: BaseModel) -> BaseModel:
    """Return a local model with its digest, which reads all weights; return any other model unchanged."""
    if model.revision or model.digest:
        return model
    return dataclasses.replace(model, digest=weights_digest(Path(model.name)))


def _changed(recipe: FinetuneRecipe, changes: Mapping[str, Any], where: str) -> FinetuneRecipe:
    """Apply changes. Raises AssayError naming `where` and the field."""
    _require_known(changes, where)
    values = dataclasses.asdict(recipe) | dict(changes)
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    try:
        return parse_record(FinetuneRecipe, values)
    except AssayError as error:
        raise AssayError(f"{where}: {error}") from None


def _require_known(names: Iterable[str], where: str) -> None:
    for name in names:
        if name not in _FIELDS:
            raise AssayError(f"{where}: unknown field {name!r}; the fields are {', '.join(_FIELDS)}")
