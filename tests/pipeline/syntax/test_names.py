from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.syntax.grammars import parser
from pipeline.syntax.languages import language_of
from pipeline.syntax.names import MAX_NAME_BYTES, readable, strip_arguments
from pipeline.syntax.parser import parse_file
from tests.rows import each_row


def function_names(path: str, source: str) -> list[str]:
    language = language_of(path.encode())
    assert language is not None
    return [f.qualified_name for f in parse_file(language, source.encode()).functions]


@each_row(
    ("raw", "shown"),
    [
        (b"", ""),
        (b"f", "f"),
        (b"a.b", "a.b"),
        (b"a::b::c", "a.b.c"),
        (b"'a b'", "a b"),
        (b'"a"', "a"),
        (b"`a`", "a"),
        (b"''", "''"),
        (b"'a\"", "'a\""),
        (b" a\n\t  b ", "a b"),
        (b"\xc3\xa9", "\xe9"),
        (b"\xff", "\\xff"),
        (b"a\x00b\x1b", "a\\x00b\\x1b"),
        (b"a" * 500, "a" * MAX_NAME_BYTES),
    ],
)
def test_a_raw_name_is_made_readable(raw: bytes, shown: str) -> None:
    assert readable(raw) == shown


@given(st.binary(max_size=300))
def test_any_name_is_printable(raw: bytes) -> None:
    assert readable(raw).isprintable()
    assert "\n" not in readable(raw)


@each_row(
    ("name", "stripped"),
    [
        (b"A", b"A"),
        (b"A<B>", b"A"),
        (b"A<B<C>, D>::f", b"A::f"),
        (b"operator<", b"operator<"),
        (b"A<T>::operator<<", b"A::operator<<"),
        (b"A<", b"A<"),
        (b"A>", b"A>"),
    ],
)
def test_generic_arguments_are_dropped_from_a_name(name: bytes, stripped: bytes) -> None:
    assert strip_arguments(name) == stripped


@each_row(
    ("declaration", "name"),
    [
        ("int f(void)", "f"),
        ("static inline const char **f(int a)", "f"),
        ("void (*f(int a))(int)", "f"),
        ("struct s *(f)(void)", "f"),
    ],
)
def test_a_c_function_is_named_by_its_innermost_declarator(declaration: str, name: str) -> None:
    assert function_names("a.c", declaration + " {\n  x();\n}\n") == [name]


@each_row(
    ("declaration", "name"),
    [
        ("int &A::f()", "A.f"),
        ("A<int>::A()", "A.A"),
        ("std::pair<int, int> n::A<T>::f() const noexcept", "n.A.f"),
        ("A::operator bool() const", "A.operator bool"),
        ("bool operator==(const A &a, const A &b)", "operator=="),
        ("auto f() -> int", "f"),
        ("A &&A::operator=(A &&a)", "A.operator="),
    ],
)
def test_a_cpp_function_is_named_by_its_qualified_name(declaration: str, name: str) -> None:
    assert function_names("a.cpp", declaration + " {\n  x();\n}\n") == [name]


def test_a_declarator_nested_too_deeply_has_no_name() -> None:
    assert function_names("a.c", "int " + "(" * 500 + "f" + ")" * 500 + "(void) {\n  x();\n}\n") == []


def test_a_node_without_the_field_has_no_name() -> None:
    language = language_of(b"a.go")
    assert language is not None
    root = parser(language).parse(b"package p\n").root_node
    assert all(namer(root, b"package p\n") == b"" for namer in language.names.values())
