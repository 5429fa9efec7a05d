from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.git.trees import FileChange
from pipeline.mining.facts.codec import decode, decode_changes, encode, encode_changes, key_for
from pipeline.mining.facts.compute import (
    ChangeFact,
    ChangeRequest,
    FactRequest,
    FunctionsFact,
    FunctionsRequest,
    MovesFact,
    MovesRequest,
    RenamesFact,
    RenamesRequest,
)
from pipeline.mining.facts.lineage import FunctionKey
from pipeline.syntax.parser import Function
from tests.rows import each_row

ids = st.binary(min_size=20, max_size=20).filter(any)
names = st.text("abc.é修 $<>", min_size=1, max_size=12)
numbers = st.integers(0, 10**6)
keys = st.builds(FunctionKey, names, numbers)
paths = st.text("ab/\n\t é", min_size=1, max_size=12).map(lambda p: p.encode("latin-1"))
places = st.tuples(paths, keys)
FILE, CHANGE = FunctionsRequest(b"1" * 20, b"a.py"), ChangeRequest(None, b"1" * 20, b"a.py", b"a.py", False)
RENAMES, MOVES = RenamesRequest(b"1" * 20, b"2" * 20, ()), MovesRequest(b"1" * 20, b"2" * 20, (), ())


@given(
    st.lists(st.builds(Function, names, st.integers(0, 9), st.integers(1, 10**6), st.integers(1, 10**6)), max_size=5)
)
def test_functions_are_decoded_as_encoded(functions: list[Function]) -> None:
    fact = FunctionsFact(tuple(functions), "")
    assert decode(FILE, encode(fact)) == fact


def test_the_reason_why_a_file_was_not_read_is_decoded() -> None:
    fact = FunctionsFact((), "minified")
    assert decode(FILE, encode(fact)) == fact


@each_row("unread", [None, 0, 12])
def test_the_lines_that_could_not_be_read_are_decoded(unread: int | None) -> None:
    fact = FunctionsFact((Function("f", 0, 1, 3),), "", unread=unread)
    assert decode(FILE, encode(fact)) == fact


@given(
    st.lists(keys, max_size=5),
    st.lists(keys, max_size=5),
    st.sampled_from([b"", b"\n\t\v\0" * 3, b"123456789012"]),
    st.sampled_from([None, True, False]),
)
def test_changes_are_decoded_as_encoded(touched: list, born: list, patch: bytes, code: bool | None) -> None:
    fact = ChangeFact(tuple(touched), tuple(born), tuple(born[:1]), patch, code)
    assert decode(CHANGE, encode(fact)) == fact


@given(st.lists(st.tuples(keys, keys), max_size=4), st.dictionaries(places, places, max_size=4), st.booleans())
def test_what_the_second_version_adds_is_decoded_as_encoded(renumbered: list, moves: dict, same: bool) -> None:
    change = ChangeFact((), (), (), b"", None, renumbered=tuple(renumbered))
    assert decode(CHANGE, encode(change)) == change
    moved = MovesFact(moves, unchanged=frozenset(list(moves.values())[:1] if same else ()))
    decoded = decode(MOVES, encode(moved))
    assert isinstance(decoded, MovesFact)
    assert (decoded.moves, decoded.unchanged) == (moves, moved.unchanged)


def test_facts_of_the_first_version_are_written_as_they_were() -> None:
    key = FunctionKey("f", 0)
    assert encode(ChangeFact((key,), (), (key,), b"ab", True)) == b"1\x02ab\nf\v0\n\nf\v0"
    assert encode(MovesFact({(b"a", key): (b"b", key)})) == b'[["a", "f", 0, "b", "f", 0]]'


@given(st.dictionaries(paths, paths, max_size=4), st.dictionaries(places, places, max_size=4))
def test_renames_and_moves_are_decoded_as_encoded(renames: dict, moves: dict) -> None:
    assert decode(RENAMES, encode(RenamesFact(renames))) == RenamesFact(renames)
    assert decode(MOVES, encode(MovesFact(moves))) == MovesFact(moves)


@given(st.lists(st.builds(FileChange, paths, st.none() | ids, st.none() | ids), max_size=5))
def test_file_changes_are_decoded_as_encoded(changes: list[FileChange]) -> None:
    assert decode_changes(encode_changes(changes)) == changes


def test_the_language_is_part_of_a_key_and_the_path_is_not() -> None:
    blob = b"1" * 20
    assert key_for(FunctionsRequest(blob, b"a.py")) == key_for(FunctionsRequest(blob, b"x/b.py"))
    assert key_for(FunctionsRequest(blob, b"a.py")) != key_for(FunctionsRequest(blob, b"a.ts"))


def test_different_requests_have_different_keys() -> None:
    one, two = b"1" * 20, b"2" * 20
    questions: list[FactRequest] = [
        FunctionsRequest(one, b"a.py"),
        ChangeRequest(one, two, b"a.py", b"a.py", False),
        ChangeRequest(two, one, b"a.py", b"a.py", False),
        ChangeRequest(None, one, b"a.py", b"a.py", False),
        ChangeRequest(one, None, b"a.py", b"a.py", False),
        ChangeRequest(one, two, b"a.js", b"a.ts", False),
        RenamesRequest(one, two, ()),
        MovesRequest(one, two, (), ()),
    ]
    assert len({key_for(q) for q in questions}) == len(questions)


@each_row("value", [b"", b"x", b"?\x05ab", b"[]", b"\xff\xfe"])
@each_row("fact_request", [CHANGE, RENAMES, MOVES])
def test_invalid_bytes_are_an_error_or_a_fact_but_never_a_crash(fact_request: object, value: bytes) -> None:
    try:
        decode(fact_request, value)  # type: ignore[arg-type]
    except (ValueError, KeyError, IndexError, TypeError):
        return
