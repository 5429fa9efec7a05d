from __future__ import annotations

import pytest

from pipeline.syntax.grammars import parser
from pipeline.syntax.hunks import diff_hunks
from pipeline.syntax.languages import LANGUAGES, Language, language_of
from pipeline.syntax.limits import (
    BYTES_PER_ERROR_STEP,
    CHUNK_BYTES,
    FREE_ERROR_STEPS,
    FREE_READS,
    FREE_STEPS,
    MAX_UNNAMED_RUN,
    READS_PER_CHUNK,
    SMALL_TREE_NODES,
    STEPS_PER_BYTE,
    STEPS_PER_CALL,
    BoundedText,
    is_dense,
    is_unwieldy,
)
from pipeline.syntax.parser import parse_file
from pipeline.syntax.tokens import code_tokens
from tests.pipeline.syntax.sources import GOLDEN
from tests.rows import each_row

MANY = 50_000
FEW = 20_000  # of what costs more but not more a byte


def language_at(path: str) -> Language:
    language = language_of(path.encode())
    assert language is not None
    return language


def code(language: Language, data: bytes) -> bytes:
    return b"<?php\n" + data if language.name == "PHP" else data


HOSTILE = {
    "open round": b"(" * MANY,
    "open square": b"[" * MANY,
    "open curly": b"{" * MANY,
    "open angle": b"<" * MANY,
    "mixed": b"([{" * (2 * MANY // 3),  # Go needs more than 60,000 bytes to be stopped
    "balanced": b"x = " + b"[" * MANY + b"]" * MANY + b"\n",
    "balanced over lines": b"{\n" * (FEW // 4) + b"}\n" * (FEW // 4),
    "only closing": b")]}" * (MANY // 3),
    "commas": b"," * MANY,
    "NUL": b"\0" * MANY,
    "not UTF-8": b"\xff" * MANY,
    "quotes": b"'\"" * (FEW // 4),
    "ambiguous": b"a<" * (MANY // 2),
    "arrows": b"a=>" * (FEW // 3),
    "unfinished": b"(A*)" * (FEW // 4),
    "continued lines": b"\\\n" * (FEW // 2),
    "comments begun": b"/*" * (FEW // 2),
}


@each_row("kind", HOSTILE)
@each_row("language", LANGUAGES)
def test_parsing_hostile_text_ends_without_functions(language: Language, kind: str) -> None:
    parsed = parse_file(language, code(language, HOSTILE[kind]))
    assert parsed.functions == ()
    assert len(code_tokens(parsed, 1, 3 * MANY)) <= 3 * MANY


@each_row("nest", [b"function a(){\n", b"class A{\n", b"if(a){\n", b"fun a(){\n", b"void a(){\n"])
@each_row("language", LANGUAGES)
def test_parsing_deeply_nested_code_ends(language: Language, nest: bytes) -> None:
    parsed = parse_file(language, code(language, nest * 3_000 + b"}\n" * 3_000))
    assert sum(len(f.qualified_name) for f in parsed.functions) < 3_000 * 1_000


def test_a_mebibyte_of_ordinary_code_is_parsed_completely() -> None:
    data = b"def f(a, b):\n    x = a + b\n    return [x, 'y']\n\n" * (20_000)
    data = data[: 1 << 20].rpartition(b"\n\n")[0]
    parsed = parse_file(language_at("a.py"), data)
    assert parsed.problem == ""
    assert len(parsed.functions) == data.count(b"def ")


def test_a_large_table_of_data_is_parsed() -> None:
    rows = b"".join(b"  [%d, 0x%x, 'a', -1.5],\n" % (i, i) for i in range(20_000))
    data = b"function f() {\n  return 1\n}\nconst table = [\n" + rows + b"]\n"
    parsed = parse_file(language_at("a.js"), data)
    assert (parsed.problem, len(parsed.functions)) == ("", 1)


@each_row("path", GOLDEN)
def test_ordinary_code_stays_far_within_its_steps(path: str) -> None:
    data = GOLDEN[path][0].encode() * 20
    text = BoundedText(data)
    parser(language_at(path)).parse(text.read, progress_callback=text.is_spent)
    assert text.steps < STEPS_PER_BYTE * len(data) / 2
    assert text.reads_left > FREE_READS / 2


def test_a_stopped_parse_reports_its_problem_and_the_text_as_token() -> None:
    ambiguous = parse_file(language_at("A.java"), HOSTILE["ambiguous"])
    assert ambiguous.problem == "too ambiguous"
    assert code_tokens(ambiguous, 1, 1) == [HOSTILE["ambiguous"]]
    assert parse_file(language_at("a.go"), HOSTILE["open round"]).problem == "too deep or wide"


def test_the_parser_works_after_it_was_stopped() -> None:
    language, source = language_at("A.java"), GOLDEN["A.java"][0].encode()
    before = parse_file(language, source)
    parse_file(language, HOSTILE["ambiguous"])
    assert parse_file(language, source).functions == before.functions


@pytest.mark.parametrize("kind", ["ambiguous", "balanced over lines", "open round"])
def test_a_hostile_version_in_between_does_not_change_later_ones(kind: str) -> None:
    language, source = language_at("A.java"), GOLDEN["A.java"][0].encode()
    before = parse_file(language, source)
    hostile = source + HOSTILE[kind]
    between = parse_file(language, hostile, before, diff_hunks(source, hostile))
    full = parse_file(language, hostile)
    assert (between.problem, between.functions) == (full.problem, full.functions)
    assert parse_file(language, source, between, diff_hunks(hostile, source)).functions == before.functions


def test_a_parse_with_too_many_steps_for_its_text_is_stopped() -> None:
    text = BoundedText(b"")
    calls = FREE_STEPS // STEPS_PER_CALL
    assert [text.is_spent(0, False) for _ in range(calls + 1)] == [False] * calls + [True]
    assert not text.is_spent(1_000, False)


def test_a_parse_with_errors_is_stopped_earlier() -> None:
    text = BoundedText(b"")
    calls = FREE_ERROR_STEPS // STEPS_PER_CALL
    assert not any(
        text.is_spent(1 << 20, True) for _ in range(calls + (1 << 20) // BYTES_PER_ERROR_STEP // STEPS_PER_CALL)
    )
    assert text.is_spent(1 << 20, True)
    assert not text.is_spent(1 << 21, False)


def test_reading_stops_after_too_many_chunks() -> None:
    data = bytes(range(256)) * 64
    text = BoundedText(data)
    assert bytes(text.read(CHUNK_BYTES - 1, None)) == data[CHUNK_BYTES - 1 : 2 * CHUNK_BYTES - 1]
    assert bytes(text.read(len(data), None)) == b""
    for _ in range(FREE_READS + READS_PER_CHUNK * (len(data) // CHUNK_BYTES) - 2):
        assert len(text.read(0, None)) == CHUNK_BYTES
    assert not text.is_spent(len(data), False)
    assert bytes(text.read(0, None)) == b""
    assert text.is_spent(len(data), False)


@pytest.mark.parametrize(
    ("marks", "unwieldy"), [(SMALL_TREE_NODES // 2, False), (SMALL_TREE_NODES + MAX_UNNAMED_RUN, True)]
)
def test_a_wide_tree_is_unwieldy_only_when_it_is_large(marks: int, unwieldy: bool) -> None:
    assert is_unwieldy(parser(language_at("a.go")).parse(b"(" * marks)) is unwieldy


@pytest.mark.parametrize(("depth", "unwieldy"), [(2_000, False), (20_000, True)])
def test_a_deep_tree_is_unwieldy(depth: int, unwieldy: bool) -> None:
    data = b"x = 1\n" * 10_000 + b"y = " + b"[" * depth + b"]" * depth + b"\n"
    assert is_unwieldy(parser(language_at("a.py")).parse(data)) is unwieldy


def test_a_text_of_punctuation_is_dense_and_prose_is_not() -> None:
    brackets = b"x = [" + b"[]," * 5_000 + b"]\n"
    assert is_dense(parser(language_at("a.py")).parse(brackets), len(brackets))
    words = b"number = number + other_number\n" * 1_000
    assert not is_dense(parser(language_at("a.py")).parse(words), len(words))


def test_a_long_list_of_numbers_is_not_unwieldy() -> None:
    assert not is_unwieldy(parser(language_at("a.py")).parse(b"x = [" + b"1, " * 30_000 + b"]\n"))
