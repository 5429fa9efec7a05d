"""Rank files: which of them contain functions that will be fixed. Pure.

Files have a separate baseline, a sum like that of functions, which ranked files better than their riskiest function did
on the histories it was chosen on. Under any other scorer a file is as risky as its riskiest function.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.ranking.baseline import fixes, people, times
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.scorer import Subject


@dataclass(frozen=True, slots=True)
class FileSubject:
    """A file at a snapshot: the indices of its functions and the metrics they share."""

    path: str
    functions: tuple[int, ...]
    lines: int  # sum over its functions; lines of nested functions count twice
    fan_out: int  # sum over its functions
    touches: int  # in 365 days
    authors: int
    decayed_touches: float  # in 730 days
    fixes: int


@dataclass(frozen=True)
class FileTerm:
    """One weighted term of the sum, as for functions: weight × ln(1 + min(value, cap))."""

    name: str
    weight: float
    cap: float
    value: Callable[[FileSubject], float]

    def of(self, file: FileSubject) -> float:
        return self.weight * math.log1p(min(self.value(file), self.cap))


FILE_TERMS = (
    FileTerm("lines of its functions", 2.0, 20_000, lambda f: f.lines),
    FileTerm("fan-out of its functions", 1.0, 5_000, lambda f: f.fan_out),
    FileTerm("decayed touches in 730 days", 1.0, 500, lambda f: f.decayed_touches),
    FileTerm("fixes in 730 days", 1.0, 200, lambda f: f.fixes),
)


def files_of(functions: Sequence[Subject]) -> list[FileSubject]:
    """Group functions by file, sorted by path."""
    members: dict[str, list[int]] = defaultdict(list)
    for index, subject in enumerate(functions):
        members[subject.path].append(index)
    return [_file(path, indices, functions) for path, indices in sorted(members.items())]


def _file(path: str, indices: Sequence[int], functions: Sequence[Subject]) -> FileSubject:
    process = functions[indices[0]].process
    return FileSubject(
        path=path,
        functions=tuple(indices),
        lines=sum(functions[i].metrics.lines for i in indices),
        fan_out=sum(functions[i].metrics.fan_out or 0 for i in indices),
        touches=process.file_touches,
        authors=process.file_authors,
        decayed_touches=process.file_decayed_touches,
        fixes=process.file_fixes,
    )


def file_baseline(files: Sequence[FileSubject]) -> Floats:
    """Return the baseline score of each file."""
    return np.array([math.fsum(term.of(file) for term in FILE_TERMS) for file in files], dtype=np.float64)


def file_reasons(file: FileSubject) -> tuple[str, ...]:
    """Return the reasons for a file's rank in words."""
    texts = []
    if file.touches:
        texts.append(f"touched {times(file.touches)} in a year by {people(file.authors)}")
    if file.fixes:
        texts.append(fixes(file.fixes))
    count = len(file.functions)
    texts.append(f"{file.lines:,} lines in {count:,} {'function' if count == 1 else 'functions'}")
    return tuple(texts)


def riskiest(files: Sequence[FileSubject], scores: Floats) -> Floats:
    """Return the highest function score in each file."""
    return np.array([scores[list(file.functions)].max() for file in files], dtype=np.float64)


def file_scores(files: Sequence[FileSubject], function_scores: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return the scores of every file scorer by name, the baseline first."""
    return {
        "baseline": file_baseline(files),
        "size": np.array([file.lines for file in files], dtype=np.float64),
        "decayed touches": np.array([file.decayed_touches for file in files], dtype=np.float64),
        "past fixes": np.array([file.fixes for file in files], dtype=np.float64),
        "decayed touches × log size": np.array([f.decayed_touches * math.log1p(f.lines) for f in files], np.float64),
        **{f"riskiest by {name}": riskiest(files, scores) for name, scores in function_scores.items()},
    }


def file_labels(files: Sequence[FileSubject], labels: Floats) -> Floats:
    """Return the total credit of each file's functions."""
    return np.array([math.fsum(labels[list(file.functions)]) for file in files], dtype=np.float64)
