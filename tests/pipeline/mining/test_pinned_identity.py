"""A server pinned to the first version of the rules computes what it did, to the last digit.

One history holds what the second version reads otherwise: an overload inserted above, comments and line ends inside a
fix, a deletion undone, a subproject merged under a prefix. The figures were taken before the second version existed.
"""

from __future__ import annotations

from pipeline.label_recipe import MESSAGES, MESSAGES_1
from pipeline.records import Mined
from tests.builders.code import function, module
from tests.builders.history import History
from tests.pipeline.mining.mined import measure_history

STRING = (
    "    int weigh(String label) {\n        int total = label.length();\n        total += 4;\n"
    "        return total;\n    }\n"
)
ARRAY = (
    "    int weigh(int[] parts) {\n        int sum = 0;\n        for (int part : parts) { sum += part; }\n"
    "        if (sum < 0) { sum = 0; }\n        return sum;\n    }\n"
)
TREE = (
    "def parse(text):\n    tree = {}\n    for word in text.split():\n        tree[word] = len(word)\n    return tree\n"
)


def box(*methods: str) -> str:
    return "package shop;\nclass Box {\n" + "".join(methods) + "}\n"


def steps(third: str = "3", comment: str = "adds") -> str:
    """Return five functions of C, each with a comment."""
    bodies = {str(i): str(i) for i in range(1, 6)} | {"3": third}
    return "\n".join(
        f"int step{i}(int a) {{\n    /* {comment} {i} */\n    int b = a + {b};\n    return b;\n}}\n"
        for i, b in bodies.items()
    )


def history() -> History:
    made = History()
    crlf = steps().replace("\n", "\r\n")
    files = {"Box.java": box(STRING), "steps.c": crlf, "a.py": module("1", "1"), "src/util.py": function("parse")}
    made.commit("start", files, day=0)
    sub = made.commit("start of the other", {"src/util.py": TREE}, day=10, parents=[], branch="sub")
    made.merge("Add sub", made.tips["main"], sub, {"libs/sub/src/util.py": TREE}, day=300)
    made.commit("Weigh arrays, too", {"Box.java": box(ARRAY, STRING)}, day=700)
    made.commit("fix: empty labels", {"Box.java": box(ARRAY, STRING.replace("4", "5"))}, day=710)
    made.commit("fix: zero stays zero", {"steps.c": steps("a ? 3 : 0")}, day=720)
    made.commit("fix: again", {"steps.c": steps("a ? 4 : 0", "adds the")}, day=730)
    made.commit("drop a", {"a.py": None}, day=740)
    made.commit("bring a back", {"a.py": module("1", "1")}, day=745)
    made.commit("fix: a", {"a.py": module("2", "1")}, day=750)
    tree = TREE.replace("len(word)", "len(word.strip())")
    sub = made.commit("fix: blanks", {"src/util.py": tree}, day=760, parents=[sub], branch="sub")
    made.merge("Update sub", made.tips["main"], sub, {"libs/sub/src/util.py": tree}, day=770)
    made.commit("Drop arrays", {"Box.java": box(STRING.replace("4", "5"))}, day=1300)
    made.commit("fix: labels", {"Box.java": box(STRING.replace("4", "6"))}, day=1310)
    made.commit("head", {"README": "x"}, day=1643)
    return made


def figures(mined: Mined) -> list[tuple[str, float, int, int]]:
    return [
        (f"{f.path}::{f.qualified_name}#{f.ordinal}", f.credit, f.fixes, f.touches)
        for f in (*mined.train, *mined.holdout)
        if f.credit
    ]


def test_the_first_version_computes_to_the_last_digit_what_it_did() -> None:
    measured = measure_history(history(), recipe=MESSAGES_1)
    assert figures(measured.mined) == [
        ("src/util.py::parse#0", 0.7, 1, 1),
        *((f"steps.c::step{i}#0", 0.626099033699941, 2, 2) for i in range(1, 6)),
        ("Box.java::Box.weigh#0", 0.7, 1, 2),
    ]
    assert (len(measured.mined.train), len(measured.mined.holdout)) == (10, 11)
    assert measured.density is not None
    assert measured.density.value == 0.38304951684997046
    assert measured.mined.excluded == ()
    assert measured.mined.notes == ()


def test_the_second_version_credits_what_was_changed() -> None:
    assert figures(measure_history(history(), recipe=MESSAGES).mined) == [
        ("Box.java::Box.weigh#0", 0.7, 1, 1),
        ("a.py::f0#0", 0.7, 1, 2),
        ("libs/sub/src/util.py::parse#0", 0.7, 1, 1),
        ("steps.c::step3#0", 1.4, 2, 2),
        ("Box.java::Box.weigh#1", 0.7, 1, 1),
    ]
