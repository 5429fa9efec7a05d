from __future__ import annotations

import time
from dataclasses import astuple, replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.records import PairMetrics
from pipeline.syntax.constructs import constructs
from pipeline.syntax.grammars import constructs_query
from pipeline.syntax.hunks import diff_hunks
from pipeline.syntax.languages import LANGUAGES, Language, language_of
from pipeline.syntax.metrics import measure_structure
from pipeline.syntax.parser import parse_file
from tests.pipeline.syntax.measured_sources import MEASURED
from tests.pipeline.syntax.sources import GOLDEN
from tests.rows import each_row

SOURCES = {path: source.encode() for path, (source, _) in MEASURED.items()}
MANY = 3_000

every_path = each_row("path", SOURCES)
every_language = each_row("language", LANGUAGES)


def language_at(path: str) -> Language:
    language = language_of(path.encode())
    assert language is not None
    return language


def measured(path: str, data: bytes) -> list[tuple[str, PairMetrics]]:
    parsed = parse_file(language_at(path), data)
    metrics = measure_structure(parsed)
    return [(function.qualified_name, m) for function, m in zip(parsed.functions, metrics, strict=True)]


def without_lines(rows: list[tuple[str, PairMetrics]]) -> list[tuple[str, PairMetrics]]:
    return [(name, replace(metrics, lines=0)) for name, metrics in rows]


def one(path: str, source: str) -> PairMetrics:
    """Return the metrics of the only function of a source."""
    ((_, metrics),) = measured(path, source.encode())
    return metrics


@every_path
def test_golden_sources_have_the_expected_metrics(path: str) -> None:
    got = [
        (name, m.cyclomatic_complexity, m.nesting_depth, m.fan_out, m.exits, m.parameters)
        for name, m in measured(path, SOURCES[path])
    ]
    assert got == MEASURED[path][1]


@every_path
def test_every_golden_source_is_free_of_syntax_errors(path: str) -> None:
    assert not parse_file(language_at(path), SOURCES[path]).tree.root_node.has_error


def test_every_language_has_golden_functions() -> None:
    assert {language_at(path).name for path in SOURCES} == {language.name for language in LANGUAGES}


def test_lines_are_those_of_the_function_with_its_decorators() -> None:
    rows = dict(measured("a.py", SOURCES["a.py"]))
    assert (rows["straight"].lines, rows["branches"].lines, rows["outer.inner"].lines) == (3, 9, 4)


@every_path
def test_comments_and_blank_lines_change_only_the_number_of_lines(path: str) -> None:
    mark = b"#" if path.endswith((".py", ".rb")) else b"//"
    lines = SOURCES[path].split(b"\n")
    commented = [line + b"  \n\n" + mark + b" if (a && b) return go()" for line in lines[:-1]]
    data = b"\n".join(commented) + b"\n"
    assert without_lines(measured(path, data)) == without_lines(measured(path, SOURCES[path]))


@every_path
def test_metrics_do_not_depend_on_the_rest_of_the_file(path: str) -> None:
    more = SOURCES[path].removeprefix(b"<?php\n")
    assert measured(path, SOURCES[path] + more) == 2 * measured(path, SOURCES[path])


@every_path
def test_cr_lf_changes_nothing(path: str) -> None:
    assert measured(path, SOURCES[path].replace(b"\n", b"\r\n")) == measured(path, SOURCES[path])


@each_row("path", GOLDEN)
def test_every_listed_function_is_measured_once_and_in_order(path: str) -> None:
    parsed = parse_file(language_at(path), GOLDEN[path][0].encode())
    metrics = measure_structure(parsed)
    assert [m.lines for m in metrics] == [f.end_line - f.start_line + 1 for f in parsed.functions]


@each_row("path", GOLDEN)
def test_the_function_itself_is_not_a_level(path: str) -> None:
    """The golden functions of the outline contain almost no control structures: deeper levels are closures."""
    rows = measured(path, GOLDEN[path][0].encode())
    flat = sum(m.nesting_depth == 0 for _, m in rows)
    assert 3 * flat >= 2 * len(rows)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(SOURCES)), st.data())
