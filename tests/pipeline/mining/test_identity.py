"""Credit reaches the function that was changed: overloads, line ends, deletions undone, subprojects."""

from __future__ import annotations

from pipeline.label_recipe import MESSAGES_1
from pipeline.records import Mined
from tests.builders.code import function, module
from tests.builders.history import History
from tests.pipeline.mining.mined import measure_history
from tests.rows import each_row

HEAD_DAY = 1643  # T_train is about day 548, T_eval about day 1278
FIRST, SECOND = module("1", "1"), module("2", "1")
LONG = "def {name}(value):\n" + "".join(f"    step{i} = value + {i}\n" for i in range(9)) + "    return step{last}\n"


def mined(history: History, **options: object) -> Mined:
    history.commit("head", {"README": "x"}, day=HEAD_DAY)
    return measure_history(history, **options).mined  # type: ignore[arg-type]


def credits(history: History) -> dict[str, float]:
    """Return the credit in the training window by "path::name#ordinal at T_train", where it is not 0."""
    return {f"{f.path}::{f.qualified_name}#{f.ordinal}": f.credit for f in mined(history).train if f.credit}


def overload(parameter: str, word: str) -> str:
    return f"    int weigh({parameter}) {{\n        int {word} = use({word});\n        return {word};\n    }}\n"


def java(*methods: str) -> str:
    return "class Box {\n" + "".join(methods) + "}\n"


ONE, TWO = overload("String a", "one"), overload("int[] b", "two")
TWO_FIXED = TWO.replace("use(two)", "use(two, 2)")


@each_row(
    ("start", "between", "fixed", "expected"),
    [
        ((TWO,), (ONE, TWO), (ONE, TWO_FIXED), "weigh#0"),  # inserted above
        ((ONE, TWO), (TWO,), (TWO_FIXED,), "weigh#1"),  # the upper one removed
        ((ONE, TWO), (TWO, ONE), (TWO_FIXED, ONE), "weigh#1"),  # swapped
        ((ONE, TWO), (ONE, TWO), (ONE, TWO_FIXED), "weigh#1"),
    ],
)
def test_a_fix_of_an_overload_credits_it_whatever_its_ordinal_is_then(
    start: tuple[str, ...], between: tuple[str, ...], fixed: tuple[str, ...], expected: str
) -> None:
    history = History()
    history.commit("start", {"Box.java": java(*start)}, day=0)
    history.commit("arrange", {"Box.java": java(*between)}, day=700)
    history.commit("fix: it", {"Box.java": java(*fixed)}, day=710)
    assert credits(history) == {f"Box.java::Box.{expected}": 0.7}


def test_a_fix_on_a_branch_that_inserts_an_overload_credits_the_function_of_the_chain() -> None:
    history = History()
    base = history.commit("start", {"Box.java": java(TWO)}, day=0)
    base = history.commit("later", {"README": "y"}, day=600, parents=[base])
    side = history.commit("grow", {"Box.java": java(ONE, TWO)}, day=700, parents=[base], branch="side")
    fixed = {"Box.java": java(ONE, TWO_FIXED)}
    side = history.commit("fix: it", fixed, day=701, parents=[side], branch="side")
    history.merge("Merge", base, side, fixed, day=702)
    assert credits(history) == {"Box.java::Box.weigh#0": 0.7}


def test_an_overload_inserted_in_the_fix_itself_takes_nothing_away() -> None:
    history = History()
    history.commit("start", {"Box.java": java(TWO)}, day=0)
    history.commit("fix: it", {"Box.java": java(ONE, TWO_FIXED)}, day=710)
    assert credits(history) == {"Box.java::Box.weigh#0": 0.7}


STEPS = "\n".join(f"int step{i}(int a) {{\n    /* adds */\n    int b = a + {i};\n    return b;\n}}\n" for i in range(3))


