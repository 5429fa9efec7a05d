from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.typed_json import dumps, loads, parse


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
def test_what_is_parsed_is_what_was_written(outer: Outer) -> None:
    found = parse(Outer, loads(dumps(dataclasses.asdict(outer))))
    assert found == outer
    assert dumps(dataclasses.asdict(found)) == dumps(dataclasses.asdict(outer))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"count": True}, "Outer.count"),
        ({"count": 1.0}, "Outer.count"),
        ({"count": None}, "Outer.count"),
        ({"flag": 1}, "Outer.flag"),
        ({"maybe": "1"}, "Outer.maybe"),
        ({"inner": {"number": True, "kind": "a"}}, "Outer.inner.number"),
        ({"inner": {"number": 1, "kind": "c"}}, "Outer.inner.kind"),
        ({"inner": {"number": 1, "kind": []}}, "Outer.inner.kind"),
        ({"inner": {"number": 1}}, "Outer.inner"),
        ({"inner": {"number": 1, "kind": "a", "more": 1}}, "Outer.inner"),
        ({"many": {}}, "Outer.many"),
        ({"many": [1]}, r"Outer.many\[0\]"),
        ({"words": {"a": 1}}, "Outer.words.a"),
        ({"words": []}, "Outer.words"),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(change: dict[str, Any], where: str) -> None:
    assert parse(Outer, GIVEN)
    with pytest.raises(ValueError, match=f"^{where} is not what it should be$"):
        parse(Outer, GIVEN | change)


@pytest.mark.parametrize("raw", [b"NaN", b"[Infinity]", b'{"a":1,"a":2}', b"\xff", b"[" * 100_000, b"", b"{"])
def test_what_is_no_standard_json_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (json has a message of its own for each)
        loads(raw)
