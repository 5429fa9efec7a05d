from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.syntax.hunks import diff_hunks
from pipeline.syntax.languages import LANGUAGES, Language, language_of
from pipeline.syntax.outline import FUNCTION, SCOPE, VALUE, WRAPPER, OutlineItem
from pipeline.syntax.parser import MAX_PATH_CHARACTERS, Function, functions_in, parse_file
from tests.pipeline.syntax.sources import GOLDEN
from tests.rows import each_row

SOURCES = {path: source.encode() for path, (source, _) in GOLDEN.items()}
FRAGMENTS = (
    *(b"", b"\n", b"{", b"}", b"(", b")", b'"', b"'", b"`", b"/*", b"*/", b"//", b"#", b"a", b" ", b"\t", b"=>", b";"),
    *(b"x = 1\n", b"x();\n", b"class Z {\n", b"\r\n", b"\xff", b"\0", b":", b",", b"\n\n\n", b"    "),
)


def language_at(path: str) -> Language:
    language = language_of(path.encode())
    assert language is not None
    return language


def item(start: int, end: int, name: str, kind: int = FUNCTION, rows: tuple[int, int] = (0, 9)) -> OutlineItem:
    return OutlineItem(start, end, kind, name, *rows)


@st.composite
def versions(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """Draw a file and later versions: words inserted, lines removed, moved, doubled, indented or copied in."""
    path = draw(st.sampled_from(sorted(SOURCES)))
    data = SOURCES[path]
    chain = [data]
    for _ in range(draw(st.integers(1, 4))):
        lines = data.split(b"\n")
        at = draw(st.integers(0, len(lines) - 1))
        to = draw(st.integers(at, min(len(lines), at + 8)))
        other = draw(st.integers(0, len(lines) - 1))
        block = lines[at:to]
        edit = draw(st.sampled_from(["insert", "remove", "move", "double", "indent", "rename", "undo"]))
        if edit == "insert":
            column = draw(st.integers(0, len(lines[at])))
            lines[at] = lines[at][:column] + draw(st.sampled_from(FRAGMENTS)) + lines[at][column:]
        elif edit == "remove":
            del lines[at:to]
        elif edit == "move":
            del lines[at:to]
            lines[other:other] = block
        elif edit == "double":
            lines[other:other] = block
        elif edit == "indent":
            lines[at:to] = [b"  " + line for line in block]
        elif edit == "rename":
            lines[at] = lines[at].replace(b"a", b"renamed").replace(b"work", b"play")
        else:
            lines = chain[0].split(b"\n")
        data = b"\n".join(lines)
        chain.append(data)
    return path, chain


@settings(max_examples=150, deadline=None)
@given(versions())
def test_an_incremental_parse_equals_a_full_one(case: tuple[str, list[bytes]]) -> None:
    path, chain = case
    language = language_at(path)
    previous = parse_file(language, chain[0])
    for data in chain[1:]:
        parsed = parse_file(language, data, previous, diff_hunks(previous.data, data))
        full = parse_file(language, data)
        assert parsed.outline == full.outline
        assert parsed.functions == full.functions
        assert parsed.data == data
        previous = parsed


@each_row("path", SOURCES)
def test_removing_and_restoring_any_line_equals_full_parses(path: str) -> None:
    language, data = language_at(path), SOURCES[path]
    whole = parse_file(language, data)
    lines = data.split(b"\n")
    for at in range(0, len(lines), 3):
        without = b"\n".join(lines[:at] + lines[at + 1 :])
        parsed = parse_file(language, without, whole, diff_hunks(data, without))
        assert parsed.functions == parse_file(language, without).functions
        assert parse_file(language, data, parsed, diff_hunks(without, data)).functions == whole.functions


@each_row("path", SOURCES)
def test_functions_come_in_document_order_and_their_ordinals_count_up(path: str) -> None:
    language = language_at(path)
    functions = parse_file(language, SOURCES[path] * 2).functions
    assert [f.start_line for f in functions] == sorted(f.start_line for f in functions)
    for name in {f.qualified_name for f in functions}:
        ordinals = [f.ordinal for f in functions if f.qualified_name == name]
        assert ordinals == list(range(len(ordinals)))


def test_the_same_bytes_are_not_parsed_again() -> None:
    parsed = parse_file(language_at("a.py"), SOURCES["a.py"])
    assert parse_file(language_at("a.py"), SOURCES["a.py"], parsed, []) is parsed


def test_a_version_in_another_language_is_never_reused() -> None:
    old = parse_file(language_at("a.ts"), b"function f() {\n  x()\n}\n")
    parsed = parse_file(language_at("a.py"), b"def f():\n  x()\n  y()\n", old, diff_hunks(old.data, b""))
    assert [f.qualified_name for f in parsed.functions] == ["f"]


def test_the_tree_of_a_version_survives_its_reuse() -> None:
    language, data = language_at("a.py"), SOURCES["a.py"]
    whole = parse_file(language, data)
    before = str(whole.tree.root_node)
    changed = data.replace(b"return", b"yield")
    parse_file(language, changed, whole, diff_hunks(data, changed))
    assert str(whole.tree.root_node) == before


@each_row("language", LANGUAGES)
@each_row("data", [b"", b"\n", b"\0", b"\xff\xfe", b"\r\r\n", b"}", b"'", b"\xef\xbb\xbf"])
def test_tiny_or_blank_texts_have_no_functions(language: Language, data: bytes) -> None:
    assert parse_file(language, data).functions == ()


@each_row("path", SOURCES)
def test_cr_lf_changes_no_function(path: str) -> None:
    crlf = SOURCES[path].replace(b"\n", b"\r\n")
    functions = parse_file(language_at(path), crlf).functions
    assert functions == parse_file(language_at(path), SOURCES[path]).functions


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(LANGUAGES), st.binary(max_size=400))
def test_any_bytes_parse_to_functions_within_the_file(language: Language, data: bytes) -> None:
    for function in parse_file(language, data).functions:
        assert 1 <= function.start_line <= function.end_line - 2
        assert function.end_line <= data.count(b"\n") + 1


