"""The public histories on which rankings are compared: histories.toml, which says what the two sets are for."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("histories.toml")


@dataclass(frozen=True)
class PinnedHistory:
    repository: str  # owner/name
    head_sha: str  # 40 hexadecimal digits
    language: str
    set: str  # "tune" | "report"


def load_histories(file: Path = FILE) -> tuple[PinnedHistory, ...]:
    """In the order of the file. Raises TypeError for a row with other keys."""
    return tuple(PinnedHistory(**row) for row in tomllib.loads(file.read_text(encoding="utf-8"))["histories"])
