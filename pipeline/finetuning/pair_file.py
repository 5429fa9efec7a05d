"""Read and write a pair set as one Parquet file, for the machine that trains."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Any

from pipeline.finetuning.function_table import FileKind, Part, StoredTable, decode_set, encode_set
from pipeline.finetuning.pair_set import PairSet
from pipeline.records import AssayError

_KIND = FileKind("pair set", version=1)

_LABELS = {"train": ("signals", "early_signals", "late_credits"), "holdout": ("labels",)}
_SCORE = "score of "
_WORDS = ("repo", "head_sha", "label_recipe_id", "config_hash")
_TIMES = ("train_start", "eval_start", "as_of")


def save_pairs(pair_set: PairSet, file: Path) -> None:
    """Write the file whole or not at all. Raises AssayError if it cannot be written."""
    unfinished = file.parent / f".assay-{os.getpid()}-{secrets.token_hex(4)}.part"
    try:
        with unfinished.open("xb") as sink:
            sink.write(encode_pairs(pair_set))
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(unfinished, file)
    except OSError as error:
        raise AssayError(f"cannot write {file.name!r}: {error.strerror}; free space or name another file") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def load_pairs(file: Path) -> PairSet:
    """Read a file of `save_pairs`. Raises AssayError if it is unreadable, damaged, or of another version."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise AssayError(f"cannot read {file.name!r}: {error.strerror}") from error
    return decode_pairs(content, file.name)


def encode_pairs(pair_set: PairSet) -> bytes:
    """Return the content of the file; equal pair sets give equal bytes. Raises ValueError for text not in UTF-8."""
    labels = {side: {label: getattr(pair_set, label) for label in _LABELS[side]} for side in _LABELS}
    scores = {_SCORE + name: values for name, values in pair_set.scores.items()}
    parts = {
        "train": Part(pair_set.train, labels["train"]),
        "holdout": Part(pair_set.holdout, labels["holdout"] | scores, {"holdout_lines": pair_set.lines}),
    }
    return encode_set(
        _KIND, parts, _digests(pair_set) | {name: str(getattr(pair_set, name)) for name in (*_WORDS, *_TIMES)}
    )


def decode_pairs(content: bytes, name: str = "pairs") -> PairSet:
    """Return the pair set of a file's content. Raises AssayError, which calls the file `name`."""
    return decode_set(content, name, _KIND, _pair_set, _digests)


def _digests(pair_set: PairSet) -> dict[str, str]:
    return {"id": pair_set.id, "scores": pair_set.scores_digest}


def _pair_set(table: StoredTable) -> PairSet:
    train, holdout = table.parts("train", "holdout")
    parts = {"train": train, "holdout": holdout}
    labels: dict[str, Any] = {label: parts[side].floats(label) for side in _LABELS for label in _LABELS[side]}
    origin: dict[str, Any] = {name: table.metadata[name] for name in _WORDS}
    origin |= {name: int(table.metadata[name]) for name in _TIMES}
    scorers = [name for name in holdout.names if name.startswith(_SCORE)]
    return PairSet(
        **origin,
        **labels,
        train=train.functions(),
        holdout=holdout.functions(),
        lines=tuple(holdout.column("holdout_lines")),
        scores={name.removeprefix(_SCORE): holdout.floats(name) for name in scorers},
    )
