"""Parse `--scorer` and `--base-model`, and create the scorers they name."""

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

_MANIFESTS: Final = ("manifest.json", "adapter-seed-*/manifest.json")  # one adapter; all seeds of a job


@dataclass(frozen=True, slots=True)
class AdapterFolder:
    """A folder with adapters, and the name of its scorer."""

    name: str
    path: Path


Choice = AdapterFolder | None  # None: the baseline


def parse_scorer(text: str) -> Choice:
    """Parse and check `--scorer` before any long work.

    Raises AssayError if the folder holds no adapter or the libraries for adapters are not installed.
    """
    if text == Baseline.name:
        return None
    folder = Path(os.path.expanduser(text)).absolute()
    if not folder.is_dir():
        raise AssayError(f"--scorer {text}: no such folder; give `{Baseline.name}` or a folder with an adapter")
    if not any(next(folder.glob(manifest), None) for manifest in _MANIFESTS):
        raise AssayError(f"--scorer {text}: no adapter found; give the --out folder of a finished `assay finetune`")
    require_libraries(FOR_SCORING, f"--scorer {text}: ")
    return AdapterFolder(f"adapter {text}", folder)


def parse_adapters(texts: list[str]) -> tuple[AdapterFolder, ...]:
    """Parse several `--scorer` values, each folder once; the baseline is always included and ignored here."""
    chosen = (choice for choice in map(parse_scorer, texts) if choice is not None)
    return tuple({choice.path: choice for choice in chosen}.values())


def parse_base_model(text: str | None) -> BaseModel | None:
    """Parse `--base-model`. Raises AssayError if the name is not pinned or the libraries for models are missing."""
    if text is None:
        return None
    model = base_model(text)
    require_libraries(FOR_SCORING, f"--base-model {text}: ")
    return model


def embeddings_of(model: BaseModel, read: ReadBlob) -> Scorer:
    """Return a scorer from the untrained model's embeddings. Raises AssayError if the model cannot be loaded."""
    with quiet_libraries():  # imports PyTorch
        from pipeline.finetuning.training.device import choose_device
        from pipeline.finetuning.training.embeddings import EmbeddingScorer

        return EmbeddingScorer(model, read, choose_device(None))


def scorer_of(choice: Choice, read: ReadBlob) -> Scorer:
    """Return the chosen scorer, which calls `read` as long as it is used. Raises AssayError for a damaged adapter."""
    return Baseline() if choice is None else _adapter(choice, read)


def _adapter(choice: AdapterFolder, read: ReadBlob) -> Scorer:
    with quiet_libraries():  # imports PyTorch
        from pipeline.finetuning.training.adapter_scorer import AdapterScorer
        from pipeline.finetuning.training.device import choose_device

        return AdapterScorer(choice.name, choice.path, read, choose_device(None))
