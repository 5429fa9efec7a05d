from __future__ import annotations

from pipeline.syntax.grammars import docstring_query, grammar, outline_query
from pipeline.syntax.languages import LANGUAGES, Language, language_of, source_patterns
from pipeline.syntax.parser import Function, parse_file
from tests.pipeline.syntax.sources import GOLDEN
from tests.rows import each_row


def listed(path: str, source: str) -> list[Function]:
    language = language_of(path.encode())
    assert language is not None
    return list(parse_file(language, source.encode()).functions)


@each_row(
    ("path", "name"),
    [
        (b"a.py", "Python"),
        (b"a/b.min.js", "JavaScript"),
        (b"a.jsx", "JavaScript"),
        (b"a.mjs", "JavaScript"),
        (b"a.cjs", "JavaScript"),
        (b"a.ts", "TypeScript"),
        (b"a.mts", "TypeScript"),
        (b"a.tsx", "TSX"),
        (b"A.java", "Java"),
        (b"a.go", "Go"),
        (b"a.c", "C"),
        (b"a.h", "C"),
        (b"a.C", "C++"),
        (b"a.cc", "C++"),
        (b"a.cpp", "C++"),
        (b"a.cxx", "C++"),
        (b"a.hpp", "C++"),
        (b"a.hh", "C++"),
        (b"a.hxx", "C++"),
        (b"a.rs", "Rust"),
        (b"a.cs", "C#"),
        (b"a.rb", "Ruby"),
        (b"a.php", "PHP"),
        (b"a.kt", "Kotlin"),
        (b"a.kts", "Kotlin"),
        (b"\xff\n.py", "Python"),
        (b"py", None),
        (b"src/py", None),
        (b"a.py/b", None),
        (b"a.pyc", None),
        (b"a.PY", "Python"),
        (b"Main.Java", "Java"),
        (b"A.CPP", "C++"),
        (b"A.H", "C++"),
        (b"A.Tsx", "TSX"),
        (b"a.PYC", None),
        (b"Makefile", None),
        (b"", None),
    ],
)
def test_the_extension_decides_the_language(path: bytes, name: str | None) -> None:
    language = language_of(path)
    assert (language.name if language else None) == name


@each_row(("path", "name"), [(b"a.PY", None), (b"A.CPP", None), (b"A.H", "C++"), (b"a.py", "Python")])
def test_version_1_reads_no_endings_in_capitals(path: bytes, name: str | None) -> None:
    language = language_of(path, version=1)
    assert (language.name if language else None) == name


def test_source_patterns_cover_exactly_the_extensions() -> None:
    assert set(source_patterns()) == {f"*.{e.decode()}" for language in LANGUAGES for e in language.extensions}
    assert list(source_patterns()) == sorted(set(source_patterns()))


def test_no_extension_belongs_to_two_languages() -> None:
    extensions = [e for language in LANGUAGES for e in language.extensions]
    assert len(extensions) == len(set(extensions))


@each_row("language", LANGUAGES)
def test_every_row_fits_its_grammar(language: Language) -> None:
    known = {grammar(language).node_kind_for_id(i) for i in range(grammar(language).node_kind_count)}
    assert outline_query(language).pattern_count > 0
    assert (docstring_query(language) is None) == (not language.docstrings)
    assert language.comments | language.blocks | language.clauses | set(language.names) <= known


@each_row("path", GOLDEN)
def test_golden_sources_have_the_expected_functions(path: str) -> None:
    source, expected = GOLDEN[path]
    assert listed(path, source) == expected


@each_row("path", GOLDEN)
def test_the_golden_sources_are_correct_in_their_language(path: str) -> None:
    language = language_of(path.encode())
    assert language is not None
    assert not parse_file(language, GOLDEN[path][0].encode()).tree.root_node.has_error


def test_every_language_has_a_golden_source() -> None:
    assert {language_of(path.encode()) for path in GOLDEN} == set(LANGUAGES)


