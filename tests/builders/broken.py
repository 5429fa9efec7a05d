"""Build broken repositories: a healthy one with one defect, or with one hostile file in it (a guest).

The healthy one has 20 functions in five files and a commit every 20 days for 900 days, every second one a fix. Its
windows are (day 300, day 700] and (day 700, day 900], so files of its first commit are in both snapshots.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.builders.code import module
from tests.builders.history import Content, History
from tests.builders.objects import (
    BLOB,
    COMMIT,
    TREE,
    bare_repository,
    set_head,
    tree_content,
    write_loose,
)

LAST_DAY = 900
EVERY_DAYS = 20
FILES = 5
FUNCTIONS_A_FILE = 4
IN_TRAINING = 510  # a day of the training window without a commit

# Ten fixes land in the training window (day 340, 380, ... 700), each on another function and worth 0.7. The ten largest
# credits have a mean of 0.7, so the scale is 1.
HEALTHY_PAIRS = FILES * FUNCTIONS_A_FILE
HEALTHY_DENSITY = 10 * 0.7 / HEALTHY_PAIRS

Entry = tuple[str, str | bytes, bytes]  # mode, name, id of an entry of a tree
Guest = tuple[str | bytes, Content, Content, str]  # path, content at first, content from a fix on, mode


def healthy(*guests: Guest, message: str | bytes = "fix: the guests") -> History:
    """Return the healthy history. Guests are added in the first commit and change in a fix on day 510."""
    history = History()
    bodies = [["1"] * FUNCTIONS_A_FILE for _ in range(FILES)]
    files: dict[str | bytes, Content] = {f"m{i}.py": module(*bodies[i]) for i in range(FILES)}
    modes = {path: mode for path, _, _, mode in guests}
    history.commit("start", {path: before for path, before, _, _ in guests} | files, day=0, modes=modes)
    for number, day in enumerate(range(EVERY_DAYS, LAST_DAY + 1, EVERY_DAYS)):
        if day > IN_TRAINING > day - EVERY_DAYS and guests:
            changed = {path: after for path, _, after, _ in guests if after is not None}
            history.commit(message, changed, day=IN_TRAINING, modes=modes)
        if number % 2:
            history.commit("docs: more", {"README.md": f"# {number}\n"}, day=day)
            continue
        file, function = number // 2 % FILES, number // 2 // FILES % FUNCTIONS_A_FILE
        bodies[file][function] = f"{number + 100}"
        history.commit(f"fix: f{function} (#{number})", {f"m{file}.py": module(*bodies[file])}, day=day)
    return history


def write_by_hand(history: History, path: Path, *guests: Entry) -> Path:
    """Write a history of files in one folder as loose objects. `guests` are further entries of every tree."""
    objects = bare_repository(path)
    ids: dict[int, bytes] = {}
    files: dict[bytes, bytes] = {}
    for c in history.commits:
        for name, content in c.files.items():
            raw = content if isinstance(content, bytes) else str(content).encode()
            files[name if isinstance(name, bytes) else name.encode()] = write_loose(objects, BLOB, raw)
        tree = write_loose(
            objects, TREE, tree_content(*(("100644", *entry) for entry in sorted(files.items())), *guests)
        )
        lines = [f"tree {tree.hex()}", *(f"parent {ids[p].hex()}" for p in c.parents)]
        lines += [f"author {c.author} {c.authored_at} +0000", f"committer {c.committer} {c.committed_at} +0000", "", ""]
        ids[c.mark] = write_loose(objects, COMMIT, "\n".join(lines).encode() + c.message)
    set_head(path, ids[history.tips["main"]])
    return path


def git(path: Path, *args: str) -> str:
    return subprocess.run(["git", *args], cwd=path, check=True, capture_output=True, text=True).stdout.strip()
