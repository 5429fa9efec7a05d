"""Kotlin's soft keywords as names do not hide the rest of a class."""

from __future__ import annotations

from pipeline.syntax.hunks import diff_hunks
from pipeline.syntax.languages import language_of
from pipeline.syntax.parser import parse_file
from pipeline.syntax.shadow.soft_keywords import with_names_in_capitals
from pipeline.syntax.tokens import code_tokens
from tests.rows import each_row

KOTLIN = language_of(b"a.kt")

SETTINGS = """\
package app
class Settings {
    private var set = 0
    private val values = IntArray(10)
    fun clear() {
        set = 0
        values.fill(0)
    }
    operator fun set(id: Int, value: Int): Settings {
        val bit = 1 shl id
        set = set or bit
        values[id] = value
        return this
    }
    fun isSet(id: Int): Boolean {
        val bit = 1 shl id
        return set and bit != 0
    }
    fun merge(other: Settings) {
        for (i in 0 until 10) {
            set(i, other.values[i])
        }
    }
}
"""
WORDS = [
    "get",
    "set",
    "open",
    "suspend",
    "value",
    "data",
    "inner",
    "internal",
    "override",
    "private",
    "sealed",
    "inline",
]
USES = [
    "var {} = 0",
    "{} = 0",
    "val a = 1\n    {} = {} or a\n    return",
    "val a = 1\n    {}[0] = a",
    "val a = 1\n    {}.close()",
    "a({} = 1, b = 2)",
    "if (!{} && a) b()",
    "a.{}(1)",
    "val f = {{ {} -> {} + 1 }}",
    "return {}",
    "a({})",
]


def functions_of(source: str, version: int = 2) -> list[str]:
    assert KOTLIN is not None
    return [f.qualified_name for f in parse_file(KOTLIN, source.encode(), version=version).functions]


def test_a_property_called_set_hides_no_method() -> None:
    assert functions_of(SETTINGS) == ["Settings.clear", "Settings.set", "Settings.isSet", "Settings.merge"]
    assert functions_of(SETTINGS, version=1) == ["clear"]


@each_row("word", WORDS)
def test_a_soft_keyword_may_be_a_name_wherever_names_may_stand(word: str) -> None:
    for use in USES:
        body = use.format(word, word)
        source = f"class A {{\n  fun f() {{\n    {body}\n  }}\n  fun g() {{\n    b()\n  }}\n}}\n"
        assert functions_of(source) == ["A.f", "A.g"], use


def test_a_call_of_get_after_a_property_is_no_getter() -> None:
    source = "fun f(): Int {\n  val a = 1\n  get(a)\n  return get()\n}\nfun g() {\n  val a = 1\n  set(a, 2)\n}\n"
    assert functions_of(source) == ["f", "g"]


def test_annotations_before_a_setter_or_a_constructor_hide_nothing() -> None:
    accessors = (
        "class A {\n  var a: B?\n    @Synchronized get() = b\n\n    @Synchronized set(value) {\n      c(value)\n    }\n"
    )
    assert functions_of(accessors + "  fun f() {\n    d()\n  }\n}\n") == ["A.a.set", "A.f"]
    constructor = "class A\n  @Inject(1)\n  internal constructor() : B {\n  fun f() {\n    d()\n  }\n}\n"
    assert functions_of(constructor) == ["A.f"]


def test_names_that_begin_with_in_or_is_and_a_digit_are_names() -> None:
    assert functions_of("fun f() {\n  val in1 = a()\n  in1.skip()\n  b(in1)\n}\n") == ["f"]


def test_accessors_and_modifiers_stay_what_they_are() -> None:
    source = b"""\
open class A {
  var a = 0
    private set
  val b: Int
    get() = 1
  var c: Int
    get() { return 1 }
    set(new) { field = new }
  private suspend fun f(block: suspend () -> Unit) { }
  protected open val d = 1
}
"""
    assert with_names_in_capitals(source) is source


def test_the_tokens_are_those_of_the_file() -> None:
    assert KOTLIN is not None
    parsed = parse_file(KOTLIN, SETTINGS.encode())
    assert parsed.shadow != parsed.data
    assert len(parsed.shadow) == len(parsed.data)
    assert code_tokens(parsed, 6, 6) == [b"set", b"=", b"0"]


def test_a_file_without_errors_is_parsed_as_it_is() -> None:
    assert KOTLIN is not None
    parsed = parse_file(KOTLIN, b"fun f() {\n  a.set(2)\n  b(open)\n}\n")
    assert parsed.shadow is parsed.data


def test_a_version_after_one_that_was_spelled_otherwise_equals_a_full_parse() -> None:
    assert KOTLIN is not None
    before, after = SETTINGS.encode(), SETTINGS.replace("set = set or bit", "other = bit").encode()
    between = parse_file(KOTLIN, after, parse_file(KOTLIN, before), diff_hunks(before, after))
    assert between.functions == parse_file(KOTLIN, after).functions
    again = parse_file(KOTLIN, before, between, diff_hunks(after, before))
    assert again.functions == parse_file(KOTLIN, before).functions