def test_full_and_incremental_parses_measure_alike(path: str, data: st.DataObject) -> None:
    source = SOURCES[path]
    at = data.draw(st.integers(0, len(source)))
    to = data.draw(st.integers(at, min(len(source), at + 40)))
    inserted = data.draw(st.sampled_from([b"", b"{", b"}", b"(", b'"', b"if ", b"\n\n", b"return;", b"\xff", b"a ? b"]))
    edited = source[:at] + inserted + source[to:]
    before = parse_file(language_at(path), source)
    parsed = parse_file(language_at(path), edited, before, diff_hunks(source, edited))
    full = parse_file(language_at(path), edited)
    metrics = measure_structure(full)
    assert measure_structure(parsed) == metrics
    assert len(metrics) == len(full.functions)
    for m in metrics:
        assert m.cyclomatic_complexity is not None
        assert m.cyclomatic_complexity >= 1
        assert min(astuple(m)) >= 0


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(LANGUAGES), st.binary(max_size=400))
def test_any_bytes_are_measured(language: Language, data: bytes) -> None:
    parsed = parse_file(language, data)
    assert len(measure_structure(parsed)) == len(parsed.functions)


def test_a_function_around_a_syntax_error_is_measured() -> None:
    source = "def f(a):\n    if a:\n        return 1\n    b = = 2\n    return g(a)\n"
    assert one("a.py", source) == PairMetrics(5, 2, 1, 1, 1, 1)


def test_a_decorator_counts_for_its_function_and_its_lambda_is_not_the_function() -> None:
    source = "@register(lambda a, b: a or b)\ndef f(x):\n    pass\n"
    assert one("a.py", source) == PairMetrics(3, 2, 1, 1, 0, 1)


def test_code_outside_of_functions_is_not_counted() -> None:
    source = "if a:\n    go()\n\ndef f():\n    a()\n    b()\n\nwhile c() and d:\n    e()\n"
    assert one("a.py", source) == PairMetrics(3, 1, 0, 2, 0, 0)


def test_a_chain_of_else_if_is_one_level() -> None:
    chain = " else ".join(f"if (a == {i}) {{ b = {i}; }}" for i in range(500))
    assert one("a.c", f"int f(int a)\n{{\n{chain}\n}}\n") == PairMetrics(4, 501, 1, 0, 0, 1)


def test_a_called_name_counts_once_and_by_its_last_part() -> None:
    source = "def f(a):\n    a.go()\n    b.c.go(go())\n    a[0]()\n    a()()\n"
    assert one("a.py", source).fan_out == 2


@each_row(
    ("path", "head", "nest", "foot"),
    [
        ("a.py", "def f():\n    a\n    b\n    x = ", "[lambda: ", "1"),
        ("a.js", "function f() {\n\n", "if (a) {\n", ""),
        ("a.js", "function f() {\n\n", "a(() => {\n", ""),
        ("A.java", "class A { void f() {\n\n", "while (a) {\n", ""),
        ("a.go", "package p\nfunc f() {\n\n", "for {\n", ""),
        ("a.c", "int f() {\n\n", "switch (a) { case 1:\n", ""),
        ("a.rs", "fn f() {\n\n", "if a { loop {\n", ""),
        ("a.rb", "def f\n\n\n", "a.each do |x|\n", ""),
        ("a.kt", "fun f() {\n\n", "a.b {\n", ""),
        ("a.php", "<?php function f() {\n\n", "if ($a) {\n", ""),
    ],
)
def test_measuring_deeply_nested_code_ends(path: str, head: str, nest: str, foot: str) -> None:
    closing = {"[lambda: ": "]", "a.each do |x|\n": "end\n", "a(() => {\n": "})\n", "if a { loop {\n": "}}\n"}.get(
        nest, "}\n"
    )
    data = f"{head}{nest * MANY}{foot}{closing * MANY}{'end' if path == 'a.rb' else '}'}\n".encode()
    started = time.process_time()
    rows = measured(path, data)
    assert time.process_time() - started < 5
    assert all(m.nesting_depth is not None and m.nesting_depth <= 2 * MANY for _, m in rows)


