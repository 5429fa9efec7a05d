from __future__ import annotations

import random
import time

import pytest

from pipeline.label_recipe import MINER_VERSION
from pipeline.syntax.hunks import diff_hunks
from pipeline.syntax.languages import Language, language_of
from pipeline.syntax.metrics import measure_structure
from pipeline.syntax.parser import Function, ParsedFile, parse_file
from pipeline.syntax.shadow.shadows import shadow
from pipeline.syntax.tokens import code_tokens
from tests.pipeline.syntax.shadowed_sources import CALLS, CUT, HEADER, ITEMS, SHADOWED
from tests.rows import each_row

GRAMMARS = ("tree_sitter_c", "tree_sitter_cpp", "tree_sitter_c_sharp", "tree_sitter_rust")
HOSTILE = (
    *(
        b"FOO_BAR ",
        b"FOO_BAR(",
        b"FOO(a) {\n",
        b"template a ",
        b"decltype(",
        b"class A ",
        b"class A(",
        b"\nfoo(",
        b"= {",
    ),
    *(
        b"enum : a ",
        b"typename a::",
        b"#define A\\\n",
        b"\\\n",
        b"using A FOO ",
        b",FOO(a)",
        b"#if a\n",
        b"#if\n}\n#endif\n",
    ),
    *(b'R"(', b'"\\', b"'", b"/*", b'"""', b'@"', b'r#"', b"#[test", b"#[a]", b"#[cfg(all(", b"a!{ fn a() {", b"a!(\n"),
)


def language_at(path: str) -> Language:
    language = language_of(path.encode())
    assert language is not None
    return language


def parsed(path: str, source: str, version: int = MINER_VERSION) -> ParsedFile:
    return parse_file(language_at(path), source.encode(), version=version)


def names(path: str, source: str, version: int = MINER_VERSION) -> list[str]:
    return [function.qualified_name for function in parsed(path, source, version).functions]


@each_row("path", SHADOWED)
def test_what_a_grammar_cannot_parse_is_found_at_its_place(path: str) -> None:
    source, expected = SHADOWED[path]
    assert [(f.qualified_name, f.start_line, f.end_line) for f in parsed(path, source).functions] == expected


@each_row("path", SHADOWED)
def test_the_same_holds_with_cr_lf(path: str) -> None:
    source, expected = SHADOWED[path]
    functions = parsed(path, source.replace("\n", "\r\n")).functions
    assert [(f.qualified_name, f.start_line, f.end_line) for f in functions] == expected


@each_row("path", SHADOWED)
def test_a_version_parsed_from_another_equals_one_parsed_alone(path: str) -> None:
    language, data = language_at(path), SHADOWED[path][0].encode()
    lines = data.split(b"\n")
    draw = random.Random(path)
    previous = parse_file(language, data)
    for _ in range(60):
        changed = list(lines)
        at = draw.randrange(len(lines))
        if draw.random() < 0.5:
            del changed[at : at + draw.randrange(1, 4)]
        else:
            changed[at:at] = draw.sample(lines, draw.randrange(1, 4))
        text = b"\n".join(changed)
        alone = parse_file(language, text)
        following = parse_file(language, text, previous, diff_hunks(previous.data, text))
        assert (following.outline, following.functions, following.tests) == (
            alone.outline,
            alone.functions,
            alone.tests,
        )
        previous = following


@each_row("grammar", GRAMMARS)
@each_row("text", [HEADER, CALLS, CUT, ITEMS])
def test_a_shadow_keeps_every_offset_and_line(grammar: str, text: str) -> None:
    data = text.encode()
    shade = shadow(grammar, data)
    assert len(shade) == len(data)
    assert [i for i, byte in enumerate(shade) if byte == 10] == [i for i, byte in enumerate(data) if byte == 10]


