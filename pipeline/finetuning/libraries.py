"""Check that the optional model libraries are installed, and silence them before they are imported."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipeline.records import AssayError

FOR_SCORING = ("torch", "transformers", "peft", "safetensors")
FOR_TRAINING = (*FOR_SCORING, "fsspec", "matplotlib")
_INSTALL = "install it with: pip install 'assay[finetune]' (in a checkout: make setup-finetune)"

# Set before any of them is imported: no telemetry, and no progress bars that break ours.
_ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}
_NOISY = ("transformers", "huggingface_hub", "peft", "torch", "accelerate", "matplotlib", "fsspec")


def require_libraries(names: Sequence[str], what: str = "") -> None:
    """Raise AssayError that names the first missing one and how to install it. Imports none."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise AssayError(f"{what}{missing[0]} is not installed: {_INSTALL}")


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence the logs and warnings of the libraries and disable their telemetry."""
    os.environ.update(_ENVIRONMENT)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
