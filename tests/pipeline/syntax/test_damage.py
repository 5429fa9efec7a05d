"""What of a file could not be read is measured in lines."""

from __future__ import annotations

from pipeline.syntax.damage import unread_bytes, unread_lines
from pipeline.syntax.grammars import parser
from pipeline.syntax.languages import language_of
from pipeline.syntax.parser import parse_file


def unread(path: str, source: str) -> int | None:
    language = language_of(path.encode())
    assert language is not None
    parsed = parse_file(language, source.encode())
    return unread_lines(parsed.tree, parsed.data, [(f.start_line, f.end_line) for f in parsed.functions])


def test_a_file_without_errors_has_no_unread_lines() -> None:
    assert unread("a.kt", "fun f() {\n  a()\n}\n") is None


def test_lines_within_errors_are_unread_unless_a_function_holds_them() -> None:
    lost = "class A {\n  fun one() {\n    ]] override class fun (\n\n    return 1\n  }\n"
    lines = unread("a.kt", lost)
    assert lines is not None
    assert 3 <= lines <= 5
    assert unread("a.py", "def f(x):\n    y = x\n    x = $\n    return y\n") == 0


def test_a_token_that_is_missing_is_damage_without_lines() -> None:
    assert unread("a.js", "function f() {\n  a(\n}\n") is not None


def test_unread_bytes_grow_with_the_errors() -> None:
    language = language_of(b"a.js")
    assert language is not None
    one, two = (parser(language).parse(text) for text in (b"a = 1; ]", b"a = 1; ] b = 2; ] ] ]"))
    assert unread_bytes(parser(language).parse(b"a = 1;")) == 0
    assert 0 < unread_bytes(one) < unread_bytes(two)
