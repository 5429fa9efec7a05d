from __future__ import annotations

import dataclasses
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.records import AssayError, PairMetrics, PairRow
from pipeline.reports.pairs_parquet import COLUMNS, PairsOrigin, read_pairs, write_pairs
from tests.builders import screenings as build
from tests.pipeline.reports.doc_tables import table

ORIGIN = PairsOrigin.of(build.mined(), "abc123abc123", "")


def pair(index: int = 0, **changes: object) -> PairRow:
    usual = PairRow(
        snapshot="train",
        path=f"src/module_{index}.py",
        qualified_name=f"Class.method_{index}",
        ordinal=0,
        language="python",
        start_line=3,
        end_line=5,
        code="def method(self):\n    return 1\n",
        credit=1.4,
        signal=0.7,
        touches=3,
        fixes=2,
        metrics=PairMetrics(lines=3),
        lineage=index,
    )
    return dataclasses.replace(usual, **changes)  # type: ignore[arg-type]


HELD_OUT = pair(1, snapshot="holdout", signal=None, lineage=None)
FILLED = pair(2, metrics=PairMetrics(3, 4, 2, 1, 0, 6), split="holdout", group=9)
HOSTILE = pair(3, path="a\\xff/\u202e.py", qualified_name="<script>", code="\x00 \ufffd 修复 👨\u200d👩 ]]>")


def test_rows_survive_a_round_trip_in_order(tmp_path: Path) -> None:
    rows = [pair(), HELD_OUT, FILLED, HOSTILE]
    assert write_pairs(iter(rows), tmp_path / "pairs.parquet", ORIGIN) == 4
    assert read_pairs(tmp_path / "pairs.parquet")[0] == rows


def test_a_file_without_rows_has_the_schema(tmp_path: Path) -> None:
    assert write_pairs([], tmp_path / "pairs.parquet", ORIGIN) == 0
    assert read_pairs(tmp_path / "pairs.parquet")[0] == []
    assert pq.read_schema(tmp_path / "pairs.parquet").remove_metadata().equals(COLUMNS)


def test_the_metadata_says_what_was_measured(tmp_path: Path) -> None:
    write_pairs([pair()], tmp_path / "pairs.parquet", ORIGIN)
    assert read_pairs(tmp_path / "pairs.parquet")[1] == {
        "schema_version": "1",
        "repo": "example/project",
        "head_sha": build.HEAD,
        "as_of": "2023-11-14T22:13:20Z",
        "train_start": "2020-11-14T22:13:20Z",
        "eval_start": "2022-11-14T22:13:20Z",
        "label_recipe_id": "abc123abc123",
        "config_hash": "",
    }


def test_a_repository_at_a_path_that_is_not_utf_8_can_be_written(tmp_path: Path) -> None:
    write_pairs([pair()], tmp_path / "pairs.parquet", dataclasses.replace(ORIGIN, repo="/src/\udcff"))
    assert read_pairs(tmp_path / "pairs.parquet")[1]["repo"] == r"/src/\udcff"


def test_columns_are_compressed_with_zstd(tmp_path: Path) -> None:
    write_pairs([pair()], tmp_path / "pairs.parquet", ORIGIN)
    group = pq.ParquetFile(tmp_path / "pairs.parquet").metadata.row_group(0)
    assert {group.column(i).compression for i in range(group.num_columns)} == {"ZSTD"}


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    held_bytes: list[int] = []

    def rows() -> Iterator[PairRow]:
        for index in range(48):
            held_bytes.append(pa.total_allocated_bytes())
            yield pair(index, code=f"{index} " * (1 << 19))

    before = pa.total_allocated_bytes()
    write_pairs(rows(), tmp_path / "pairs.parquet", ORIGIN)
    assert max(held_bytes) - before < 24 << 20  # half of the code alone
    assert pq.ParquetFile(tmp_path / "pairs.parquet").num_row_groups > 4


def test_many_small_rows_are_split_into_groups_too(tmp_path: Path) -> None:
    write_pairs((pair(index) for index in range(10_000)), tmp_path / "pairs.parquet", ORIGIN)
    file = pq.ParquetFile(tmp_path / "pairs.parquet")
    assert file.num_row_groups == 2
    assert file.metadata.num_rows == 10_000


def test_the_file_is_deterministic(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_pairs([pair(), FILLED], tmp_path / name, ORIGIN)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("error", [ValueError("bug"), AssayError("corrupt pack"), KeyboardInterrupt(), OSError("read")])
def test_mining_errors_propagate_and_leave_the_old_file(tmp_path: Path, error: BaseException) -> None:
    out = tmp_path / "pairs.parquet"
    out.write_bytes(b"old")

    def rows() -> Iterator[PairRow]:
        yield pair()
        raise error

    with pytest.raises(type(error)) as caught:
        write_pairs(rows(), out, ORIGIN)
    assert caught.value is error
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"pairs.parquet": b"old"}


@contextmanager
def _room_for(size_bytes: int) -> Iterator[None]:
    """No file may grow past `size_bytes`: the kernel refuses the write, as it does on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("room_bytes", [0, 20_000])
def test_a_full_disk_is_a_one_line_error_and_leaves_the_old_file(tmp_path: Path, room_bytes: int) -> None:
    out = tmp_path / "pairs.parquet"
    out.write_bytes(b"old")
    noise = os.urandom(200_000).hex()
    with (
        _room_for(room_bytes),
        pytest.raises(AssayError, match=r"^cannot write .*pairs\.parquet: File too large; make"),
    ):
        write_pairs((pair(index, code=noise) for index in range(30)), out, ORIGIN)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"pairs.parquet": b"old"}


def test_a_missing_folder_is_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match=r"No such file or directory; make room, or name another file with --out$"):
        write_pairs([pair()], tmp_path / "missing" / "pairs.parquet", ORIGIN)


def test_a_folder_or_a_pipe_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for out in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(AssayError, match="there is something that is not a file"):
            write_pairs([pair()], out, ORIGIN)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_control_character_in_the_name_does_not_reach_the_terminal(tmp_path: Path) -> None:
    with pytest.raises(AssayError) as caught:
        write_pairs([pair()], tmp_path / "missing" / "\x1b[31m", ORIGIN)
    assert str(caught.value).isprintable()


def test_a_missing_required_value_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="null"):
        write_pairs([pair(credit=None)], tmp_path / "pairs.parquet", ORIGIN)
    assert list(tmp_path.iterdir()) == []


def _described(fields: list[pa.Field]) -> list[tuple[str, str, str]]:
    kinds = [(field.name, str(field.type).split("<")[0], field.nullable) for field in fields]
    return [(name, kind, "yes" if nullable else "no") for name, kind, nullable in kinds]


def test_the_page_documents_every_column() -> None:
    documented = [tuple(row[:3]) for row in table("reference/pairs.md", "## Columns")]
    assert documented == _described(list(COLUMNS))


def test_the_page_documents_every_metric() -> None:
    documented = [tuple(row[:3]) for row in table("reference/pairs.md", "## Fields of `metrics`")]
    assert documented == _described(list(COLUMNS.field("metrics").type))


def test_the_page_documents_the_metadata() -> None:
    assert [row[0] for row in table("reference/pairs.md", "## Metadata of the file")] == list(ORIGIN.metadata())


def test_the_columns_are_the_fields_of_a_row() -> None:
    assert COLUMNS.names == [field.name for field in dataclasses.fields(PairRow)]
