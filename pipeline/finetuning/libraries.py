"""What models need beyond the rest: whether it is installed, and how it is kept quiet before it is imported."""

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
_INSTALL = "install what fine-tuning needs: pip install 'assay[finetune]' (in a checkout: make setup-finetune)"

# Before any of them is imported. Nothing is reported to anyone, and no bars are drawn through ours.
_ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}
_NOISY = ("transformers", "huggingface_hub", "peft", "torch", "accelerate", "matplotlib", "fsspec")


def require_libraries(names: Sequence[str], what: str = "") -> None:
    """Raises AssayError that names the first one missing and says how to install it. Imports none."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise AssayError(f"{what}{missing[0]} is not installed: {_INSTALL}")


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """What they say of themselves is nobody's concern here, and nothing is sent anywhere."""
    os.environ.update(_ENVIRONMENT)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