def test_a_flow_file_is_parsed_as_typed_javascript() -> None:
    source = "/**\n * @flow strict\n */\nfunction f(a: ?string): void {\n  use(a);\n}\n"
    assert listed("a.js", source.replace("?", "")) == [("f", 0, 4, 6)]


@each_row(
    ("path", "source", "name"),
    [
        ("a.js", "const o = {\n  'a\\u202eb\x07'() {\n    x()\n  }\n}\n", "o.a\\u202eb\\x07"),
        ("a.js", "class A {\n  ['x' +\n    'y']() {\n    x()\n  }\n}\n", "A.['x' + 'y']"),
        ("a.js", "class A { ''() {\n    x()\n  }\n}\n", "A.''"),
        ("a.rb", "def \xe9t\xe9\n  x\nend\n", "\xe9t\xe9"),
        ("a.cpp", "void A<B<C>, D>::f() {\n  x();\n}\n", "A.f"),
        ("a.rs", "impl<'a> dyn A<'a> {\n  fn f() {\n    x()\n  }\n}\n", "A.f"),
        ("a.go", "package p\nfunc (*T) F() {\n\tx()\n}\n", "T.F"),
        ("a.py", "def \xaa():\n  x\n  y\n", "\xaa"),
    ],
)
def test_odd_names_are_made_readable(path: str, source: str, name: str) -> None:
    assert [f[0] for f in listed(path, source)] == [name]


def test_a_name_that_is_not_utf_8_is_escaped() -> None:
    language = language_of(b"a.js")
    assert language is not None
    functions = parse_file(language, b"o = {\n'a\xff'() {\n  x()\n}\n}\n").functions
    assert [f.qualified_name for f in functions] == ["o.a\\xff"]


RUBY_CALLS = """\
class Cart
  define_method(:total) do |rate|
    sum(rate)
  end
  define_method "size", ->(unit) do
    sum(unit)
  end
  Line = Struct.new(:price) do
    def cost
      price
    end
  end
  Point ||= Data.define(:x) do
    def far
      x
    end
  end
  Fault = Class.new(StandardError) do
    def message
      "x"
    end
  end
  Names = Module.new do
    def named
      name
    end
  end
  class << self
    def build
      new
    end
  end
  def build
    self
  end
  def self.load
    new
  end
  included do
    def joined
      1
    end
  end
  class_methods do
    def all
      1
    end
  end
  refine String do
    def loud
      upcase
    end
  end
  scope :x do
    1
    2
  end
end
"""


def test_ruby_functions_and_classes_may_be_defined_by_calls() -> None:
    names = [f.qualified_name for f in listed("a.rb", RUBY_CALLS)]
    within = ["total", "size", "Line.cost", "Point.far", "Fault.message", "Names.named", "self.build", "build"]
    assert names == [f"Cart.{name}" for name in (*within, "self.load", "joined", "self.all", "String.loud")]


def test_version_1_gives_methods_of_ruby_calls_to_the_class_around_them() -> None:
    language = language_of(b"a.rb")
    assert language is not None
    functions = parse_file(language, RUBY_CALLS.encode(), version=1).functions
    assert [(f.qualified_name, f.ordinal) for f in functions][:6] == [
        ("Cart.cost", 0),
        ("Cart.far", 0),
        ("Cart.message", 0),
        ("Cart.named", 0),
        ("Cart.build", 0),
        ("Cart.build", 1),
    ]


HOOKS = """\
<?php
class Person {
  public string $name {
    get {
      return $this->first;
    }
    set(string $value) {
      $this->first = $value;
    }
  }
  public string $short { get => $this->name; }
  public function __construct(public int $age {
    set {
      $this->age = $value;
    }
  }) {
    work();
  }
}
"""


def test_hooks_of_php_properties_are_functions() -> None:
    names = [f.qualified_name for f in listed("a.php", HOOKS)]
    assert names == ["Person.name.get", "Person.name.set", "Person.__construct", "Person.__construct.age.set"]
    language = language_of(b"a.php")
    assert language is not None
    assert [f.qualified_name for f in parse_file(language, HOOKS.encode(), version=1).functions] == [
        "Person.__construct"
    ]
