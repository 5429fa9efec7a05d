from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.label_recipe import MESSAGES
from pipeline.mining.facts.siblings import match_siblings
from pipeline.mining.facts.touched import functions_touched, with_changed_code
from pipeline.syntax.hunks import diff_hunks
from pipeline.syntax.languages import language_of
from pipeline.syntax.parser import parse_file
from tests.builders.code import function
from tests.rows import each_row


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


def names_changed(old: str, new: str, path: bytes) -> list[str]:
    language = language_of(path)
    assert language is not None
    before, after = parse_file(language, old.encode()), parse_file(language, new.encode())
    hunks = diff_hunks(before.data, after.data)
    successors = match_siblings(before, after, hunks, MESSAGES)
    indexes = functions_touched(before.functions, after.functions, hunks, before.data, after.data, successors)
    changed = with_changed_code(before, after, hunks, indexes, successors)
    return [before.functions[i].qualified_name for i in changed]


C = "int f(int a) {\n    /* adds */\n    int b = a + 1;\n    return b;\n}\n"
PYTHON = (
    'class C:\n    def f(self, a):\n        """Add."""\n'
    "        if a:\n            b()\n            c()\n        return a\n"
)
SCRIPT = "function f(a) {\n  const g = (b) => {\n    return b;\n  };\n  return g(a);\n}\n"
VIEW = "function View() {\n  return (\n    <p>\n      Hello {name}\n    </p>\n  );\n}\n"


@each_row(
    ("path", "old", "new", "expected"),
    [
        (b"a.c", C, C.replace("adds", "adds one"), []),
        (b"a.c", C, C.replace("    /* adds */\n", ""), []),
        (b"a.c", C, C.replace("    ", "\t"), []),
        (b"a.c", C, C.replace("int b = a + 1;", "int b =\n        a + 1;"), []),  # wrapped
        (b"a.c", C, C.replace(") {", ")\n{"), []),
        (b"a.c", C, C.replace("/* adds */", "/* adds").replace("return b;", "*/ return b;"), ["f"]),  # commented out
        (b"a.c", C, C.replace("a + 1", "a + 2"), ["f"]),
        (b"a.py", PYTHON, PYTHON.replace('"""Add."""', '"""Add one."""'), []),
        (b"a.py", PYTHON, PYTHON.replace("    ", "  "), []),  # other steps, equal nesting
        (b"a.py", PYTHON, PYTHON.replace("            c()", "        c()"), ["C.f"]),  # c is called always
        (b"a.py", PYTHON, PYTHON.replace("class C", "class D"), []),
        (b"a.js", SCRIPT, SCRIPT.replace("return b", "return -b"), ["f.g"]),
        (b"a.js", SCRIPT, SCRIPT.replace("  const g = (b) => {\n    return b;\n  };\n", ""), ["f.g"]),
        (
            b"a.js",
            "function f(a) {\n  h();\n  return a;\n}\n",
            SCRIPT.replace("  return g(a)", "  h();\n  return a"),
            ["f"],
        ),
        (b"a.jsx", VIEW, VIEW.replace("      Hello", "        Hello"), []),
        (b"a.jsx", VIEW, VIEW.replace("Hello", "Bye"), ["View"]),
    ],
)
def test_a_function_is_touched_iff_its_own_code_changed(path: bytes, old: str, new: str, expected: list[str]) -> None:
    assert names_changed(old, new, path) == expected


def test_a_pure_move_touches_nothing() -> None:
    first, second = function("f", "1"), function("g", "2")
    assert names_changed(f"{first}\n{second}", f"{second}\n{first}", b"a.py") == []
    inside = "class A:\n" + "".join(f"    {line}\n" for line in first.splitlines())
    assert names_changed(f"{inside}\n\nclass B:\n    x = 1\n", inside.replace("A", "B"), b"a.py") == []
    assert names_changed(inside, inside.replace("A", "B").replace("+= 1", "+= 3"), b"a.py") == ["A.f"]
