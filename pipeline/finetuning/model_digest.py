"""Identify a model directory by a hash of its content, independent of its location."""

from __future__ import annotations

import hashlib
from pathlib import Path

_PATTERNS = ("*.safetensors", "config.json", "tokenizer.json")  # the files that scores depend on


def weights_digest(folder: Path) -> str:
    """Return 64 hexadecimal digits over names and contents; empty without weights, which loading reports."""
    files = sorted(file for pattern in _PATTERNS for file in folder.glob(pattern) if file.is_file())
    if not any(file.suffix == ".safetensors" for file in files):
        return ""
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            whole.update(f"{file.name}\0{hashlib.file_digest(opened, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()
