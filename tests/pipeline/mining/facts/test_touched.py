from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.mining.facts.touched import functions_touched
from pipeline.syntax.hunks import diff_hunks
from pipeline.syntax.languages import language_of
from pipeline.syntax.parser import parse_file
from tests.builders.code import function


def names_touched(old: str, new: str, path: bytes = b"a.py") -> list[str]:
    language = language_of(path)
    assert language is not None
    before, after = parse_file(language, old.encode()), parse_file(language, new.encode())
    hunks = diff_hunks(before.data, after.data)
    indexes = functions_touched(before.functions, after.functions, hunks, before.data, after.data)
    return [before.functions[i].qualified_name for i in indexes]


def braces(*names: str, first: str = "") -> str:
    return first + "".join(f"function {n}() {{\n  a();\n  b();\n}}\n\n" for n in names)


@pytest.mark.parametrize("first", ["", "import x\n"])
def test_a_function_added_between_two_touches_neither_even_below_another_change(first: str) -> None:
    assert names_touched(braces("f", "h"), braces("f", "g", "h", first=first), b"a.ts") == []


@pytest.mark.parametrize("first", ["", "import x\n"])
def test_a_function_removed_between_two_touches_only_itself(first: str) -> None:
    assert names_touched(braces("f", "g", "h"), braces("f", "h", first=first), b"a.ts") == ["g"]


def test_lines_appended_to_a_python_function_touch_it() -> None:
    old = "def f():\n    a()\n    b()\n\n\ndef g():\n    a()\n    b()\n"
    assert names_touched(old, old.replace("    b()\n\n", "    b()\n    c()\n\n")) == ["f"]


def test_a_decorator_added_above_a_function_touches_it() -> None:
    old = "x = 1\n\n\ndef f():\n    a()\n    b()\n"
    assert names_touched(old, old.replace("def f", "@cached\ndef f")) == ["f"]


def test_blank_lines_or_code_between_functions_touch_none() -> None:
    old = "def f():\n    a()\n    b()\n\n\ndef g():\n    a()\n    b()\n"
    assert names_touched(old, old.replace("\n\n\ndef g", "\n\n\n\ndef g")) == []
    assert names_touched(old, old.replace("\n\n\ndef g", "\n\n\nx = 1\n\n\ndef g")) == []


def test_the_last_method_of_a_decorated_class_keeps_its_own_lines() -> None:
    old = "@dataclass\nclass C:\n    x = 1\n\n    def f(self):\n        a()\n        b()\n"
    assert names_touched(old, old.replace("x = 1", "x = 2")) == []
    assert names_touched(old, old.replace("a()", "c()")) == ["C.f"]


names = st.lists(st.sampled_from("abcdefg"), unique=True, max_size=7)


@given(names, st.sets(st.sampled_from("abcdefg")))
def test_changing_bodies_touches_exactly_those_functions(names: list[str], changed: set[str]) -> None:
    old = "\n".join(function(n) for n in names)
    new = "\n".join(function(n, "2" if n in changed else "1") for n in names)
    assert names_touched(old, new) == [n for n in names if n in changed]


@given(names, st.sets(st.sampled_from("abcdefg")))
def test_removing_functions_touches_exactly_those_functions(names: list[str], removed: set[str]) -> None:
    old = "\n".join(function(n, n) for n in names)
    new = "\n".join(function(n, n) for n in names if n not in removed)
    assert set(names_touched(old, new)) == set(names) & removed
