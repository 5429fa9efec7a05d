import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.json_fields import LONGEST_TEXT, MOST_BYTES, Fields, MalformedError, parse_object

VALUES = Fields(
    {
        "text": "abc",
        "empty": "",
        "escape": "a\x1b[2J",
        "surrogate": "\ud800",
        "long": "x" * (LONGEST_TEXT + 1),
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


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[1]", "an object is wanted, not a list"),
        (b"3", "an object is wanted, not a number"),
        (b"null", "an object is wanted, not null"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": -Infinity}', "-Infinity is no JSON number"),
        (b'{"a": 1, "a": 2}', "a key stands twice"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "not valid JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b'{"a":' + b"[" * 200_000, "nested too deep"),
        (b" " * (MOST_BYTES + 1), "larger than 16 MB"),
    ],
)
def test_what_is_no_json_object_is_refused_in_one_line(raw: bytes, words: str) -> None:
    with pytest.raises(MalformedError, match=r"^file: ") as refusal:
        parse_object(raw, "file")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_byte_order_mark_is_passed_over() -> None:
    assert parse_object(b'\xef\xbb\xbf{"a": 1}', "file").whole("a") == 1


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda f: f.text("missing"), "file.missing: is missing"),
        (lambda f: f.text("empty"), "file.empty: is empty"),
        (lambda f: f.text("number"), "file.number: a printable text of at most 500 characters is wanted, not 0.5"),
        (lambda f: f.text("escape"), r"not 'a\x1b[2J'"),
        (lambda f: f.text("surrogate"), r"not '\ud800'"),
        (lambda f: f.text("long"), "xxx..."),
        (lambda f: f.number("flag", 0, 1), "a number from 0 to 1 is wanted, not True"),
        (lambda f: f.number("whole", 0, 1), "a number from 0 to 1 is wanted, not 3"),
        (lambda f: f.number("huge", 0, 1), "not a huge number"),
        (lambda f: f.number("list", 0, 1), "not a list"),
        (lambda f: f.whole("number"), "a whole number of at least 0 is wanted, not 0.5"),
        (lambda f: f.whole("flag"), "a whole number of at least 0 is wanted, not True"),
        (lambda f: f.whole("whole", 4), "a whole number of at least 4 is wanted, not 3"),
        (lambda f: f.flag("whole"), "true or false is wanted, not 3"),
        (lambda f: f.choice("text", ("x", "y")), "one of x, y is wanted, not 'abc'"),
        (lambda f: f.inner("list"), "file.list: an object is wanted, not a list"),
        (lambda f: list(f.objects("object")), "file.object: a list is wanted, not an object"),
        (lambda f: list(f.objects("list")), "file.list[0]: an object is wanted, not a number"),
        (lambda f: f.numbers("mixed", 0, 9), "file.mixed.1: a number from 0 to 9 is wanted, not 'a'"),
        (lambda f: f.texts("mixed"), "file.mixed.0: a printable text"),
        (lambda f: list(f.rows("list", ("a", "b"))), "file.list: lists of a and b are wanted"),
        (lambda f: list(f.rows("text", ("a", "b"))), "file.text: a list is wanted, not a text"),
        (lambda f: f.value("missing"), "file.missing: is missing"),
        (lambda f: f.require_schema(1), "file.schema_version: is missing"),
    ],
)
def test_a_complaint_says_where_and_what_is_wanted(read, message: str) -> None:
    with pytest.raises(MalformedError) as refusal:
        read(VALUES)
    assert message in str(refusal.value)
    assert str(refusal.value).isprintable()


def test_what_is_right_is_handed_over() -> None:
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


@pytest.mark.parametrize("version", [0, 2, True, 1.0, "1", None])
def test_another_schema_version_is_refused(version: object) -> None:
    with pytest.raises(MalformedError, match="this version of Assay reads 1"):
        Fields({"schema_version": version}, "file").require_schema(1)


@settings(max_examples=40, deadline=None)
@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_bytes_are_an_object_or_refused(raw: bytes) -> None:
    said = ""
    try:
        assert isinstance(parse_object(raw, "file"), Fields)
    except MalformedError as refusal:
        said = str(refusal)
    assert "\n" not in said
