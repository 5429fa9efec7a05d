"""A pair set as one Parquet file, for the machine that trains. What is read is what was written, or it is refused."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.finetuning.pair_set import PairSet
from pipeline.finetuning.prompts import Prompted
from pipeline.ranking.resampling import Floats
from pipeline.records import AssayError, PairMetrics

SCHEMA_VERSION = 1

_TEXTS = ("path", "qualified_name", "language", "code")
_METRICS = tuple(field.name for field in dataclasses.fields(PairMetrics))
_LABELS = {"train": ("signals", "early_signals", "late_credits"), "holdout": ("labels",)}
_SCORE = "score of "
_WORDS = ("repo", "head_sha", "label_recipe_id", "config_hash")
_TIMES = ("train_start", "eval_start", "as_of")


def save_pairs(pair_set: PairSet, file: Path) -> None:
    """Write the file whole or not at all. Raises AssayError where it cannot be written."""
    unfinished = file.parent / f".assay-{os.getpid()}-{secrets.token_hex(4)}.part"
    try:
        with unfinished.open("xb") as sink:
            sink.write(encode_pairs(pair_set))
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(unfinished, file)
    except OSError as error:
        raise AssayError(f"cannot write {file.name!r}: {error.strerror}; make room, or name another place") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def load_pairs(file: Path) -> PairSet:
    """Read a file of `save_pairs`. Raises AssayError where it cannot be read, is damaged, or is of another version."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise AssayError(f"cannot read {file.name!r}: {error.strerror}") from error
    return decode_pairs(content, file.name)


def encode_pairs(pair_set: PairSet) -> bytes:
    """The content of the file. Equal pair sets make equal bytes. Raises ValueError for text that UTF-8 cannot hold."""
    table = pa.concat_tables([_table(pair_set, "train"), _table(pair_set, "holdout")], promote_options="default")
    metadata = {"schema_version": str(SCHEMA_VERSION), "id": pair_set.id, "scores": pair_set.scores_digest}
    metadata |= {name: str(getattr(pair_set, name)) for name in (*_WORDS, *_TIMES)}
    sink = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata(metadata), sink, compression="zstd", use_dictionary=["side", "path", "language"]
    )
    return sink.getvalue()


def decode_pairs(content: bytes, name: str = "pairs") -> PairSet:
    """The pair set of a file's content; `name` is what an AssayError calls the file."""
    try:
        table = pq.read_table(pa.BufferReader(content), use_threads=False)
        metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        version = metadata.get("schema_version")
        if version != str(SCHEMA_VERSION):
            raise AssayError(f"{name!r} holds pairs of version {version}, not {SCHEMA_VERSION}: gather the pairs again")
        pair_set = _pair_set(table, metadata)
        whole = (pair_set.id, pair_set.scores_digest) == (metadata["id"], metadata["scores"])
    except (pa.ArrowException, ArithmeticError, LookupError, OSError, TypeError, ValueError) as error:
        raise AssayError(f"{name!r} holds no pairs that can be read: gather the pairs again") from error
    if not whole:
        raise AssayError(f"{name!r} is damaged, its content is not what its id says: gather the pairs again")
    return pair_set


def _table(pair_set: PairSet, side: str) -> Any:
    functions: tuple[Prompted, ...] = getattr(pair_set, side)
    columns: dict[str, Any] = {"side": pa.array([side] * len(functions), pa.string())}
    for text in _TEXTS:
        columns[text] = pa.array([getattr(f, text) for f in functions], pa.string())
    for metric in _METRICS:
        columns[metric] = pa.array([getattr(f.metrics, metric) for f in functions], pa.int64())
    numbers: dict[str, Floats] = {label: getattr(pair_set, label) for label in _LABELS[side]}
    if side == "holdout":
        numbers |= {_SCORE + name: values for name, values in pair_set.scores.items()}
        columns["holdout_lines"] = pa.array(pair_set.lines, pa.int64())
    columns |= {label: pa.array(np.asarray(values, dtype=np.float64)) for label, values in numbers.items()}
    return pa.table(columns)


def _pair_set(table: Any, metadata: Mapping[str, str]) -> PairSet:
    sides = table.column("side").to_pylist()
    trained = sides.count("train")
    if sides != ["train"] * trained + ["holdout"] * (len(sides) - trained):
        raise ValueError("the sides are mixed")
    parted = {"train": table.slice(0, trained), "holdout": table.slice(trained)}
    labels: dict[str, Any] = {label: _floats(parted[side].column(label)) for side in _LABELS for label in _LABELS[side]}
    scorers = [name for name in table.column_names if name.startswith(_SCORE)]
    origin: dict[str, Any] = {name: metadata[name] for name in _WORDS}
    origin |= {name: int(metadata[name]) for name in _TIMES}
    return PairSet(
        **origin,
        **labels,
        train=_functions(parted["train"]),
        holdout=_functions(parted["holdout"]),
        lines=tuple(parted["holdout"].column("holdout_lines").to_pylist()),
        scores={name.removeprefix(_SCORE): _floats(parted["holdout"].column(name)) for name in scorers},
    )


def _functions(part: Any) -> tuple[Prompted, ...]:
    texts = zip(*(part.column(text).to_pylist() for text in _TEXTS), strict=True)
    metrics = zip(*(part.column(metric).to_pylist() for metric in _METRICS), strict=True)
    return tuple(
        Prompted(path, name, language, PairMetrics(*counts), code)
        for (path, name, language, code), counts in zip(texts, metrics, strict=True)
    )


def _floats(column: Any) -> Floats:
    if column.null_count:
        raise ValueError("a number is missing")
    return np.array(column.to_numpy(), dtype=np.float64)
