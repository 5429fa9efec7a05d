from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.finetuning.pair_file import decode_pairs, encode_pairs
from pipeline.finetuning.ranking_file import decode_ranking_set, encode_ranking_set
from pipeline.finetuning.ranking_set import RankingSet
from pipeline.mining.process_metrics import ProcessMetrics
from pipeline.ranking.scorer import Subject
from pipeline.records import AssayError
from tests.pipeline.finetuning.pair_sets import pair_set, prompted
from tests.pipeline.finetuning.ranking_sets import ranking_set
from tests.pipeline.finetuning.test_pair_file import PROMPTED, TEXT, TIME, floats, with_column

AMOUNT = st.floats(0, 1e9)
AGE = st.none() | AMOUNT
COUNT = st.integers(0, 1 << 31)
PAST = st.builds(ProcessMetrics, COUNT, COUNT, AMOUNT, AGE, AGE, COUNT, AMOUNT, COUNT, COUNT, AMOUNT, COUNT)


@st.composite
def ranking_sets(draw: st.DrawFn) -> RankingSet:
    train, head = (tuple(draw(st.lists(PROMPTED, max_size=3))) for _ in range(2))
    return RankingSet(
        repo=draw(TEXT),
        head_sha=draw(TEXT),
        train_start=draw(TIME),
        as_of=draw(TIME),
        label_recipe_id=draw(TEXT),
        config_hash=draw(TEXT),
        train=train,
        signals=draw(floats(len(train))),
        head=head,
        subjects=tuple(
            Subject(
                f.path,
                f.qualified_name,
                draw(COUNT),
                f.language,
                draw(COUNT),
                draw(COUNT),
                draw(TEXT),
                f.metrics,
                draw(PAST),
            )
            for f in head
        ),
    )


def same(one: RankingSet, other: RankingSet) -> bool:
    """Compare field by field and bit by bit, except for NaN payloads."""
    fields = ("repo", "head_sha", "train_start", "as_of", "label_recipe_id", "config_hash", "train", "head", "subjects")
    whole = all(getattr(one, name) == getattr(other, name) for name in fields)
    signs = (np.signbit(one.signals) == np.signbit(other.signals)).all()
    return bool(whole and signs and np.array_equal(one.signals, other.signals, equal_nan=True) and one.id == other.id)


@settings(deadline=None)
@given(ranking_sets())
def test_a_ranking_set_round_trips(ranking: RankingSet) -> None:
    assert same(decode_ranking_set(encode_ranking_set(ranking)), ranking)


def test_a_ranking_set_without_functions_round_trips() -> None:
    empty = ranking_set(train=(), signals=np.array([]), head=())
    assert same(decode_ranking_set(encode_ranking_set(empty)), empty)


def test_equal_ranking_sets_make_equal_bytes() -> None:
    assert encode_ranking_set(ranking_set()) == encode_ranking_set(ranking_set())


def changed(edit: Any) -> bytes:
    """Return a file that was edited while its id stayed the same."""
    table = edit(pq.read_table(pa.BufferReader(encode_ranking_set(ranking_set()))))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def test_a_file_that_was_changed_is_refused(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, str]] = [
        (with_column("signals", [0.0, 0.7, 0.9, None, None]), "is damaged"),
        (with_column("code", ["a", "b", "c", "d", "e"]), "is damaged"),
        (with_column("decayed_touches", [None, None, None, 1.0, 0.0]), "is damaged"),
        (with_column("days_since_touch", [None] * 5), "is damaged"),
        (with_column("start_line", [None, None, None, 2, 11]), "is damaged"),
        (with_column("fixes", [None] * 5), "not a readable ranking set"),
        (with_column("signals", [0.0, None, 0.9, None, None]), "not a readable ranking set"),
        (with_column("side", ["train", "head", "train", "train", "head"]), "not a readable ranking set"),
        (with_column("side", ["train", "train", "train", "head", "tail"]), "not a readable ranking set"),
        (lambda table: table.drop_columns(["blob"]), "not a readable ranking set"),
        (lambda table: table.slice(0, 4), "is damaged"),
        (lambda table: table.replace_schema_metadata(None), "not a readable ranking set"),
        (
            lambda table: table.replace_schema_metadata({"kind": "ranking set", "schema_version": "2"}),
            "of version 2, not 1",
        ),
    ]
    for edit, words in cases:
        with (
            subtests.test(edit=edit, words=words),
            pytest.raises(AssayError, match=f"^'shop' .*{words}.*build it again$"),
        ):
            decode_ranking_set(changed(edit), "shop")


@settings(deadline=None, max_examples=50)
@given(st.integers(0, len(encode_ranking_set(ranking_set())) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_detected_or_harmless(at: int, flip: int) -> None:
    damaged = bytearray(encode_ranking_set(ranking_set()))
    damaged[at] ^= flip
    try:
        decoded = decode_ranking_set(bytes(damaged))
    except AssayError:
        return
    assert same(decoded, ranking_set())


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not a parquet file", encode_pairs(pair_set())])
def test_a_file_of_another_kind_is_one_clear_line(content: bytes) -> None:
    with pytest.raises(AssayError, match=r"^'shop' is not a readable ranking set: build it again$"):
        decode_ranking_set(content, "shop")


def test_a_ranking_set_is_not_a_pair_set() -> None:
    with pytest.raises(AssayError, match="is not a readable pair set"):
        decode_pairs(encode_ranking_set(ranking_set()))


def test_text_that_utf_8_cannot_encode_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        encode_ranking_set(ranking_set(head=(prompted("\ud800"), prompted("h"))))
