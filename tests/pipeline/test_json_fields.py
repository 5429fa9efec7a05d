from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.json_fields import (
    MAX_BYTES,
    MAX_TEXT_LENGTH,
    Fields,
    MalformedError,
    parse_json,
    parse_object,
    parse_record,
    render_json,
)

VALUES = Fields(
    {
        "text": "abc",
        "empty": "",
        "escape": "a\x1b[2J",
        "surrogate": "\ud800",
        "long": "x" * (MAX_TEXT_LENGTH + 1),
        "number": 0.5,
        "huge": 10**400,
        "whole": 3,
        "flag": True,
        "null": None,
        "list": [1, 2],
        "mixed": [1, "a"],
        "object": {"inner": 1},
    },
    "file",
)


def test_anything_but_a_json_object_is_refused_in_one_line(subtests: pytest.Subtests) -> None:
    cases: list[tuple[bytes, str]] = [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[1]", "expected an object, not a list"),
        (b"3", "expected an object, not a number"),
        (b"null", "expected an object, not null"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"a": 1, "a": 2}', "repeats a key"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "not valid JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b'{"a":' + b"[" * 200_000, "nested too deep"),
        (b" " * (MAX_BYTES + 1), "larger than 16 MB"),
    ]
    for raw, words in cases:
        with subtests.test(raw=raw, words=words):
            with pytest.raises(MalformedError, match=r"^file: ") as refusal:
                parse_object(raw, "file")
            assert words in str(refusal.value)
            assert "\n" not in str(refusal.value)


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse_object(b'\xef\xbb\xbf{"a": 1}', "file").whole("a") == 1


def test_an_error_names_the_place_and_what_was_expected(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, str]] = [
        (lambda f: f.text("missing"), "file.missing: is missing"),
        (lambda f: f.text("empty"), "file.empty: is empty"),
        (lambda f: f.text("number"), "file.number: expected printable text of at most 500 characters, not 0.5"),
        (lambda f: f.text("escape"), r"not 'a\x1b[2J'"),
        (lambda f: f.text("surrogate"), r"not '\ud800'"),
        (lambda f: f.text("long"), "xxx..."),
        (lambda f: f.number("flag", 0, 1), "expected a number from 0 to 1, not True"),
        (lambda f: f.number("whole", 0, 1), "expected a number from 0 to 1, not 3"),
        (lambda f: f.number("huge", 0, 1), "not a huge number"),
        (lambda f: f.number("list", 0, 1), "not a list"),
        (lambda f: f.whole("number"), "expected a whole number of at least 0, not 0.5"),
        (lambda f: f.whole("flag"), "expected a whole number of at least 0, not True"),
        (lambda f: f.whole("whole", 4), "expected a whole number of at least 4, not 3"),
        (lambda f: f.flag("whole"), "expected true or false, not 3"),
        (lambda f: f.choice("text", ("x", "y")), "expected one of x, y, not 'abc'"),
        (lambda f: f.inner("list"), "file.list: expected an object, not a list"),
        (lambda f: list(f.objects("object")), "file.object: expected a list, not an object"),
        (lambda f: list(f.objects("list")), "file.list[0]: expected an object, not a number"),
        (lambda f: f.numbers("mixed", 0, 9), "file.mixed.1: expected a number from 0 to 9, not 'a'"),
        (lambda f: f.texts("mixed"), "file.mixed.0: expected printable text"),
        (lambda f: list(f.rows("list", ("a", "b"))), "file.list: expected lists of a and b"),
        (lambda f: list(f.rows("text", ("a", "b"))), "file.text: expected a list, not text"),
        (lambda f: f.value("missing"), "file.missing: is missing"),
        (lambda f: f.require_schema(1), "file.schema_version: is missing"),
    ]
    for read, message in cases:
        with subtests.test(read=read, message=message):
            with pytest.raises(MalformedError) as refusal:
                read(VALUES)
            assert message in str(refusal.value)
            assert str(refusal.value).isprintable()


