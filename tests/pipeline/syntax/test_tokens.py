from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.syntax.hunks import diff_hunks
from pipeline.syntax.languages import LANGUAGES, Language, language_of
from pipeline.syntax.parser import ParsedFile, parse_file
from pipeline.syntax.tokens import code_tokens, only_comments_or_whitespace
from tests.pipeline.syntax.sources import GOLDEN
from tests.rows import each_row


def parsed(path: str, source: str | bytes) -> ParsedFile:
    language = language_of(path.encode())
    assert language is not None
    return parse_file(language, source if isinstance(source, bytes) else source.encode())


def tokens(path: str, source: str | bytes, first: int = 1, last: int = 10_000) -> list[bytes]:
    return code_tokens(parsed(path, source), first, last)


def changes_no_code(path: str, old: str, new: str) -> bool:
    before, after = parsed(path, old), parsed(path, new)
    return only_comments_or_whitespace(before, after, diff_hunks(before.data, after.data))


@each_row(
    ("path", "source", "expected"),
    [
        ("a.go", "package p // c\n/* d */ var x = 1\n", [b"package", b"p", b"var", b"x", b"=", b"1"]),
        ("a.py", "x = f(1)  # c\n", [b"x", b"=", b"f", b"(", b"1", b")"]),
        # Docstrings are no code, other strings are, whole: text between escapes included.
        (
            "a.py",
            'def f():\n    """Doc."""\n    x = "a \\n b"\n',
            [*b"def f ( ) : x =".split(), b'"', b"a ", b"\\n", b" b", b'"'],
        ),
        ("a.js", "x = `a ${b} c`\n", [b"x", b"=", b"`", b"a ", b"${", b"b", b"}", b" c", b"`"]),
        ("a.c", "#define A(x) x + 1\n", [b"#define", b"A", b"(", b"x", b")", b"x + 1"]),
        ("a.py", "", []),
        ("a.py", "\n\n# c\n", []),
    ],
)
def test_tokens_are_the_code_in_order(path: str, source: str, expected: list[bytes]) -> None:
    assert tokens(path, source) == expected


@each_row(
    ("first", "last", "expected"),
    [
        (1, 1, [b"a", b"=", b"1"]),
        (2, 2, [b"b", b"=", b"2"]),
        (2, 3, [b"b", b"=", b"2", b"c", b"=", b"3"]),
        (4, 9, []),
        (1, 9, [b"a", b"=", b"1", b"b", b"=", b"2", b"c", b"=", b"3"]),
    ],
)
def test_only_the_requested_lines_have_tokens(first: int, last: int, expected: list[bytes]) -> None:
    assert tokens("a.py", "a = 1\nb = 2\nc = 3\n", first, last) == expected


def test_a_token_across_the_boundary_is_complete() -> None:
    source = "x = `one\ntwo\nthree`\n"
    assert b"one\ntwo\nthree" in tokens("a.js", source, 2, 2)


@each_row("path", GOLDEN)
def test_the_tokens_of_a_file_are_its_text_without_comments_and_white_space(path: str) -> None:
    source = GOLDEN[path][0].encode()
    expected = b"".join(source.replace(b'"""Doc."""', b"").split())
    assert b"".join(b"".join(tokens(path, source)).split()) == expected


@each_row("path", GOLDEN)
def test_the_tokens_of_all_lines_are_those_of_the_file(path: str) -> None:
    source = GOLDEN[path][0]
    by_line = [t for line in range(1, source.count("\n") + 1) for t in tokens(path, source, line, line)]
    assert b"".join(b"".join(by_line).split()) == b"".join(b"".join(tokens(path, source)).split())


@given(st.sampled_from(LANGUAGES), st.binary(max_size=200), st.integers(1, 5), st.integers(0, 5))
def test_any_bytes_have_tokens_from_the_text(language: Language, data: bytes, first: int, more: int) -> None:
    for token in code_tokens(parse_file(language, data), first, first + more):
        assert token
        assert token in data