def test_functions_around_a_syntax_error_are_found() -> None:
    source = b"def f():\n    a\n    b\n\ndef broken(:\n    a\n    b\n\ndef g():\n    a\n    b\n"
    names = [f.qualified_name for f in parse_file(language_at("a.py"), source).functions]
    assert {"f", "g"} <= set(names)


@each_row(
    ("outline", "expected"),
    [
        ([], []),
        ([item(0, 9, "f")], [("f", 0, 1, 10)]),
        # Two lines are too few.
        ([item(0, 9, "f", rows=(3, 4))], []),
        ([item(0, 9, "f", rows=(3, 5))], [("f", 0, 4, 6)]),
        # Scopes and functions qualify; what ended does not.
        ([item(0, 50, "A", SCOPE), item(1, 9, "f"), item(9, 20, "f")], [("A.f", 0, 1, 10), ("A.f", 1, 1, 10)]),
        ([item(0, 5, "A", SCOPE), item(5, 9, "f")], [("f", 0, 1, 10)]),
        ([item(0, 50, "f"), item(1, 9, "g")], [("f", 0, 1, 10), ("f.g", 0, 1, 10)]),
        # What has no name is transparent.
        ([item(0, 50, "", SCOPE), item(1, 9, "f")], [("f", 0, 1, 10)]),
        ([item(0, 50, ""), item(1, 9, "f")], [("f", 0, 1, 10)]),
        # A value that ends with its binding is that binding, another one is a function of its own.
        ([item(0, 50, "f"), item(5, 50, "g", VALUE)], [("f", 0, 1, 10)]),
        ([item(0, 50, "f"), item(5, 49, "g", VALUE)], [("f", 0, 1, 10), ("f.g", 0, 1, 10)]),
        ([item(5, 50, "g", VALUE)], [("g", 0, 1, 10)]),
        # A wrapper starts the function that it ends with, through other wrappers, and no other.
        ([item(0, 50, "", WRAPPER, (0, 5)), item(9, 50, "f", rows=(3, 5))], [("f", 0, 1, 6)]),
        (
            [item(0, 50, "", WRAPPER), item(1, 50, "", WRAPPER, (1, 9)), item(9, 50, "f", rows=(3, 9))],
            [("f", 0, 1, 10)],
        ),
        (
            [item(0, 50, "", WRAPPER), item(9, 50, "A", SCOPE), item(20, 50, "f", rows=(5, 9))],
            [("A.f", 0, 6, 10)],
        ),
        # A short function is no function, but it qualifies.
        ([item(0, 50, "f", rows=(0, 1)), item(1, 9, "g")], [("f.g", 0, 1, 10)]),
    ],
)
def test_outlines_have_the_expected_functions(
    outline: list[OutlineItem], expected: list[tuple[str, int, int, int]]
) -> None:
    assert functions_in(outline) == tuple(Function(*row) for row in expected)


def test_names_of_deeply_nested_functions_stop_growing() -> None:
    outline = [item(i, 100_000 - i, "abcdefghi") for i in range(30_000)]
    assert max(len(f.qualified_name) for f in functions_in(outline)) <= MAX_PATH_CHARACTERS + 2 * len(".abcdefghi")