@each_row(
    "line",
    [b"if (a && b) { return go(); }\n", b"x = a ? b : c ? d : e;\n", b"((((", b"case 1: break;\n", b"go(go(go(\n"],
)
def test_a_function_of_a_quarter_mebibyte_is_measured_within_seconds(line: bytes) -> None:
    data = b"int f(int a)\n{\n" + line * ((1 << 18) // len(line)) + b"}\n"
    started = time.process_time()
    measured("a.c", data)
    assert time.process_time() - started < 5


@every_language
def test_every_pattern_of_the_table_belongs_to_the_grammar_and_every_capture_is_known(language: Language) -> None:
    query = constructs_query(language)
    captures = {query.capture_name(i) for i in range(query.capture_count)}
    assert captures <= {
        *("function", "inline", "branch", "again", "loop", "switch", "block", "decision", "arm"),
        *("return", "break", "exit", "call", "path", "bare", "word", "parameter"),
    }
    assert {"function", "branch", "loop", "decision", "return", "exit", "parameter"} <= captures
    uses_names = bool({"bare", "word"} & captures)
    assert uses_names == bool(constructs(language).leaving)


@each_row(
    ("path", "source", "complexity", "exits"),
    [
        # What docs/reference/metrics.md says about single constructs, where the golden sources do not show it alone.
        ("a.py", "def f(a):\n    assert a\n    return a.b\n", 1, 0),
        ("a.py", "def f(a):\n    if a: return\n    else: pass\n", 2, 1),
        ("a.py", "def f(a):\n    with a:\n        return 1\n", 1, 1),
        ("a.py", "def f(a):\n    match a:\n        case _: pass\n", 1, 0),
        ("a.js", "function f(a) {\n  return a?.b?.[c]?.()\n}\n", 1, 0),
        ("a.js", "function f(a = b || 1) {\n  return a\n}\n", 2, 0),
        ("a.js", "function f(a) {\n  l: { if (a) break l }\n}\n", 2, 1),
        ("a.js", "function f(a) {\n  switch (a) { case 1: { break } }\n}\n", 2, 0),
        ("a.js", "function f(a) {\n  for (;;) switch (a) { case 1: continue }\n}\n", 3, 1),
        ("a.js", "function f(a) {\n  switch (a) { case 1: return () => { return 1 } }\n}\n", 2, 1),
        ("a.go", "package p\nfunc f() {\n\tfor {\n\t}\n}\n", 2, 0),
        ("a.go", "package p\nfunc f() {\n\tselect {\n\tdefault:\n\t\tbreak\n\t}\n}\n", 1, 1),
        ("a.rs", "fn f() -> A {\n  match a { _ => 1 }\n}\n", 1, 0),
        ("a.rs", "fn f() -> A {\n  return a?.await?;\n}\n", 3, 2),
        ("a.rb", "def f(a)\n  a.raise\n  a&.b\nend\n", 1, 0),
        ("a.rb", "def f(a)\n  a rescue raise\n  return\nend\n", 2, 1),
        ("a.php", "<?php function f($a) {\n  while (1) { if ($a) break; }\n}\n", 3, 1),
        ("a.kt", "fun f(a: A) {\n  a?.b { return }\n}\n", 1, 1),
        ("A.cs", "class A { int F(A a) {\n  return a switch { _ => 1 };\n} }\n", 1, 0),
    ],
)
def test_single_constructs_count_as_documented(path: str, source: str, complexity: int, exits: int) -> None:
    metrics = one(path, source)
    assert (metrics.cyclomatic_complexity, metrics.exits) == (complexity, exits)


@each_row("language", [language.name for language in LANGUAGES])
def test_every_language_is_in_the_documented_tables(language: str) -> None:
    text = (Path(__file__).parents[3] / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    for heading in ("Decisions", "Levels", "Calls", "Exits"):
        section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
        named = {
            name for line in section.splitlines() if line.startswith("|") for name in line.split("|")[1].split(",")
        }
        assert language in {name.strip() for name in named}