NO_CODE = [
    ("a.py", "x = 1\n", "x = 1\n"),
    ("a.py", "x = 1\n", "x = 1  # note\n"),
    ("a.py", "x = 1\n", "# note\n\nx = 1\n"),
    ("a.py", "x = f(1, 2)\n", "x = f(\n    1,\n    2\n)\n"),
    ("a.py", 'def f():\n    """A."""\n    return 1\n', 'def f():\n    """B."""\n    return 1\n'),
    ("a.py", '"""A."""\nx = 1\n', "x = 1\n"),
    ("a.py", 'class A:\n    # c\n    """A."""\n    x = 1\n', 'class A:\n    # c\n    """B.\n    """\n    x = 1\n'),
    ("a.py", "x = 1\r\n", "x = 1\n"),
    ("a.py", "x = 1", "x = 1\n"),
    ("a.js", "f(1) // a\n", "f(1) // b\n"),
    ("a.js", "if (a) {\n  f()\n}\n", "if (a)\n{\n      f()\n}\n"),
    ("a.ts", "/** a */ f()\n", "f() /* b */\n"),
    ("A.java", "/** a */ class A { }\n", "class A {\n}\n"),
    ("a.go", "package p\n\nvar x = 1\n", "package p\n\n// c\nvar x  = 1\n"),
    ("a.c", "int x; /* a */\n", "int x;\n"),
    ("a.cpp", "int x; // a\n", "int x;\n"),
    ("a.rs", "/// a\nfn f() {}\n", "//! b\nfn f() {\n}\n"),
    ("a.cs", "class A { } // a\n", "class A\n{\n}\n"),
    ("a.rb", "f(1) # a\n", "f(1)\n"),
    ("a.php", "<?php\nf(); // a\n", "<?php\n# b\nf();\n"),
    ("a.kt", "val x = 1 // a\n", "/* b */\nval x = 1\n"),
]

CODE = [
    ("a.py", "x = 1\n", "x = 2\n"),
    ("a.py", "x = 1\n", "# x = 1\n"),
    ("a.py", "x = 1\n", ""),
    ("a.py", "if a:\n    f()\n    g()\n", "if a:\n    f()\ng()\n"),
    (
        "a.py",
        "if a:\n    if b:\n        f()\n    else:\n        g()\n",
        "if a:\n    if b:\n        f()\nelse:\n        g()\n",
    ),
    ("a.py", 'x = "a"\n', 'x = "a "\n'),
    ("a.py", 'x = "a\\n b"\n', 'x = "a\\n  b"\n'),
    ("a.py", 'x = """A."""\n', 'x = """B."""\n'),
    ("a.py", 'def f():\n    g()\n    """A."""\n', 'def f():\n    g()\n    """B."""\n'),
    ("a.js", "x = `a ${b}`\n", "x = `a  ${b}`\n"),
    ("a.js", "f(1)\n", "f(1, 2)\n"),
    ("a.js", "// f(1)\n", "f(1)\n"),
    ("a.js", "f('// a')\n", "f('// b')\n"),
    ("a.c", "#define A 1\n", "#define A 2\n"),
    ("a.c", '#include "a.h"\n', '#include "b.h"\n'),
    ("a.rb", "x = <<A\n a\nA\n", "x = <<A\n b\nA\n"),
    ("a.php", "<p>a</p>\n<?php f();\n", "<p>b</p>\n<?php f();\n"),
    ("a.go", "package p\n\nvar x = `a`\n", "package p\n\nvar x = `b`\n"),
    ("a.kt", "val x = 1\n", "val x = 1 + 1\n"),
]


@each_row(("path", "old", "new"), NO_CODE)
def test_changes_of_comments_and_white_space_are_not_code(path: str, old: str, new: str) -> None:
    assert changes_no_code(path, old, new)
    assert changes_no_code(path, new, old)


@each_row(("path", "old", "new"), CODE)
def test_a_change_of_code_is_detected_in_both_directions(path: str, old: str, new: str) -> None:
    assert not changes_no_code(path, old, new)
    assert not changes_no_code(path, new, old)


@each_row("path", GOLDEN)
def test_a_comment_added_to_any_line_is_not_code(path: str) -> None:
    mark = {"a.py": " # c", "a.rb": " # c"}.get(path, " // c")
    source = GOLDEN[path][0]
    lines = source.split("\n")
    for at in (1, len(lines) // 2, len(lines) - 3):
        changed = "\n".join([*lines[:at], lines[at] + mark, *lines[at + 1 :]])
        assert changes_no_code(path, source, changed)
