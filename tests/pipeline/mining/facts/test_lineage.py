from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.label_recipe import MESSAGES
from pipeline.mining.facts import lineage
from pipeline.mining.facts.lineage import Candidate, FunctionKey, match_functions, match_renames, similarity
from tests.rows import each_row

BODY = [b"word%d" % i for i in range(40)]


def function(path: str, name: str, tokens: list[bytes], ordinal: int = 0) -> Candidate:
    return Candidate((path.encode(), FunctionKey(name, ordinal)), tuple(tokens))


def matched(vanished: list[Candidate], born: list[Candidate]) -> dict[str, str]:
    matches = match_functions(vanished, born, MESSAGES)
    return {
        f"{n[0].decode()}:{n[1].qualified_name}": f"{o[0].decode()}:{o[1].qualified_name}" for n, o in matches.items()
    }


@each_row(
    ("kept", "name", "matches"),
    [(20, "C.same", True), (19, "C.same", False), (30, "C.other", True), (29, "C.other", False)],
)
def test_the_required_similarity_depends_on_the_name(kept: int, name: str, matches: bool) -> None:
    """Of 40 tokens each, `kept` are shared: a similarity of kept / 40, against 0.5 and, for another name, 0.75."""
    old = function("a.py", "same", BODY)
    new = function("b.py", name, BODY[:kept] + [b"new%d" % i for i in range(40 - kept)])
    assert similarity(old, new) == pytest.approx(kept / 40)
    assert bool(matched([old], [new])) is matches


def test_a_short_function_matches_only_with_equal_tokens() -> None:
    short = BODY[:19]
    assert matched([function("a", "f", short)], [function("b", "g", short)]) == {"b:g": "a:f"}
    assert matched([function("a", "f", short)], [function("b", "f", [*short[:18], b"x"])]) == {}


def test_the_most_similar_pair_is_taken_first_and_each_side_once() -> None:
    close = [*BODY[:39], b"x"]
    far = [*BODY[:35], *[b"y%d" % i for i in range(5)]]
    vanished = [function("a", "f", BODY)]
    assert matched(vanished, [function("b", "f", far), function("c", "g", close)]) == {"c:g": "a:f"}


def test_the_same_name_wins_between_equal_candidates() -> None:
    vanished = [function("a", "g", BODY), function("a", "f", BODY)]
    assert matched(vanished, [function("b", "K.f", BODY)]) == {"b:K.f": "a:f"}


def test_the_order_of_the_candidates_does_not_matter() -> None:
    vanished = [function("a", f"f{i}", BODY[i:] + BODY[:i]) for i in range(5)]
    born = [function("b", f"f{i}", [*BODY[i:], b"z"]) for i in range(5)]
    assert matched(vanished, born) == matched(vanished[::-1], born[::-1])


def test_a_huge_diff_still_matches_equal_names_and_equal_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage, "MAX_COMPARISONS", 3)
    vanished = [function("a", "f", BODY), function("a", "g", BODY[::-1])]
    born = [function("b", "f", [*BODY[:30], b"x"]), function("b", "h", BODY[::-1])]
    assert matched(vanished, born) == {"b:f": "a:f", "b:h": "a:g"}


@given(st.lists(st.sampled_from(BODY[:6]), max_size=12), st.lists(st.sampled_from(BODY[:6]), max_size=12))
def test_similarity_is_symmetric_and_one_for_equal_tokens_only(a: list[bytes], b: list[bytes]) -> None:
    one, other = function("a", "f", a), function("b", "f", b)
    if not a or not b:
        return
    assert similarity(one, other) == similarity(other, one)
    assert (similarity(one, other) == 1.0) == (a == b)
    assert 0 <= similarity(one, other) <= 1


def content(*lines: str) -> bytes:
    return "\n".join(lines).encode()


def test_an_equal_blob_is_the_same_file_and_the_longest_common_suffix_wins() -> None:
    deleted = {b"x/a.py": (b"1" * 20, None), b"y/lib/b.py": (b"1" * 20, None)}
    assert match_renames(deleted, {b"z/lib/b.py": (b"1" * 20, None)}, MESSAGES) == {b"z/lib/b.py": b"y/lib/b.py"}


@pytest.mark.parametrize(("shared", "matches"), [(5, True), (4, False)])
def test_a_file_is_renamed_if_half_of_its_content_is_equal(shared: int, matches: bool) -> None:
    old = content(*[f"line {i}" for i in range(10)])
    new = content(*[f"line {i}" for i in range(shared)], *[f"else {i}" for i in range(10 - shared)])
    renamed = match_renames({b"a": (b"1" * 20, old)}, {b"b": (b"2" * 20, new)}, MESSAGES)
    assert renamed == ({b"b": b"a"} if matches else {})


def test_each_file_is_renamed_once_to_the_most_similar() -> None:
    old = content(*[f"line {i}" for i in range(10)])
    close, far = old + b"\nmore", content(*[f"line {i}" for i in range(6)])
    added = {b"far": (b"2" * 20, far), b"close": (b"3" * 20, close)}
    assert match_renames({b"old": (b"1" * 20, old)}, added, MESSAGES) == {b"close": b"old"}


def test_files_that_cannot_be_read_or_are_empty_are_not_compared() -> None:
    deleted = {b"a": (b"1" * 20, None), b"c": (b"4" * 20, b"")}
    assert match_renames(deleted, {b"b": (b"2" * 20, b""), b"d": (b"3" * 20, None)}, MESSAGES) == {}