@each_row(
    ("before", "after"),
    [
        ("\r\n", "\n"),
        ("\n", "\r\n"),
        ("\r", "\n"),
        ("\r", "\r\n"),
    ],
)
def test_a_fix_that_converts_line_ends_touches_only_what_it_fixed(before: str, after: str) -> None:
    history = History()
    history.commit("start", {"steps.c": STEPS.replace("\n", before).encode()}, day=0)
    fixed = STEPS.replace("a + 1", "a ? a + 1 : 0")
    history.commit("fix: it", {"steps.c": fixed.replace("\n", after).encode()}, day=700)
    assert credits(history) == {"steps.c::step1#0": 0.7}


def test_a_function_moved_to_another_file_in_a_fix_gets_nothing_unless_it_changed() -> None:
    for change, expected in (("", {"b.py::f0#0"}), ("+= 9", {"a.py::far#0", "b.py::f0#0"})):
        history = History()
        far = function("far", "7")
        history.commit("start", {"a.py": FIRST + "\n" + far, "b.py": FIRST, "c.py": FIRST}, day=0)
        moved = far.replace("+= 7", change) if change else far
        files = {"a.py": FIRST, "b.py": SECOND, "c.py": FIRST + "\n" + moved}
        history.commit("fix: it", files, day=700)
        assert set(credits(history)) == expected


def test_a_fix_of_comments_white_space_and_moves_alone_gives_nothing() -> None:
    history = History()
    history.commit("start", {"steps.c": STEPS}, day=0)
    first, second, third = STEPS.split("\n\n")
    history.commit("fix: order", {"steps.c": f"{second}\n\n{first}\n\n{third}"}, day=700)
    found = mined(history)
    assert [f.credit for f in found.train] == [0, 0, 0]
    assert [g.reason for g in found.excluded] == ["touches no function that stood before the fix"]


CONFLICT = "<<<<<<< HEAD\n{0}=======\n{1}>>>>>>> other\n"
BROKEN = "def f0(value:\n    total = [value + 1\n" + function("f1")
OTHER = LONG.format(name="late", last=1)
OTHER_FIXED = LONG.format(name="late", last=2)


@each_row(
    ("start", "broken", "restored", "fixed", "expected"),
    [
        ({"a.py": FIRST}, {"a.py": None}, {"a.py": FIRST}, {"a.py": SECOND}, "a.py::f0#0"),  # the file
        ({"a.py": FIRST}, {"a.py": function("f1")}, {"a.py": FIRST}, {"a.py": SECOND}, "a.py::f0#0"),  # the function
        ({"a.py": FIRST}, {"a.py": BROKEN}, {"a.py": FIRST}, {"a.py": SECOND}, "a.py::f0#0"),  # does not parse
        (
            {"a.py": FIRST},
            {"a.py": CONFLICT.format(FIRST, SECOND)},
            {"a.py": FIRST},
            {"a.py": SECOND},
            "a.py::f0#0",
        ),
        ({"a.py": FIRST}, {"a.py": None}, {"lib/b.py": FIRST}, {"lib/b.py": SECOND}, "a.py::f0#0"),  # equal content
        (
            {"a.py": FIRST},
            {"a.py": None},
            {"lib/a.py": FIRST + "\nx = 1\n"},
            {"lib/a.py": SECOND + "\nx = 1\n"},
            "a.py::f0#0",
        ),
        ({"a.py": OTHER}, {"a.py": None}, {"lib/b.py": OTHER + "\nx = 1\n"}, {"lib/b.py": OTHER_FIXED}, "a.py::late#0"),
        (
            {"a.py": OTHER + FIRST},
            {"a.py": FIRST},
            {"a.py": OTHER.replace("late", "later") + FIRST},
            {"a.py": OTHER.replace("late", "later").replace("+ 3", "+ 33") + FIRST},
            "a.py::late#0",  # restored under another name
        ),
    ],
)
def test_a_function_that_was_away_for_a_while_keeps_its_lineage(
    start: dict[str, str],
    broken: dict[str, str | None],
    restored: dict[str, str],
    fixed: dict[str, str],
    expected: str,
) -> None:
    history = History()
    history.commit("start", {**start, "keep.py": module("8", "9")}, day=0)
    history.commit("break", broken, day=700)
    history.commit("mend", restored, day=704)
    history.commit("fix: it", fixed, day=720)
    assert credits(history) == {expected: 0.7}


