from __future__ import annotations

from pipeline.syntax.headers import holds_cpp
from pipeline.syntax.hunks import diff_hunks
from pipeline.syntax.languages import LANGUAGES
from pipeline.syntax.parser import parse_file
from tests.rows import each_row

C = next(language for language in LANGUAGES if language.name == "C")


@each_row(
    "text",
    [
        "class a {\n};\n",
        "namespace x {\n}",
        "inline namespace v1 {\n}",
        "struct P {\n int x;\n int get() { return x; }\n};",
        "struct P { int get() const; };",
        "struct A : B { int f(); };",
        "struct A { A(); ~A(); };",
        "struct A { A() = default; };",
        "struct A { virtual ~A(); };",
        "struct A { bool operator<(const A& a) const; };",
        "void f(const T& x);",
        "using A = int;",
        "#include <vector>\nstruct a;",
        'extern "C" {\nint f();\n}',
        "int f() { return a::b(); }",
        "template<class T> T f(T a);",
        "enum class E { a };",
        "public:\n  int x;",
        "#ifdef __cplusplus\nnamespace x { class a; }\n#endif\nint f(void);\n",
        "/* long */\n" * 4_000 + "namespace x {\n}",
    ],
)
def test_cpp_is_known_by_what_no_c_compiler_accepts(text: str) -> None:
    assert holds_cpp(text.encode())


@each_row(
    "text",
    [
        "",
        "struct node { int class; int new; };\nint f(struct node *n) { return n->class + n->new; }",
        '// class X {\n/* namespace a { */ const char *s = "std::x class a {";',
        '#ifdef __cplusplus\nextern "C" {\n#endif\nint f(void);\n#ifdef __cplusplus\n}\n#endif\n',
        "[[gnu::pure]] int f(void);",
        "struct A {\n struct PACKED(4) {\n int x; } b;\n};",
        "int virtual = 1; template = 3; int namespace(int);",
        "#ifdef __cplusplus\nclass X;\n#endif\nstruct a { int class; };\n",
        "#ifndef __cplusplus\nint a;\n#else\nclass B {};\n#endif\nvoid f(int this);",
        "#define X std::move\nint f(void);",
        'asm volatile(""::"r"(a));',
        "struct class { int a; };\nstruct class *class;",
        "x = (const T)&y;",
    ],
)
def test_c_with_names_and_texts_that_look_like_cpp_stays_c(text: str) -> None:
    assert not holds_cpp(text.encode())


def test_a_header_that_becomes_cpp_is_parsed_as_such_from_then_on() -> None:
    old = b"struct a {\n int b;\n};\nstatic int f(void)\n{\n\treturn 1;\n}\n"
    new = old + b"namespace n {\nint g() {\n  return 1;\n}\n}\n"
    before = parse_file(C, old)
    after = parse_file(C, new, before, diff_hunks(old, new))
    again = parse_file(C, old, after, diff_hunks(new, old))
    assert [f.qualified_name for f in after.functions] == ["f", "n.g"]
    assert [f.qualified_name for f in again.functions] == [f.qualified_name for f in before.functions] == ["f"]
    assert (before.language.name, after.language.name, again.language.name) == ("C", "C++", "C")


def test_version_1_of_the_label_rules_reads_every_header_as_c() -> None:
    assert parse_file(C, b"namespace n {\nclass a {};\n}\n", version=1).language is C
