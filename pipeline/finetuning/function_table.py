"""Functions and the numbers beside them as one Parquet file: one row per function, one part after the other.

A file is accepted only if its content still matches the digests that were written with it.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.finetuning.prompts import Prompted
from pipeline.ranking.bootstrap import Floats
from pipeline.records import AssayError, PairMetrics

_TEXTS = ("path", "qualified_name", "language", "code")
_METRICS = tuple(field.name for field in dataclasses.fields(PairMetrics))
_SIDE = "side"
_REPEATED = [_SIDE, "path", "language"]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of set that is kept in such a file."""

    name: str
    version: int
    marker: str = ""  # metadata `kind`; empty for files that have none

    @property
    def metadata(self) -> dict[str, str]:
        return ({"kind": self.marker} if self.marker else {}) | {"schema_version": str(self.version)}


@dataclass(frozen=True, eq=False)
class Part:
    """Functions that belong together, with columns by name in the order of the functions."""

    functions: tuple[Prompted, ...]
    floats: Mapping[str, Floats] = field(default_factory=dict)  # NaN is a value here
    wholes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    optional: Mapping[str, Sequence[float | None]] = field(default_factory=dict)


class StoredPart:
    """A part as read. Raises LookupError for a missing column and ValueError for a missing value."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self.names: tuple[str, ...] = tuple(table.column_names)

    def functions(self) -> tuple[Prompted, ...]:
        texts = zip(*(self.column(text) for text in _TEXTS), strict=True)
        metrics = zip(*(self.column(metric) for metric in _METRICS), strict=True)
        return tuple(
            Prompted(path, name, language, PairMetrics(*counts), code)
            for (path, name, language, code), counts in zip(texts, metrics, strict=True)
        )

    def floats(self, name: str) -> Floats:
        column = self._table.column(name)
        if column.null_count:
            raise ValueError("a number is missing")
        return np.array(column.to_numpy(), dtype=np.float64)

    def column(self, name: str) -> list[Any]:
        values: list[Any] = self._table.column(name).to_pylist()
        return values


class StoredTable:
    """A file of `encode_set`: its metadata, and its rows by part."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self.metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}

    def parts(self, *sides: str) -> Iterator[StoredPart]:
        """Yield the part of each side. Raises ValueError unless the rows stand in that order."""
        stored, begin = self._table.column(_SIDE).to_pylist(), 0
        counts = [stored.count(side) for side in sides]
        if stored != [side for side, count in zip(sides, counts, strict=True) for _ in range(count)]:
            raise ValueError("the sides are mixed")
        for count in counts:
            yield StoredPart(self._table.slice(begin, count))
            begin += count


def encode_set(kind: FileKind, parts: Mapping[str, Part], metadata: Mapping[str, str]) -> bytes:
    """Return the content of the file; equal sets give equal bytes. Raises ValueError for text that is not UTF-8."""
    table = pa.concat_tables([_table(side, part) for side, part in parts.items()], promote_options="default")
    table = table.replace_schema_metadata(kind.metadata | dict(metadata))
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", use_dictionary=_REPEATED)
    return sink.getvalue()


def decode_set(
    content: bytes,
    name: str,
    kind: FileKind,
    read: Callable[[StoredTable], _T],
    digests: Callable[[_T], Mapping[str, str]],
) -> _T:
    """Return the set that `read` builds from the content of a file called `name`.

    Raises AssayError for a file of another kind or version, and if its `digests` differ from the stored ones.
    """
    try:
        table = StoredTable(pq.read_table(pa.BufferReader(content), use_threads=False))
        if table.metadata.get("kind", "") != kind.marker:
            raise ValueError("another kind of file")
        version = table.metadata.get("schema_version")
        if version != str(kind.version):
            raise AssayError(f"{name!r} is a {kind.name} of version {version}, not {kind.version}: build it again")
        decoded = read(table)
        intact = all(table.metadata[key] == digest for key, digest in digests(decoded).items())
    except (pa.ArrowException, ArithmeticError, LookupError, OSError, TypeError, ValueError) as error:
        raise AssayError(f"{name!r} is not a readable {kind.name}: build it again") from error
    if not intact:
        raise AssayError(f"{name!r} is damaged: its content does not match its id; build it again")
    return decoded


def _table(side: str, part: Part) -> Any:
    columns: dict[str, Any] = {_SIDE: pa.array([side] * len(part.functions), pa.string())}
    columns |= {text: pa.array([getattr(f, text) for f in part.functions], pa.string()) for text in _TEXTS}
    columns |= {name: pa.array([getattr(f.metrics, name) for f in part.functions], pa.int64()) for name in _METRICS}
    columns |= {name: pa.array(values, pa.int64()) for name, values in part.wholes.items()}
    columns |= {name: pa.array(values, pa.string()) for name, values in part.texts.items()}
    columns |= {name: pa.array(values, pa.float64()) for name, values in part.optional.items()}
    columns |= {name: pa.array(np.asarray(values, dtype=np.float64)) for name, values in part.floats.items()}
    return pa.table(columns)
