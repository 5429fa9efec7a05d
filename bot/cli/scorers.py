"""What `--scorer` names: the baseline, or a folder of adapters."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.finetuning.libraries import FOR_SCORING, quiet_libraries, require_libraries
from pipeline.finetuning.recipe import BaseModel, base_model
from pipeline.ranking.baseline import Baseline
from pipeline.ranking.scorer import Scorer
from pipeline.ranking.structure_metrics import ReadBlob
from pipeline.records import AssayError

_MANIFESTS: Final = ("manifest.json", "adapter-seed-*/manifest.json")  # of one adapter, of all seeds of a job


@dataclass(frozen=True, slots=True)
class AdapterFolder:
    """A folder with adapters, and what to call its scorer."""

    name: str
    path: Path


Choice = AdapterFolder | None  # none is the baseline


def parse_scorer(text: str) -> Choice:
    """What `--scorer` chooses, looked at before any long work.

    Raises AssayError where the folder holds no adapter, or what adapters need is not installed.
    """
    if text == Baseline.name:
        return None
    folder = Path(os.path.expanduser(text)).absolute()
    if not folder.is_dir():
        raise AssayError(f"--scorer {text}: no such folder; name `{Baseline.name}`, or a folder with an adapter")
    if not any(next(folder.glob(manifest), None) for manifest in _MANIFESTS):
        raise AssayError(f"--scorer {text}: there is no adapter; name the --out of `assay finetune`, once that is done")
    require_libraries(FOR_SCORING, f"--scorer {text}: ")
    return AdapterFolder(f"adapter {text}", folder)


def parse_adapters(texts: list[str]) -> tuple[AdapterFolder, ...]:
    """As `parse_scorer`, each folder once; the baseline, which is always there, counts for nothing."""
    chosen = (choice for choice in map(parse_scorer, texts) if choice is not None)
    return tuple({choice.path: choice for choice in chosen}.values())


def parse_base_model(text: str | None) -> BaseModel | None:
    """What `--base-model` names. Raises AssayError for a name that is not pinned, or without what models need."""
    if text is None:
        return None
    model = base_model(text)
    require_libraries(FOR_SCORING, f"--base-model {text}: ")
    return model


def embeddings_of(model: BaseModel, read: ReadBlob) -> Scorer:
    """What the model knows untrained. Raises AssayError where it cannot be had."""
    with quiet_libraries():
        from pipeline.finetuning.training.devices import choose_device
        from pipeline.finetuning.training.embedding_scorer import (
            EmbeddingScorer,  # and PyTorch, only for who names a model
        )

        return EmbeddingScorer(model, read, choose_device(None))


def scorer_of(choice: Choice, read: ReadBlob) -> Scorer:
    """The scorer that was chosen. `read` must work for as long as it is used: an adapter reads code.

    Raises AssayError for an adapter that is damaged.
    """
    return Baseline() if choice is None else _adapter(choice, read)


def _adapter(choice: AdapterFolder, read: ReadBlob) -> Scorer:
    with quiet_libraries():
        from pipeline.finetuning.training.adapter_scorer import (
            AdapterScorer,  # and PyTorch, only for who names an adapter
        )
        from pipeline.finetuning.training.devices import choose_device

        return AdapterScorer(choice.name, choice.path, read, choose_device(None))
