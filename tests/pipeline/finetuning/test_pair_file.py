from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.finetuning.pair_file import decode_pairs, encode_pairs, load_pairs, save_pairs
from pipeline.finetuning.pair_set import PairSet
from pipeline.finetuning.prompts import Prompted
from pipeline.records import AssayError, PairMetrics
from tests.pipeline.finetuning.pair_sets import pair_set, prompted

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
TIME = st.integers(-(1 << 40), 1 << 40)
COUNT = st.none() | st.integers(0, 1 << 31)
PROMPTED = st.builds(
    Prompted, TEXT, TEXT, TEXT, st.builds(PairMetrics, st.integers(0, 1 << 20), COUNT, COUNT, COUNT, COUNT, COUNT), TEXT
)


def floats(n: int) -> st.SearchStrategy[Any]:
    return arrays.arrays(np.float64, n)


@st.composite
def pair_sets(draw: st.DrawFn) -> PairSet:
    train, holdout = (tuple(draw(st.lists(PROMPTED, max_size=3))) for _ in range(2))
    n, m = len(train), len(holdout)
    return PairSet(
        repo=draw(TEXT),
        head_sha=draw(TEXT),
        train_start=draw(TIME),
        eval_start=draw(TIME),
        as_of=draw(TIME),
        label_recipe_id=draw(TEXT),
        config_hash=draw(TEXT),
        train=train,
        signals=draw(floats(n)),
        early_signals=draw(floats(n)),
        late_credits=draw(floats(n)),
        holdout=holdout,
        labels=draw(floats(m)),
        lines=tuple(draw(st.lists(st.integers(0, 1 << 30), min_size=m, max_size=m))),
        scores={name: draw(floats(m)) for name in draw(st.lists(TEXT, max_size=3, unique=True))},
    )


def same(one: PairSet, other: PairSet) -> bool:
    """Compare field by field and bit by bit, except for NaN payloads."""
    whole = all(getattr(one, name) == getattr(other, name) for name in ("train", "holdout", "lines", "repo", "as_of"))
    labels = ("signals", "early_signals", "late_credits", "labels")
    numbers = [(getattr(one, name), getattr(other, name)) for name in labels]
    numbers += [(one.scores[name], other.scores[name]) for name in one.scores]
    equal = all(np.array_equal(a, b, equal_nan=True) and (np.signbit(a) == np.signbit(b)).all() for a, b in numbers)
    return whole and equal and list(one.scores) == list(other.scores) and one.id == other.id


@settings(deadline=None)
@given(pair_sets())
def test_a_pair_set_round_trips(pairs: PairSet) -> None:
    assert same(decode_pairs(encode_pairs(pairs)), pairs)


def test_a_pair_set_round_trips_through_a_file(tmp_path: Path) -> None:
    file = tmp_path / "shop.pairs"
    save_pairs(pair_set(), file)
    assert same(load_pairs(file), pair_set())
    assert os.listdir(tmp_path) == ["shop.pairs"]


def test_a_pair_set_without_functions_round_trips() -> None:
    none = np.array([])
    empty = pair_set(
        train=(), signals=none, early_signals=none, late_credits=none, holdout=(), labels=none, lines=(), scores={}
    )
    assert same(decode_pairs(encode_pairs(empty)), empty)


def test_equal_pair_sets_make_equal_bytes() -> None:
    assert encode_pairs(pair_set()) == encode_pairs(pair_set())


def changed(edit: Any) -> bytes:
    """Return a file that was edited while its id stayed the same."""
    table = edit(pq.read_table(pa.BufferReader(encode_pairs(pair_set()))))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def with_column(name: str, values: list[Any]) -> Any:
    def edit(table: Any) -> Any:
        at = table.column_names.index(name)
        return table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))

    return edit


def test_a_file_that_was_changed_is_refused(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, str]] = [
        (with_column("signals", [0.0, 0.7, 0.9, None, None]), "is damaged"),
        (with_column("labels", [None, None, None, 0.0, 0.0]), "is damaged"),
        (with_column("score of baseline", [None, None, None, 0.5, 0.5]), "is damaged"),
        (with_column("code", ["a", "b", "c", "d", "e"]), "is damaged"),
        (with_column("signals", [0.0, None, 0.9, None, None]), "not a readable pair set"),
        (with_column("holdout_lines", [None] * 5), "is damaged"),
        (with_column("side", ["train", "holdout", "train", "train", "holdout"]), "not a readable pair set"),
        (lambda table: table.drop_columns(["early_signals"]), "not a readable pair set"),
        (lambda table: table.slice(0, 4), "is damaged"),
        (lambda table: table.replace_schema_metadata({"schema_version": "1"}), "not a readable pair set"),
        (lambda table: table.replace_schema_metadata({"schema_version": "2"}), "of version 2, not 1"),
        (lambda table: table.replace_schema_metadata(None), "of version None, not 1"),
    ]
    for edit, words in cases:
        with (
            subtests.test(edit=edit, words=words),
            pytest.raises(AssayError, match=f"{words}.*build it again$"),
        ):
            decode_pairs(changed(edit), "shop.pairs")


@settings(deadline=None, max_examples=50)
@given(st.integers(0, len(encode_pairs(pair_set())) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_detected_or_harmless(at: int, flip: int) -> None:
    damaged = bytearray(encode_pairs(pair_set()))
    damaged[at] ^= flip
    try:
        decoded = decode_pairs(bytes(damaged))
    except AssayError:
        return
    assert same(decoded, pair_set())


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not a parquet file", encode_pairs(pair_set())[:-9]])
def test_half_a_file_is_one_clear_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "shop.pairs").write_bytes(content)
    with pytest.raises(AssayError, match=r"^'shop\.pairs' is not a readable pair set"):
        load_pairs(tmp_path / "shop.pairs")


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match=r"^cannot read 'none': No such file or directory$"):
        load_pairs(tmp_path / "none")


def test_a_failure_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "shop.pairs"
    file.write_bytes(b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(AssayError, match=r"cannot write 'shop\.pairs': No space left on device"):
        save_pairs(pair_set(), file)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"shop.pairs": b"old"}


def test_text_that_utf_8_cannot_encode_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        encode_pairs(pair_set(holdout=(prompted("\ud800"), prompted("h"))))
