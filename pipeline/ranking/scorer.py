"""What a scorer sees of a function, and what every scorer can do: baseline, competitors and adapters alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.mining.process_metrics import ProcessMetrics
from pipeline.ranking.bootstrap import Floats
from pipeline.records import FunctionHistory, PairMetrics


@dataclass(frozen=True, slots=True)
class Subject:
    """A function at a snapshot and all that is known of it then: no label, and nothing that landed later."""

    path: str
    qualified_name: str
    ordinal: int
    language: str
    start_line: int
    end_line: int
    blob: str  # 40 hexadecimal digits
    metrics: PairMetrics
    process: ProcessMetrics


def subject_of(function: FunctionHistory, metrics: PairMetrics, process: ProcessMetrics) -> Subject:
    """The function without what the window that follows the snapshot brought it."""
    return Subject(
        path=function.path,
        qualified_name=function.qualified_name,
        ordinal=function.ordinal,
        language=function.language,
        start_line=function.start_line,
        end_line=function.end_line,
        blob=function.blob,
        metrics=metrics,
        process=process,
    )


class Scorer(Protocol):
    """Gives every function a score: the higher, the sooner it should be looked at. Only the order counts."""

    @property
    def name(self) -> str: ...

    def fit(self, functions: Sequence[Subject], signals: Floats) -> None:
        """Learn from functions as they were at T_train and their signals up to T_eval, in [0, 1]."""

    def predict(self, functions: Sequence[Subject]) -> Floats:
        """A score for each function, in their order; NaN where there is none."""
        ...
