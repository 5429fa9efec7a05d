"""Write training pairs and holdout functions to one Parquet file; docs/reference/pairs.md describes the columns.

Rows are written in groups as they arrive, so memory is bounded, and to a temporary name first, so that readers never
see a partial file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.records import AssayError, Mined, PairMetrics, PairRow
from pipeline.reports.escape import encodable, inert
from pipeline.reports.numbers import iso

SCHEMA_VERSION = 1

_GROUP_ROWS = 8_192
_GROUP_CODE_CHARACTERS = 4 << 20

_METRICS = pa.struct(
    [pa.field("lines", pa.int32(), nullable=False)]
    + [pa.field(field.name, pa.int32()) for field in dataclasses.fields(PairMetrics) if field.name != "lines"]
)

COLUMNS = pa.schema(
    [
        pa.field("snapshot", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("qualified_name", pa.string(), nullable=False),
        pa.field("ordinal", pa.int32(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("start_line", pa.int32(), nullable=False),
        pa.field("end_line", pa.int32(), nullable=False),
        pa.field("code", pa.string(), nullable=False),
        pa.field("credit", pa.float64(), nullable=False),
        pa.field("signal", pa.float64()),
        pa.field("touches", pa.int32(), nullable=False),
        pa.field("fixes", pa.int32(), nullable=False),
        pa.field("metrics", _METRICS, nullable=False),
        pa.field("lineage", pa.int64()),
        pa.field("split", pa.string()),
        pa.field("group", pa.int64()),
    ]
)

# Dictionary encoding pays off only for repeated names, not for `code` or numbers.
_DICTIONARY_COLUMNS = ["snapshot", "path", "language", "split"]


@dataclass(frozen=True, slots=True)
class PairsOrigin:
    """The origin of the rows, stored in the file's metadata. Times are Unix seconds."""

    repo: str
    head_sha: str
    as_of: int
    train_start: int
    eval_start: int
    label_recipe_id: str
    config_hash: str

    @classmethod
    def of(cls, mined: Mined, label_recipe_id: str, config_hash: str) -> PairsOrigin:
        """Return the origin of the pairs of a mined repository."""
        w = mined.windows
        return cls(mined.repo, mined.head_sha, w.as_of, w.train_start, w.eval_start, label_recipe_id, config_hash)

    def metadata(self) -> dict[str, str]:
        """Return the file metadata, with times in ISO 8601."""
        return {
            "schema_version": str(SCHEMA_VERSION),
            "repo": encodable(self.repo),
            "head_sha": self.head_sha,
            "as_of": iso(self.as_of),
            "train_start": iso(self.train_start),
            "eval_start": iso(self.eval_start),
            "label_recipe_id": self.label_recipe_id,
            "config_hash": self.config_hash,
        }


def write_pairs(rows: Iterable[PairRow], out: Path, origin: PairsOrigin) -> int:
    """Write all rows to `out` and return their number; an existing file is replaced once the last row is on disk.

    Raises AssayError if the file cannot be written (missing folder, no permission, full disk); exceptions from `rows`
    propagate. In either case `out` is unchanged.
    """
    written = 0
    partial = _PartialFile(out, COLUMNS.with_metadata(origin.metadata()))
    try:
        for group in _groups(rows):
            partial.write(group)
            written += len(group)
        partial.finish()
    finally:
        partial.discard()
    return written


def read_pairs(path: Path) -> tuple[list[PairRow], dict[str, str]]:
    """Read the rows and the metadata (see PairsOrigin) of a file that `write_pairs` wrote."""
    table = pq.read_table(path)
    rows = [PairRow(**{**row, "metrics": PairMetrics(**row["metrics"])}) for row in table.to_pylist()]
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    return rows, metadata


def _groups(rows: Iterable[PairRow]) -> Iterator[list[PairRow]]:
    """Batch rows so that a batch fits into memory, even with huge functions."""
    group: list[PairRow] = []
    characters = 0
    for row in rows:
        group.append(row)
        characters += len(row.code)
        if len(group) >= _GROUP_ROWS or characters >= _GROUP_CODE_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


class _PartialFile:
    """The file while it is being written, in the folder of its destination so that it can be renamed."""

    def __init__(self, out: Path, schema: Any) -> None:
        self._out = out
        self._path = out.parent / f".assay-{os.getpid()}-{secrets.token_hex(4)}.part"
        with self._explain_errors():
            if out.exists() and not out.is_file():  # a rename would even replace a device
                raise OSError(errno.EEXIST, "there is something that is not a file")
            self._sink = open(self._path, "xb")  # noqa: SIM115 (`discard` closes it)
        self._writer = pq.ParquetWriter(self._sink, schema, compression="zstd", use_dictionary=_DICTIONARY_COLUMNS)

    def write(self, group: list[PairRow]) -> None:
        arrays = [pa.array([_cell(row, field.name) for row in group], field.type) for field in COLUMNS]
        with self._explain_errors():
            self._writer.write_batch(pa.record_batch(arrays, schema=COLUMNS))

    def finish(self) -> None:
        with self._explain_errors():
            self._writer.close()
            self._sink.flush()
            os.fsync(self._sink.fileno())
            self._sink.close()
            os.replace(self._path, self._out)

    def discard(self) -> None:
        """Clean up; does nothing after `finish`."""
        for step in (self._writer.close, self._sink.close, self._path.unlink):
            with contextlib.suppress(OSError):  # on a full disk, closing fails like writing did
                step()

    @contextlib.contextmanager
    def _explain_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            where = inert(str(self._out))
            raise AssayError(f"cannot write {where}: {reason}; make room, or name another file with --out") from error


def _cell(row: PairRow, column: str) -> object:
    return dataclasses.asdict(row.metrics) if column == "metrics" else getattr(row, column)
