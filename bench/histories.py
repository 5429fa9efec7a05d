"""Load the public histories on which rankings are compared; histories.toml explains the two sets."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("histories.toml")


@dataclass(frozen=True)
class PinnedHistory:
    """A public repository at a pinned head."""

    repository: str  # owner/name
    head_sha: str  # 40 hexadecimal digits
    language: str
    set: str  # "tune" | "report"


def load_histories(file: Path = FILE) -> tuple[PinnedHistory, ...]:
    """Return the histories in file order. Raises TypeError for a row with other keys."""
    return tuple(PinnedHistory(**row) for row in tomllib.loads(file.read_text(encoding="utf-8"))["histories"])
