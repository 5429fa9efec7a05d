"""An adapter for tests: a folder that looks like one, scored by something that needs no model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bot.cli import scorers
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.scorer import Subject
from pipeline.ranking.structure_metrics import ReadBlob


class Alphabet:
    """Scores a function by the first line of its file, read as an adapter reads code; m0.py it cannot score."""

    name = "alphabet"

    def __init__(self, read: ReadBlob) -> None:
        self._read = read

    def fit(self, functions: Sequence[Subject], signals: Floats) -> None:
        """Nothing to learn."""

    def predict(self, functions: Sequence[Subject]) -> Floats:
        return np.array([np.nan if s.path == "m0.py" else self._score(s) for s in functions], dtype=np.float64)

    def _score(self, subject: Subject) -> float:
        return len(self._read(subject.blob)) + subject.start_line / 1_000


class Scored(Alphabet):
    """Scores m0.py too."""

    def predict(self, functions: Sequence[Subject]) -> Floats:
        return np.array([self._score(subject) for subject in functions], dtype=np.float64)


def adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, partly: bool = False, manifest: str = "manifest.json"
) -> Path:
    folder = tmp_path / "adapter"
    (folder / manifest).parent.mkdir(parents=True)
    (folder / manifest).write_text("{}")
    monkeypatch.setattr(scorers, "FOR_SCORING", ())
    monkeypatch.setattr(scorers, "_adapter", lambda choice, read: (Alphabet if partly else Scored)(read))
    return folder
