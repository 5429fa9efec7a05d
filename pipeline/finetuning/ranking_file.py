"""Read and write a ranking set as one Parquet file, for the machine that trains and scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from pipeline.finetuning.function_table import FileKind, Part, StoredPart, StoredTable, decode_set, encode_set
from pipeline.finetuning.prompts import Prompted
from pipeline.finetuning.ranking_set import RankingSet
from pipeline.mining.process_metrics import ProcessMetrics
from pipeline.ranking.scorer import Subject

_KIND = FileKind("ranking set", version=1, marker="ranking set")

_WORDS = ("repo", "head_sha", "label_recipe_id", "config_hash")
_TIMES = ("train_start", "as_of")
_PLACE = ("ordinal", "start_line", "end_line")
_AGES = ("days_since_touch", "age_days")  # None if too long ago
_AMOUNTS = ("decayed_touches", "credit", "file_decayed_touches")
_COUNTS = tuple(field.name for field in dataclasses.fields(ProcessMetrics) if field.name not in {*_AGES, *_AMOUNTS})


def encode_ranking_set(ranking: RankingSet) -> bytes:
    """Return the content of the file; equal sets give equal bytes. Raises ValueError for text not in UTF-8."""
    subjects = ranking.subjects
    metrics = [subject.process for subject in subjects]
    head = Part(
        ranking.head,
        wholes={name: [getattr(subject, name) for subject in subjects] for name in _PLACE}
        | {name: [getattr(process, name) for process in metrics] for name in _COUNTS},
        texts={"blob": [subject.blob for subject in subjects]},
        optional={name: [getattr(process, name) for process in metrics] for name in (*_AMOUNTS, *_AGES)},
    )
    parts = {"train": Part(ranking.train, {"signals": ranking.signals}), "head": head}
    return encode_set(
        _KIND, parts, _digests(ranking) | {name: str(getattr(ranking, name)) for name in (*_WORDS, *_TIMES)}
    )


def decode_ranking_set(content: bytes, name: str = "ranking set") -> RankingSet:
    """Return the ranking set of a file's content. Raises AssayError, which calls the file `name`."""
    return decode_set(content, name, _KIND, _ranking_set, _digests)


def _digests(ranking: RankingSet) -> dict[str, str]:
    return {"id": ranking.id}


def _ranking_set(table: StoredTable) -> RankingSet:
    train, head = table.parts("train", "head")
    origin: dict[str, Any] = {name: table.metadata[name] for name in _WORDS}
    origin |= {name: int(table.metadata[name]) for name in _TIMES}
    functions = head.functions()
    return RankingSet(
        **origin,
        train=train.functions(),
        signals=train.floats("signals"),
        head=functions,
        subjects=tuple(_subjects(functions, head)),
    )


def _subjects(functions: tuple[Prompted, ...], head: StoredPart) -> Iterator[Subject]:
    columns = {name: head.column(name) for name in ("blob", *_PLACE, *_COUNTS, *_AMOUNTS, *_AGES)}
    for i, function in enumerate(functions):
        known = {name: values[i] for name, values in columns.items()}
        missing = [name for name, value in known.items() if value is None and name not in _AGES]
        if missing:
            raise ValueError(f"{missing[0]} is missing")
        process = ProcessMetrics(**{name: known.pop(name) for name in (*_COUNTS, *_AMOUNTS, *_AGES)})
        yield Subject(
            path=function.path,
            qualified_name=function.qualified_name,
            language=function.language,
            metrics=function.metrics,
            process=process,
            **known,
        )
