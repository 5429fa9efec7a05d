"""Join the functions of two snapshots along their lineages."""

from __future__ import annotations

from pathlib import Path

from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES, MESSAGES_1, LabelRecipe
from pipeline.mining.miner import Miner
from tests.builders.code import module
from tests.builders.history import History
from tests.pipeline.mining.mined import measure_history

LONG = "def {name}(value):\n" + "".join(f"    step{i} = value + {i}\n" for i in range(9)) + "    return step1\n"


def joined(history: History, folder: Path, earlier: int, later: int) -> dict[str, str | None]:
    """Return later function -> earlier function, both as "path::name". Snapshots are given by number of landings."""
    with Miner(open_repository(history.write(folder / "history.git")), MESSAGES) as miner:
        before, after = (
            [f"{f.path}::{f.qualified_name}" for f in miner.functions(landings - 1)] for landings in (earlier, later)
        )
        indexes = miner.join(earlier - 1, later - 1)
        return {name: None if i is None else before[i] for name, i in zip(after, indexes, strict=True)}


def test_functions_are_joined_across_edits_renames_and_moves(tmp_path: Path) -> None:
    early, late = LONG.format(name="early"), LONG.format(name="late")
    history = History()
    history.commit("before", {"a.py": early + "\n" + module("1"), "b.py": module("1", "1")})
    history.commit("edit and grow", {"b.py": module("2", "1", "1")})
    history.commit("call it late", {"a.py": late + "\n" + module("1")})
    history.commit("rename", {"b.py": None, "z.py": module("2", "1", "1")})
    history.commit("move it", {"a.py": module("1"), "n.py": late})
    history.commit("not seen", {"z.py": None})
    assert joined(history, tmp_path, 1, 5) == {
        "a.py::f0": "a.py::f0",
        "n.py::late": "a.py::early",
        "z.py::f0": "b.py::f0",
        "z.py::f1": "b.py::f1",
        "z.py::f2": None,
    }


def test_another_function_of_the_same_name_does_not_join(tmp_path: Path) -> None:
    other = "def early(items):\n" + "".join(f"    items.append({i})\n" for i in range(12)) + "    return items\n"
    history = History()
    history.commit("before", {"a.py": LONG.format(name="early"), "b.py": module("1")})
    history.commit("drop it", {"a.py": "x = 1\n"})
    history.commit("another", {"a.py": other})
    assert joined(history, tmp_path, 1, 3) == {"a.py::early": None, "b.py::f0": "b.py::f0"}


def test_a_snapshot_joined_with_itself_is_the_identity(tmp_path: Path) -> None:
    history = History()
    history.commit("start", {"a.py": module("1", "1"), "b.py": module("1")})
    indexes = joined(history, tmp_path, 1, 1)
    assert list(indexes) == list(indexes.values())


BROKEN = "class A {\n  fun one(): Int {\n    val x = )( ;\n    ]] override class fun (\n    return 1\n  }\n"
GOOD = "fun good(): Int {\n  val y = 2\n  return y\n}\n"


def notes_of(files: dict[str, str], recipe: LabelRecipe = MESSAGES) -> list[str]:
    history = History()
    history.commit("start", files, day=0)
    history.commit("end", {"end.txt": "end"}, day=2000)
    return list(measure_history(history, recipe=recipe).mined.notes)


def test_files_that_could_be_parsed_in_part_only_are_counted() -> None:
    files = {f"A{number}.kt": BROKEN for number in range(3)} | {"Good.kt": GOOD}
    assert notes_of(files) == ["3 of 4 files could not be parsed wholly: about 4 functions are missing"]
    assert notes_of({"Good.kt": GOOD}) == []


def test_a_syntax_error_within_a_function_that_was_found_costs_no_function() -> None:
    files = {"a.py": "def f(x):\n    y = $ x\n    return y\n", "b.py": module("1")}
    assert notes_of(files) == ["1 of 2 files could not be parsed wholly: no function seems to be missing"]


def test_version_1_does_not_count_files_parsed_in_part() -> None:
    assert notes_of({"A.kt": BROKEN, "Good.kt": GOOD}, MESSAGES_1) == []


def test_a_file_made_to_take_gigabytes_is_left_out_and_the_rest_is_read() -> None:
    odd = "def g(x):\n    y = x\n    return y\n\n" + "/*\n" * 12_000
    assert notes_of({"odd.py": odd, "b.py": module("1")}) == ["1 file not read as source: 1 too ambiguous"]


def test_endings_in_capitals_are_read_since_version_2(tmp_path: Path) -> None:
    history = History()
    history.commit("start", {"A.PY": module("1"), "b.py": module("1")})
    repository = open_repository(history.write(tmp_path / "history.git"))
    for recipe, paths in ((MESSAGES, ["A.PY", "b.py"]), (MESSAGES_1, ["b.py"])):
        with Miner(repository, recipe) as miner:
            assert [f.path for f in miner.functions(0)] == paths
