"""A ranking set as one Parquet file, for the machine that trains and scores. Read as it was written, or refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from pipeline.finetuning.function_table import Part, ReadPart, ReadTable, decode_parts, encode_parts
from pipeline.finetuning.prompts import Prompted
from pipeline.finetuning.ranking_set import RankingSet
from pipeline.mining.process_metrics import ProcessMetrics
from pipeline.ranking.scorer import Subject
from pipeline.records import AssayError

SCHEMA_VERSION = 1

_KIND = "ranking set"
_WORDS = ("repo", "head_sha", "label_recipe_id", "config_hash")
_TIMES = ("train_start", "as_of")
_PLACE = ("ordinal", "start_line", "end_line")
_AGES = ("days_since_touch", "age_days")  # none where it is too long ago
_AMOUNTS = ("decayed_touches", "credit", "file_decayed_touches")
_COUNTS = tuple(field.name for field in dataclasses.fields(ProcessMetrics) if field.name not in {*_AGES, *_AMOUNTS})


def encode_ranking_set(ranking: RankingSet) -> bytes:
    """The content of the file. Equal sets make equal bytes. Raises ValueError for text that UTF-8 cannot hold."""
    subjects = ranking.subjects
    pasts = [subject.process for subject in subjects]
    head = Part(
        ranking.head,
        wholes={name: [getattr(subject, name) for subject in subjects] for name in _PLACE}
        | {name: [getattr(process, name) for process in pasts] for name in _COUNTS},
        texts={"blob": [subject.blob for subject in subjects]},
        optional={name: [getattr(process, name) for process in pasts] for name in (*_AMOUNTS, *_AGES)},
    )
    metadata = {"kind": _KIND, "schema_version": str(SCHEMA_VERSION), "id": ranking.id}
    metadata |= {name: str(getattr(ranking, name)) for name in (*_WORDS, *_TIMES)}
    return encode_parts({"train": Part(ranking.train, {"signals": ranking.signals}), "head": head}, metadata)


def decode_ranking_set(content: bytes, name: str = "ranking set") -> RankingSet:
    """The ranking set of a file's content; `name` is what an AssayError calls the file."""

    def read(table: ReadTable) -> tuple[RankingSet, str]:
        kind, version = table.metadata.get("kind"), table.metadata.get("schema_version")
        if kind == _KIND and version != str(SCHEMA_VERSION):
            raise AssayError(
                f"{name!r} holds a ranking set of version {version}, not {SCHEMA_VERSION}: gather it again"
            )
        if kind != _KIND:
            raise ValueError("a file of another kind")
        return _ranking_set(table, *table.parts("train", "head")), table.metadata["id"]

    try:
        ranking, known_as = decode_parts(content, read)
    except ValueError as error:
        raise AssayError(f"{name!r} holds no ranking set that can be read: gather it again") from error
    if ranking.id != known_as:
        raise AssayError(f"{name!r} is damaged, its content is not what its id says: gather it again")
    return ranking


def _ranking_set(table: ReadTable, train: ReadPart, head: ReadPart) -> RankingSet:
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


def _subjects(functions: tuple[Prompted, ...], head: ReadPart) -> Iterator[Subject]:
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
