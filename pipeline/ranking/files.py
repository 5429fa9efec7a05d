"""The same question asked of files: which hold the functions that will be fixed? Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.ranking.resampling import Floats
from pipeline.ranking.scorer import Subject


@dataclass(frozen=True, slots=True)
class FileSubject:
    """A file at a snapshot: its functions (their indices) and what they have in common."""

    path: str
    functions: tuple[int, ...]
    lines: int  # of its functions; lines of a function inside another count twice
    decayed_touches: float
    fixes: int


def files_of(functions: Sequence[Subject]) -> list[FileSubject]:
    """The files in which the functions stand, by path."""
    members: dict[str, list[int]] = defaultdict(list)
    for index, subject in enumerate(functions):
        members[subject.path].append(index)
    return [_file(path, indices, functions) for path, indices in sorted(members.items())]


def _file(path: str, indices: Sequence[int], functions: Sequence[Subject]) -> FileSubject:
    past = functions[indices[0]].past
    lines = sum(functions[i].metrics.lines for i in indices)
    return FileSubject(path, tuple(indices), lines, past.file_decayed_touches, past.file_fixes)


def file_baseline(files: Sequence[FileSubject]) -> Floats:
    """Decayed touches × log size: what is hard to beat among files."""
    return np.array([file.decayed_touches * math.log1p(file.lines) for file in files], dtype=np.float64)


def riskiest(files: Sequence[FileSubject], scores: Floats) -> Floats:
    """The highest score of a function for each file: a file is as risky as its riskiest function."""
    return np.array([scores[list(file.functions)].max() for file in files], dtype=np.float64)


def file_scores(files: Sequence[FileSubject], function_scores: Mapping[str, Floats]) -> dict[str, Floats]:
    """Every scorer of files by name, the baseline of files first."""
    return {
        "baseline": file_baseline(files),
        "size": np.array([file.lines for file in files], dtype=np.float64),
        "decayed touches": np.array([file.decayed_touches for file in files], dtype=np.float64),
        "past fixes": np.array([file.fixes for file in files], dtype=np.float64),
        **{f"riskiest by {name}": riskiest(files, scores) for name, scores in function_scores.items()},
    }


def file_labels(files: Sequence[FileSubject], labels: Floats) -> Floats:
    """The credit of all functions of each file."""
    return np.array([math.fsum(labels[list(file.functions)]) for file in files], dtype=np.float64)
