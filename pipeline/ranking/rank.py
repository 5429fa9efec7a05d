"""Rank the functions and files of a repository, riskiest first, with reasons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.mining.miner import Miner
from pipeline.ranking.baseline import Baseline, reasons
from pipeline.ranking.files import file_baseline, file_reasons, files_of
from pipeline.ranking.scorer import Scorer, Subject, subject_of
from pipeline.ranking.structure_metrics import ReadBlob, measure_functions


@dataclass(frozen=True, slots=True)
class Ranked:
    """A place in the ranking. For a file, the function is its riskiest one."""

    path: str
    qualified_name: str
    start_line: int
    end_line: int
    score: float
    reasons: tuple[str, ...]


def subjects_at_head(
    miner: Miner, read: ReadBlob, *, as_of: int | None = None, seen_at: int | None = None
) -> tuple[Subject, ...]:
    """Return the functions of a repository as of `as_of` (Unix seconds; the present if None).

    Raises AssayError if the repository has no commit that old; exceptions from `read` propagate.
    """
    if as_of is not None:
        miner.cut(as_of)
    head = len(miner.history.chain) - 1
    now = min(miner.history.effective_at[-1], miner.first_seen(seen_at))
    functions = miner.functions(head)
    measured = measure_functions(functions, read, miner.recipe.miner_version)
    process = miner.process_metrics(head, now)
    return tuple(subject_of(*facts) for facts in zip(functions, measured, process, strict=True))


def rank_functions(subjects: Sequence[Subject], scorer: Scorer | None = None) -> list[Ranked]:
    """Rank every function by score, then path and line; functions without a score come last."""
    scores = (scorer or Baseline()).predict(subjects).tolist()
    order = sorted(range(len(subjects)), key=lambda i: (*_best_first(scores[i]), *_place(subjects[i])))
    return [_ranked(subjects[i], scores[i]) for i in order]


def rank_files(subjects: Sequence[Subject], scorer: Scorer | None = None) -> list[Ranked]:
    """Rank every file that has a function, each represented by its riskiest one.

    The baseline has a separate sum for files. Under any other scorer a file is as risky as its riskiest function.
    """
    first: dict[str, Ranked] = {}
    for ranked in rank_functions(subjects, scorer):
        first.setdefault(ranked.path, ranked)
    if scorer is not None and scorer.name != Baseline.name:
        return list(first.values())
    files = files_of(subjects)
    places = [
        replace(first[file.path], score=score, reasons=file_reasons(file))
        for file, score in zip(files, file_baseline(files).tolist(), strict=True)
    ]
    return sorted(places, key=lambda place: -place.score)


def _ranked(subject: Subject, score: float) -> Ranked:
    return Ranked(subject.path, subject.qualified_name, subject.start_line, subject.end_line, score, reasons(subject))


def _best_first(score: float) -> tuple[bool, float]:
    return math.isnan(score), 0.0 if math.isnan(score) else -score


def _place(subject: Subject) -> tuple[str, int, str, int]:
    return subject.path, subject.start_line, subject.qualified_name, subject.ordinal
