"""What tells one model directory from another, wherever it lies: a hash of what it holds."""

from __future__ import annotations

import hashlib
from pathlib import Path

_READ = ("*.safetensors", "config.json", "tokenizer.json")  # what scores depend on


def weights_digest(folder: Path) -> str:
    """64 hexadecimal digits over names and contents; empty where there are no weights, which loading will tell."""
    files = sorted(file for pattern in _READ for file in folder.glob(pattern) if file.is_file())
    if not any(file.suffix == ".safetensors" for file in files):
        return ""
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            whole.update(f"{file.name}\0{hashlib.file_digest(opened, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()
