"""Join the functions of two snapshots along their lineages."""

from __future__ import annotations

from pathlib import Path

from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES
from pipeline.mining.miner import Miner
from tests.builders.code import module
from tests.builders.history import History

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