def test_a_function_that_comes_back_after_the_bound_or_as_another_is_new() -> None:
    for away, again in ((100, FIRST), (10, OTHER.replace("late", "f0"))):
        history = History()
        history.commit("start", {"a.py": FIRST, "keep.py": module("8", "9")}, day=0)
        history.commit("drop", {"a.py": None}, day=700)
        history.commit("add", {"a.py": again}, day=700 + away)
        history.commit("fix: it", {"a.py": again.replace("value + 1", "value + 4")}, day=850)
        assert credits(history) == {}


def test_a_function_that_moved_away_is_not_restored_by_a_new_one_of_its_name() -> None:
    history = History()
    history.commit("start", {"a.py": OTHER + FIRST, "b.py": FIRST}, day=0)
    history.commit("move", {"a.py": FIRST, "b.py": FIRST + OTHER}, day=700)
    twin = OTHER.replace("+ 3", "+ 33")
    history.commit("add", {"a.py": twin + FIRST}, day=710)
    history.commit("fix: the new one", {"a.py": twin.replace("+ 4", "+ 44") + FIRST}, day=720)
    history.commit("fix: the moved one", {"b.py": FIRST + OTHER.replace("+ 5", "+ 55")}, day=730)
    assert credits(history) == {"a.py::late#0": 0.7}


def test_a_restored_function_is_one_lineage_in_both_snapshots_and_its_touches_count() -> None:
    history = History()
    history.commit("start", {"a.py": FIRST}, day=0)
    history.commit("fix: it", {"a.py": SECOND}, day=690)
    history.commit("drop", {"a.py": None}, day=700)
    history.commit("back", {"a.py": SECOND}, day=701)
    history.commit("fix: it again", {"a.py": module("3", "1")}, day=720)
    history.commit("work", {"a.py": module("4", "1")}, day=730)
    function = mined(history).train[0]
    assert (function.credit, function.fixes, function.touches) == (1.4, 2, 4)


TREE = LONG.format(name="parse", last=2)
TREE_FIXED = TREE.replace("+ 4", "+ 44")
STRANGER = 'def parse(text):\n    parts = text.split(",")\n    return parts\n'


def subproject(prefix: str, first_merge: int, *, squash: bool = False, also: str = STRANGER) -> History:
    """Return a history whose tree has `also`, and below a prefix another project that is fixed on day 800."""
    history = History()
    main = history.commit("start", {"src/util.py": also, "keep.py": FIRST}, day=0)
    sub = history.commit("start of the other", {"src/util.py": TREE}, day=5, parents=[], branch="sub")
    main = history.merge("Add sub", main, sub, {prefix + "src/util.py": TREE}, day=first_merge)
    main = history.commit("work", {"keep.py": SECOND}, day=first_merge + 20, parents=[main])
    message = "fix: steps" if not squash else "fix: steps (squashed)"
    sub = history.commit(message, {"src/util.py": TREE_FIXED}, day=800, parents=[sub], branch="sub")
    history.merge("Update sub", main, sub, {prefix + "src/util.py": TREE_FIXED}, day=810)
    return history


@each_row(
    ("first_merge", "also", "expected"),
    [
        (100, STRANGER, {"libs/sub/src/util.py::parse#0": 0.7}),
        (100, TREE.replace("+ 5", "+ 55"), {"libs/sub/src/util.py::parse#0": 0.7}),  # the main tree has a copy
        (600, STRANGER, {}),  # born in the window
    ],
)
def test_a_fix_of_a_subproject_credits_the_function_under_its_prefix(
    first_merge: int, also: str, expected: dict[str, float]
) -> None:
    assert credits(subproject("libs/sub/", first_merge, also=also)) == expected


