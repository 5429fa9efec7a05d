"""A pair set as one Parquet file, for the machine that trains. What is read is what was written, or it is refused."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.finetuning.function_table import Part, ReadPart, ReadTable, decode_parts, encode_parts
from pipeline.finetuning.pair_set import PairSet
from pipeline.records import AssayError

SCHEMA_VERSION = 1

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
    labels = {side: {label: getattr(pair_set, label) for label in _LABELS[side]} for side in _LABELS}
    scores = {_SCORE + name: values for name, values in pair_set.scores.items()}
    metadata = {"schema_version": str(SCHEMA_VERSION), "id": pair_set.id, "scores": pair_set.scores_digest}
    metadata |= {name: str(getattr(pair_set, name)) for name in (*_WORDS, *_TIMES)}
    return encode_parts(
        {
            "train": Part(pair_set.train, labels["train"]),
            "holdout": Part(pair_set.holdout, labels["holdout"] | scores, {"holdout_lines": pair_set.lines}),
        },
        metadata,
    )


def decode_pairs(content: bytes, name: str = "pairs") -> PairSet:
    """The pair set of a file's content; `name` is what an AssayError calls the file."""

    def read(table: ReadTable) -> tuple[PairSet, bool]:
        version = table.metadata.get("schema_version")
        if version != str(SCHEMA_VERSION):
            raise AssayError(f"{name!r} holds pairs of version {version}, not {SCHEMA_VERSION}: gather the pairs again")
        pair_set = _pair_set(table.metadata, *table.parts("train", "holdout"))
        return pair_set, (pair_set.id, pair_set.scores_digest) == (table.metadata["id"], table.metadata["scores"])

    try:
        pair_set, whole = decode_parts(content, read)
    except ValueError as error:
        raise AssayError(f"{name!r} holds no pairs that can be read: gather the pairs again") from error
    if not whole:
        raise AssayError(f"{name!r} is damaged, its content is not what its id says: gather the pairs again")
    return pair_set


def _pair_set(metadata: Mapping[str, str], train: ReadPart, holdout: ReadPart) -> PairSet:
    parts = {"train": train, "holdout": holdout}
    labels: dict[str, Any] = {label: parts[side].floats(label) for side in _LABELS for label in _LABELS[side]}
    origin: dict[str, Any] = {name: metadata[name] for name in _WORDS}
    origin |= {name: int(metadata[name]) for name in _TIMES}
    scorers = [name for name in holdout.names if name.startswith(_SCORE)]
    return PairSet(
        **origin,
        **labels,
        train=train.functions(),
        holdout=holdout.functions(),
        lines=tuple(holdout.column("holdout_lines")),
        scores={name.removeprefix(_SCORE): holdout.floats(name) for name in scorers},
    )
