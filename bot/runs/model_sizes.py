"""How large the base models are, as far as that can be known here: a table of those that Assay pins, or their files.

Of a directory only what describes it is read: config.json and the headers of its safetensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pipeline.finetuning.cost import ModelSize
from pipeline.finetuning.recipe import BaseModel

# Parameters without embeddings, as their model cards give them.
KNOWN: Final = MappingProxyType(
    {
        "Qwen/Qwen2.5-Coder-0.5B": ModelSize(360_000_000, layers=24, hidden=896),
        "Qwen/Qwen2.5-Coder-1.5B": ModelSize(1_310_000_000, layers=28, hidden=1_536),
        "Qwen/Qwen2.5-Coder-7B": ModelSize(6_530_000_000, layers=28, hidden=3_584),
    }
)
LARGEST_HEADER_BYTES: Final = 64 << 20
_LENGTH_BYTES: Final = 8  # of a header, little-endian, before it
_EMBEDDINGS: Final = ("embed", "wte", "wpe", "lm_head")


def size_of_model(model: BaseModel) -> ModelSize | None:
    """None where nobody here can tell. Blocks where the model is a directory."""
    if model.revision:
        return KNOWN.get(model.name)
    folder = Path(model.name)
    try:
        config = json.loads(_first_bytes(folder / "config.json").decode())
        parameters = sum(_parameters(file) for file in sorted(folder.glob("*.safetensors")))
        layers, hidden = int(config["num_hidden_layers"]), int(config["hidden_size"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return ModelSize(parameters, layers, hidden) if parameters > 0 else None


def _parameters(file: Path) -> int:
    """Of the tensors that are no embeddings."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(_LENGTH_BYTES), "little")
        if length > LARGEST_HEADER_BYTES:
            raise ValueError("no header of safetensors")
        header = json.loads(opened.read(length))
    return sum(math.prod(shape) for name, shape in _shapes(header) if not any(part in name for part in _EMBEDDINGS))


def _shapes(header: Any) -> Iterator[tuple[str, list[int]]]:
    for name, tensor in header.items():
        if name != "__metadata__":
            yield name, tensor["shape"]


def _first_bytes(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(LARGEST_HEADER_BYTES)