def test_a_fix_made_in_the_parent_project_credits_the_function_without_its_prefix() -> None:
    history = History()
    main = history.commit("start", {"src/util.py": TREE, "keep.py": FIRST}, day=0)
    files = {"libs/sub/src/util.py": TREE, "src/util.py": STRANGER}
    whole = history.commit("start of the whole", files, day=5, parents=[], branch="whole")
    main = history.merge("Take over", main, whole, {"a.txt": "x"}, day=100)
    fixed = {"libs/sub/src/util.py": TREE_FIXED}
    whole = history.commit("fix: steps", fixed, day=800, parents=[whole], branch="whole")
    history.merge("Take the fix over", main, whole, {"src/util.py": TREE_FIXED}, day=810)
    assert credits(history) == {"src/util.py::parse#0": 0.7}


def test_a_fix_on_an_old_branch_stays_with_its_path_though_the_landing_changed_a_file_like_it() -> None:
    history = History()
    twin = TREE.replace("+ 5", "+ 55")
    old = history.commit("start", {"a/util.py": TREE, "b/util.py": twin}, day=0)
    main = history.commit("later", {"README": "y"}, day=600, parents=[old])
    main = history.commit("the fix, picked", {"a/util.py": TREE_FIXED}, day=690, parents=[main])
    side = history.commit("fix: steps", {"a/util.py": TREE_FIXED}, day=700, parents=[old], branch="side")
    side = history.commit("work", {"b/util.py": twin + "x = 1\n"}, day=701, parents=[side], branch="side")
    history.merge("Merge", main, side, {"b/util.py": twin + "x = 1\n"}, day=702)
    assert credits(history) == {"a/util.py::parse#0": 0.7}


def test_a_fix_on_a_maintenance_branch_credits_the_function_that_the_chain_dropped_meanwhile() -> None:
    history = History()
    old = history.commit("start", {"a.py": FIRST, "keep.py": FIRST}, day=0)
    main = history.commit("later", {"README": "y"}, day=600, parents=[old])
    first = history.commit("maintain", {"VERSION": "1"}, day=610, parents=[old], branch="1.x")
    main = history.merge("Merge 1.x", main, first, {}, day=611)
    main = history.commit("drop", {"a.py": None}, day=620, parents=[main])
    fix = history.commit("fix: it", {"a.py": SECOND, "keep.py": SECOND}, day=800, parents=[first], branch="1.x")
    history.merge("Merge 1.x", main, fix, {"keep.py": SECOND}, day=801)
    assert set(credits(history)) == {"a.py::f0#0", "keep.py::f0#0"}


def test_a_function_deleted_and_restored_on_a_branch_is_that_of_the_chain() -> None:
    history = History()
    base = history.commit("start", {"a.py": FIRST, "keep.py": FIRST}, day=0)
    base = history.commit("later", {"README": "y"}, day=600)
    side = history.commit("drop", {"a.py": None}, day=700, parents=[base], branch="side")
    side = history.commit("back", {"a.py": FIRST}, day=701, parents=[side], branch="side")
    side = history.commit("fix: it", {"a.py": SECOND}, day=702, parents=[side], branch="side")
    history.merge("Merge", base, side, {"a.py": SECOND}, day=703)
    assert credits(history) == {"a.py::f0#0": 0.7}


def test_results_do_not_depend_on_processes_or_on_what_is_cached(tmp_path: object) -> None:
    history = subproject("libs/sub/", 100)
    history.commit("start", {"Box.java": java(ONE, TWO), "a.py": FIRST}, day=811)
    history.commit("head", {"README": "x"}, day=HEAD_DAY)
    alone = measure_history(history)
    for options in ({"jobs": 2}, {"data_dir": tmp_path}, {"data_dir": tmp_path}):
        again = measure_history(history, **options)
        assert (again.mined.train, again.mined.holdout) == (alone.mined.train, alone.mined.holdout)


def test_the_first_version_follows_ordinals_and_paths() -> None:
    found = mined(subproject("libs/sub/", 100), recipe=MESSAGES_1)
    assert {f.path: f.credit for f in found.train if f.credit} == {"src/util.py": 0.7}
