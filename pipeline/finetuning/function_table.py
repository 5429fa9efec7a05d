"""Functions and the numbers beside them as one Parquet file: a row a function, one part after the other.

What is read is what was written, or it is refused: whoever reads compares the content with the id that was written.
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
from pipeline.records import PairMetrics

_TEXTS = ("path", "qualified_name", "language", "code")
_METRICS = tuple(field.name for field in dataclasses.fields(PairMetrics))
_SIDE = "side"
_REPEATED = [_SIDE, "path", "language"]
_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Part:
    """Functions that belong together. Columns are by name and in the order of the functions."""

    functions: tuple[Prompted, ...]
    floats: Mapping[str, Floats] = field(default_factory=dict)  # NaN is a number here
    wholes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    optional: Mapping[str, Sequence[float | None]] = field(default_factory=dict)


class ReadPart:
    """A part as it is in a file. Raises LookupError for a column that is not there, ValueError for a missing value."""

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


def encode_parts(parts: Mapping[str, Part], metadata: Mapping[str, str]) -> bytes:
    """The content of the file; equal parts make equal bytes. Raises ValueError for text that UTF-8 cannot hold."""
    table = pa.concat_tables([_table(side, part) for side, part in parts.items()], promote_options="default")
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(dict(metadata)), sink, compression="zstd", use_dictionary=_REPEATED)
    return sink.getvalue()


class ReadTable:
    """A file of `encode_parts`, before its rows are looked at."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self.metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}

    def parts(self, *sides: str) -> Iterator[ReadPart]:
        """The part of each side, in their order. Raises ValueError where rows of a side stand elsewhere."""
        found, begin = self._table.column(_SIDE).to_pylist(), 0
        counts = [found.count(side) for side in sides]
        if found != [side for side, count in zip(sides, counts, strict=True) for _ in range(count)]:
            raise ValueError("the sides are mixed")
        for count in counts:
            yield ReadPart(self._table.slice(begin, count))
            begin += count


def decode_parts(content: bytes, read: Callable[[ReadTable], _T]) -> _T:
    """What `read` makes of a file; its AssayError passes through.

    Raises ValueError for a file that is not of `encode_parts`, or that `read` misses something in.
    """
    try:
        return read(ReadTable(pq.read_table(pa.BufferReader(content), use_threads=False)))
    except (pa.ArrowException, ArithmeticError, LookupError, OSError, TypeError, ValueError) as error:
        raise ValueError("not what was written") from error


def _table(side: str, part: Part) -> Any:
    columns: dict[str, Any] = {_SIDE: pa.array([side] * len(part.functions), pa.string())}
    columns |= {text: pa.array([getattr(f, text) for f in part.functions], pa.string()) for text in _TEXTS}
    columns |= {name: pa.array([getattr(f.metrics, name) for f in part.functions], pa.int64()) for name in _METRICS}
    columns |= {name: pa.array(values, pa.int64()) for name, values in part.wholes.items()}
    columns |= {name: pa.array(values, pa.string()) for name, values in part.texts.items()}
    columns |= {name: pa.array(values, pa.float64()) for name, values in part.optional.items()}
    columns |= {name: pa.array(np.asarray(values, dtype=np.float64)) for name, values in part.floats.items()}
    return pa.table(columns)