def test_valid_values_are_returned() -> None:
    assert VALUES.text("text") == "abc"
    assert VALUES.text("empty", empty=True) == ""
    assert (VALUES.number("number", 0, 1), VALUES.number("whole", 0, 9)) == (0.5, 3.0)
    assert (VALUES.whole("whole"), VALUES.flag("flag")) == (3, True)
    assert VALUES.choice("text", ("x", "abc")) == "abc"
    assert VALUES.inner("object").whole("inner") == 1
    assert VALUES.numbers("list", 0, 9) == (1.0, 2.0)
    assert [row.whole("b") for row in Fields({"rows": [["x", 1], ["y", 2]]}, "file").rows("rows", ("a", "b"))] == [1, 2]
    assert VALUES.value("null") is None
    assert VALUES.optional("null", lambda: VALUES.text("null")) is None
    assert ("null" in VALUES, "text" in VALUES, "missing" in VALUES) == (False, True, False)


def test_another_schema_version_is_refused(subtests: pytest.Subtests) -> None:
    for version in (0, 2, True, 1.0, "1", None):
        with (
            subtests.test(version=version),
            pytest.raises(MalformedError, match="this version of Assay reads 1"),
        ):
            Fields({"schema_version": version}, "file").require_schema(1)


@settings(max_examples=40, deadline=None)
@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_bytes_are_an_object_or_refused(raw: bytes) -> None:
    message = ""
    try:
        assert isinstance(parse_object(raw, "file"), Fields)
    except MalformedError as refusal:
        message = str(refusal)
    assert "\n" not in message


@dataclass(frozen=True)
class Inner:
    number: float
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Outer:
    inner: Inner
    many: tuple[Inner, ...]
    words: Mapping[str, str]
    count: int
    flag: bool
    maybe: float | None = None


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(1 << 60), 1 << 60)
INNER = st.builds(Inner, NUMBERS, st.sampled_from(["a", "b"]))
OUTER = st.builds(
    Outer,
    INNER,
    st.lists(INNER, max_size=3).map(tuple),
    st.dictionaries(st.text(), st.text(), max_size=3),
    st.integers(),
    st.booleans(),
    st.none() | NUMBERS,
)
GIVEN = {"inner": {"number": 1.5, "kind": "a"}, "many": [], "words": {}, "count": 1, "flag": True, "maybe": None}


@given(OUTER)
def test_a_record_round_trips(outer: Outer) -> None:
    raw = render_json(dataclasses.asdict(outer))
    parsed = parse_record(Outer, parse_json(raw, "file"))
    assert parsed == outer
    assert render_json(dataclasses.asdict(parsed)) == raw


def test_a_record_with_a_value_of_another_type_is_refused_and_the_field_named(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"count": True}, "file.count: expected a whole number, not True"),
        ({"count": 1.0}, "file.count: expected a whole number, not 1.0"),
        ({"count": None}, "file.count: expected a whole number, not None"),
        ({"flag": 1}, "file.flag: expected true or false, not 1"),
        ({"maybe": "1"}, "file.maybe: expected a number, not '1'"),
        ({"inner": {"number": True, "kind": "a"}}, "file.inner.number: expected a number, not True"),
        ({"inner": {"number": 1, "kind": "c"}}, "file.inner.kind: expected one of a, b, not 'c'"),
        ({"inner": {"number": 1, "kind": []}}, "file.inner.kind: expected one of a, b, not a list"),
        ({"inner": {"number": 1}}, "file.inner.kind: is missing"),
        ({"inner": {"number": 1, "kind": "a", "more": 1}}, "file.inner.more: is unknown"),
        ({"many": {}}, "file.many: expected a list, not an object"),
        ({"many": [1]}, "file.many[0]: expected an object, not 1"),
        ({"words": {"a": 1}}, "file.words.a: expected text, not 1"),
        ({"words": []}, "file.words: expected an object, not a list"),
    ]
    for change, message in cases:
        with subtests.test(change=change, message=message):
            assert parse_record(Outer, GIVEN)
            with pytest.raises(MalformedError) as refusal:
                parse_record(Outer, GIVEN | change, "file")
            assert str(refusal.value) == message


def test_anything_but_standard_json_is_refused(subtests: pytest.Subtests) -> None:
    cases: list[bytes] = [b"NaN", b"[Infinity]", b'{"a":1,"a":2}', b"\xff", b"[" * 100_000, b"", b"{"]
    for raw in cases:
        with subtests.test(raw=raw), pytest.raises(MalformedError, match=r"^file: "):
            parse_json(raw, "file")
