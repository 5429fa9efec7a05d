"""Functions of one name are told apart by their place, signature, scope and tokens; the ordinal is only a label."""

from __future__ import annotations

from pipeline.label_recipe import MESSAGES
from pipeline.mining.facts.siblings import match_siblings, signature_of
from pipeline.syntax.hunks import diff_hunks
from pipeline.syntax.languages import language_of
from pipeline.syntax.parser import parse_file
from tests.rows import each_row

BODY = (
    "        int total = {0};\n        for (int i = 0; i < {0}; i++) {{ total += i * {0}; }}\n        return total;\n"
)


def method(parameters: str, word: str) -> str:
    return f"    int weigh({parameters}) {{\n{BODY.format(word)}    }}\n"


STRING, ARRAY, DOUBLE = method("String label", "length"), method("int[] parts", "count"), method("double d", "size")
LABEL_FIXED = STRING.replace("total += i", "total -= i")
DELEGATES = "    int weigh(String label) {\n        int none = 0;\n        return weigh(label, none);\n    }\n"
MORE = STRING.replace("String label", "String label, int extra")


def successors(old: str, new: str, path: bytes) -> dict[int, int]:
    """Return old ordinal -> new ordinal of the only group of equal names."""
    language = language_of(path)
    assert language is not None
    before, after = parse_file(language, old.encode()), parse_file(language, new.encode())
    found = match_siblings(before, after, diff_hunks(before.data, after.data), MESSAGES)
    return {before.functions[i].ordinal: after.functions[j].ordinal for i, j in found.items()}


def java(*methods: str) -> str:
    return "class Box {\n" + "".join(methods) + "}\n"


@each_row(
    ("old", "new", "expected"),
    [
        ((STRING,), (ARRAY, STRING), {0: 1}),  # inserted above
        ((STRING,), (ARRAY, LABEL_FIXED), {0: 1}),  # and changed in the same commit
        ((STRING,), (STRING, ARRAY), {0: 0}),
        ((ARRAY, STRING), (STRING,), {1: 0}),  # the upper one removed
        ((ARRAY, STRING), (LABEL_FIXED,), {1: 0}),
        ((ARRAY, STRING), (STRING, ARRAY), {0: 1, 1: 0}),  # swapped
        ((ARRAY, STRING, DOUBLE), (DOUBLE, ARRAY, LABEL_FIXED), {0: 1, 1: 2, 2: 0}),
        ((STRING,), (DELEGATES, MORE), {0: 1}),  # the code went on under a longer signature
        ((STRING, STRING), (STRING, STRING, STRING), {0: 0, 1: 1}),  # redefinitions that are alike keep their order
    ],
)
def test_overloads_are_matched_whatever_their_order(
    old: tuple[str, ...], new: tuple[str, ...], expected: dict[int, int]
) -> None:
    assert successors(java(*old), java(*new), b"Box.java") == expected


def test_a_replaced_overload_is_a_stranger_and_a_rewritten_single_function_is_not() -> None:
    other = (
        "    int weigh(Queue q) {\n        while (q.any()) { q.drop(); log.warn(q.name()); }\n"
        "        throw new Full(q.owner(), now());\n    }\n"
    )
    assert successors(java(ARRAY, STRING), java(other, STRING), b"Box.java") == {1: 1}
    assert successors(java(STRING), java(other), b"Box.java") == {0: 0}


RUST = "impl {trait} for P {{\n    fn fmt(&self, f: &mut Formatter) -> Result {{\n        {body}\n    }}\n}}\n"
SHOW = 'write!(f, "{}", self.0)'


def test_trait_implementations_are_told_apart_by_their_trait() -> None:
    display, debug = (RUST.format(trait=trait, body=SHOW) for trait in ("Display", "Debug"))
    fixed = RUST.format(trait="Display", body='write!(f, "<{}>", self.0)')
    assert successors(display, debug + fixed, b"p.rs") == {0: 1}
    assert successors(debug + display, fixed, b"p.rs") == {1: 0}


def test_accessors_redefinitions_and_constructors_keep_their_lineage() -> None:
    getter = "    @property\n    def x(self):\n        return self._x\n\n"
    setter = "    @x.setter\n    def x(self, value):\n        check(value)\n        self._x = value\n\n"
    cached = setter.replace("check(value)", "check(value, self)")
    assert successors("class A:\n" + setter, "class A:\n" + getter + cached, b"a.py") == {0: 1}
    one = "    A(int a)\n    {\n        Use(a);\n        Keep(a, 1);\n    }\n"
    two = "    A(int a, int b)\n    {\n        Use(a);\n        Keep(a, b);\n    }\n"
    fixed = two.replace("Keep(a, b)", "Keep(b, a)")
    assert successors(f"class A\n{{\n{two}}}\n", f"class A\n{{\n{one}{fixed}}}\n", b"A.cs") == {0: 1}


def test_functions_of_hostile_number_are_matched_in_their_order() -> None:
    old = java(*(method(f"T{i} x", f"w{i}") for i in range(60)))
    new = java(*(method(f"U{i} x", f"v{i}") for i in range(60)))
    assert successors(old, new, b"Box.java") == {i: i for i in range(60)}


@each_row(
    ("name", "tokens", "expected"),
    [
        ("Box.weigh", "int weigh ( int [ ] parts ) {", "( int [ ] parts )"),
        ("T.M", "func ( t * T ) M ( a int ) int {", "( a int )"),
        ("at", "int at ( int i ) const {", "( int i ) const"),
        ("f", "const f = ( a , b ) => a", "= ( a , b )"),
        ("f", "const f = a => a", ""),
        ("f", "def f", ""),
    ],
)
def test_a_signature_is_what_stands_between_the_name_and_the_body(name: str, tokens: str, expected: str) -> None:
    assert list(signature_of(name, [t.encode() for t in tokens.split()])) == [t.encode() for t in expected.split()]
