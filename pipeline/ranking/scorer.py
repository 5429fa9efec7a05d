"""The scorer interface, shared by the baseline, the competitors and adapters, and its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.mining.process_metrics import ProcessMetrics
from pipeline.ranking.bootstrap import Floats
from pipeline.records import FunctionHistory, PairMetrics


@dataclass(frozen=True, slots=True)
class Subject:
    """A function with everything known about it at a snapshot: no label, nothing that landed later."""

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
    """Return a function without its labels, which come from the window after the snapshot."""
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
    """Scores functions by risk, higher meaning riskier. Only the order matters."""

    @property
    def name(self) -> str: ...

    def fit(self, functions: Sequence[Subject], signals: Floats) -> None:
        """Learn from functions as they were at T_train and their signals up to T_eval, in [0, 1]."""

    def predict(self, functions: Sequence[Subject]) -> Floats:
        """Return a score per function, shape (len(functions),); NaN if a function cannot be scored."""
        ...