@each_row("grammar", GRAMMARS)
@each_row("unit", HOSTILE)
def test_a_shadow_takes_linear_time(grammar: str, unit: bytes) -> None:
    data = unit * (60_000 // len(unit))
    start = time.process_time()
    assert len(shadow(grammar, data)) == len(data)
    assert time.process_time() - start < 5


def test_what_is_blank_in_the_shadow_is_still_code() -> None:
    before, after = parsed("a.cs", CUT), parsed("a.cs", CUT.replace("string text\n#endif", "string[] text\n#endif"))
    assert code_tokens(before, 12, 22) != code_tokens(after, 12, 22)
    assert code_tokens(parsed("a.h", HEADER), 10, 12)[0] == b"TINY_INLINE"


@each_row("path", SHADOWED)
def test_every_function_is_measured(path: str) -> None:
    file = parsed(path, SHADOWED[path][0])
    assert [m.lines for m in measure_structure(file)] == [f.end_line - f.start_line + 1 for f in file.functions]


@each_row(
    ("path", "expected"),
    [
        ("list.h", {"tiny", "list"}),  # with the C grammar, functions
        ("items.rs", {"tests.helper", "checks"}),
    ],
)
def test_version_1_of_the_label_rules_parses_as_it_did(path: str, expected: set[str]) -> None:
    old = set(names(path, SHADOWED[path][0], version=1))
    assert old != set(names(path, SHADOWED[path][0]))
    assert parsed(path, SHADOWED[path][0], version=1).shadow == SHADOWED[path][0].encode()
    assert path != "items.rs" or expected <= old


def test_version_1_reads_no_macro_of_two_arguments() -> None:
    assert "PHP_FUNCTION" not in "".join(names("calls.c", CALLS, version=1))
    assert names("a.cpp", "DEFINE(a, b) {\n  x();\n}\n", version=1) == ["DEFINE"]
    assert names("a.cpp", "DEFINE(a, b) {\n  x();\n}\n") == ["DEFINE.a.b"]


@each_row(
    ("source", "expected"),
    [
        ("class A_API A : B {\n int f() {\n  a();\n }\n};", ["A.f"]),
        ("class Q_CORE_EXPORT A final {\n int f() {\n  a();\n }\n};", ["A.f"]),
        ("class API(1) DEPRECATED_X A {\n int f() {\n  a();\n }\n};", ["A.f"]),
        ("class __declspec(dllexport) A {\n int f() {\n  a();\n }\n};", ["A.f"]),
        ("class [[nodiscard]] A {\n int f() {\n  a();\n }\n};", ["A.f"]),
        ("template <class T> class P_API A<T*> : B {\n int f() {\n  a();\n }\n};", ["A.f"]),
        ("namespace n {\n  TEST_F(Suite, Works) {\n    a();\n  }\n}", ["n.TEST_F.Suite.Works"]),
        ("void f() {\n  FOREACH(x, y) {\n    a();\n  }\n}", ["f"]),
        ("int f() {\n  TRY_IT {\n    a();\n  }\n}", ["f"]),
        ("DWORD count(int a) {\n  return a;\n\n}", ["count"]),
        ("class FOO {\n  FOO(int a) {\n    b();\n  }\n};", ["FOO.FOO"]),
        ("#define R \\\n  do { a(); \\\n  } while (0)\nint f() {\n  R;\n}\nint g() {\n  R;\n}", ["f", "g"]),
        ("#if A\nint f(int a) {\n#else\nint f(long a) {\n#endif\n  a();\n}\nint g() {\n  a();\n\n}", ["f", "g"]),
    ],
)
def test_macros_of_cpp(source: str, expected: list[str]) -> None:
    assert names("a.cpp", source) == expected


@each_row(
    ("head", "expected"),
    [
        ("DEFINE(a)", "DEFINE.a"),
        ("DEFINE(a, b, c, d)", "DEFINE.a.b.c"),
        ("DEFINE(int, add)", "DEFINE.int.add"),
        ("DEFINE(ns_call, pid_t, pid)", "DEFINE.ns_call"),
        ('DEFUN ("car", Fcar, 1, 1,\n  doc: /* Return the car. */)\n  (Object list)', "DEFUN.car.Fcar.1"),
        ("static DEFINE(a)", "DEFINE.a"),
        ("void HANDLER(init)", "HANDLER.init"),
        ("int MAIN(void)", "MAIN"),
        ("main(argc, argv)", "main"),
        ("__attribute__((noinline)) int f(int a)", "f"),
    ],
)
def test_functions_of_c_behind_macros_are_named_by_their_arguments(head: str, expected: str) -> None:
    assert names("a.c", f"{head}\n{{\n\ta();\n}}\n") == [expected]


def test_a_function_stays_itself_if_a_macro_function_is_added_above() -> None:
    body = "{\n\ta();\n}\n"
    before = parsed("a.c", f"DEFINE(Archive, close)\n{body}")
    after = parsed("a.c", f"DEFINE(Archive, mount)\n{body}DEFINE(Archive, close)\n{body}")
    assert Function("DEFINE.Archive.close", 0, 1, 4) in before.functions
    assert Function("DEFINE.Archive.close", 0, 5, 8) in after.functions


@each_row(
    ("source", "expected"),
    [
        # Whole members: every branch is read.
        ("class A {\n#if X\n int F() {\n  a();\n }\n#else\n int G() {\n  a();\n }\n#endif\n}", ["A.F", "A.G"]),
        # The branch with the body is kept, wherever it is.
        ("class A {\n int F()\n#if X\n ;\n#else\n {\n  a();\n }\n#endif\n int G() {\n  a();\n }\n}", ["A.F", "A.G"]),
        ("class A {\n#if X\n int F(int a)\n#else\n int F(long a)\n#endif\n {\n  a();\n }\n}", ["A.F"]),
        ("class A {\n#if false\n int F( {\n#else\n int G() {\n#endif\n  a();\n }\n}", ["A.G"]),
        ("class A {\n int F() {\n#if X\n  if (a) {\n#else\n  if (b) {\n#endif\n   c();\n  }\n }\n}", ["A.F"]),
        ('class A {\n string s = @"\n#if X\n";\n int F() {\n  a();\n }\n}', ["A.F"]),
        ("class A\n#if X\n : B\n#endif\n{\n int F() {\n  a();\n }\n}", ["A.F"]),
    ],
)
def test_members_of_csharp_cut_by_directives(source: str, expected: list[str]) -> None:
    file = parsed("a.cs", source)
    assert [f.qualified_name for f in file.functions] == expected
    assert not file.tree.root_node.has_error


@each_row(
    ("source", "expected"),
    [
        ("bitflags! {\n  impl F {\n    fn a() {\n      1\n    }\n  }\n}", ["F.a"]),
        ('define! {\n  Name, Other;\n  unsafe extern "C" fn a() {\n    1\n  }\n}', ["a"]),
        ("foo!(\n  fn a() {\n    1\n  }\n);\nfn b() {\n  1\n\n}", ["a", "b"]),
        ("mod m {\n  cfg! {\n    #[inline]\n    pub(crate) fn a() {\n      1\n    }\n  }\n}", ["m.a"]),
        ("fn f() {\n  vec! {\n    fn g() {\n    }\n  }\n}", ["f"]),
    ],
)
def test_functions_in_macro_calls_of_rust(source: str, expected: list[str]) -> None:
    assert names("a.rs", source) == expected


def test_nothing_changes_where_nothing_needs_to() -> None:
    for grammar, text in (("tree_sitter_rust", "fn f() {}\n"), ("tree_sitter_c_sharp", "class A {}\n")):
        data = text.encode()
        assert shadow(grammar, data) is data
    with pytest.raises(AssertionError):
        assert shadow("tree_sitter_rust", ITEMS.encode()) is ITEMS.encode()
