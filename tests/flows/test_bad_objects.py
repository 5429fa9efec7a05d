"""Object stores that git would never write, or that something happened to: missing, cut off, corrupt, hostile."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.builders.broken import HEALTHY_DENSITY, HEALTHY_PAIRS, git, healthy, write_by_hand
from tests.builders.code import module
from tests.builders.objects import (
    BLOB,
    COMMIT,
    TREE,
    object_id,
    set_head,
    tree_content,
    write_loose,
)
from tests.flows.command import Assay, line_of

FILE, FOLDER = "100644", "40000"
AS_HEALTHY = (HEALTHY_PAIRS, HEALTHY_DENSITY)
THREE = module("1", "1", "1")


def loose(repository: Path, id: str) -> Path:
    return repository / "objects" / id[:2] / id[2:]


# Missing objects


LOST = {
    "a version of a file": ("HEAD~15:m2.py", "1 object missing: 2 pairs left out"),
    "a file of a snapshot": (
        "HEAD~30:m4.py",
        "1 object missing: 1 pair left out, 1 file of the snapshots taken as empty",
    ),
    "a folder": ("HEAD~15^{tree}", "1 folder missing or broken: taken as unchanged"),
    "the folder of the head": ("HEAD^{tree}", "1 folder missing or broken: taken as unchanged"),
    "the folder of a snapshot": ("HEAD~30^{tree}", "1 folder missing or broken: taken as unchanged"),
    "a commit before the windows": ("HEAD~40", "history cut off by a missing commit: "),
    "a commit in a window": ("HEAD~15", "history cut off by a missing commit: "),
    "the parent of the head": ("HEAD~1", "history cut off by a missing commit: "),
}


@pytest.mark.parametrize(("lost", "says"), LOST.values(), ids=LOST)
def test_what_is_missing_is_left_out_and_stated_and_counts_again_when_it_is_back(
    assay: Assay, tmp_path: Path, lost: str, says: str
) -> None:
    repository = write_by_hand(healthy(), tmp_path / "lossy.git")
    place = loose(repository, git(repository, "rev-parse", lost))
    content = place.read_bytes()
    place.unlink()
    result = assay.judges(repository)
    assert result["notes"][0].startswith(says), result["notes"]
    place.write_bytes(content)
    mended = assay.judges(repository)
    assert (mended["pairs"], mended["density"], mended["notes"]) == (*AS_HEALTHY, [])


def test_a_head_that_is_missing_is_refused(assay: Assay, tmp_path: Path) -> None:
    repository = write_by_hand(healthy(), tmp_path / "headless.git")
    head = git(repository, "rev-parse", "HEAD")
    loose(repository, head).unlink()
    said = assay.refuses(repository)
    assert said == (
        f"the head of {repository} cannot be read ({head} is missing): run git fsck there, or clone it again"
    )


def test_a_shallow_clone_is_measured_as_far_as_it_goes(assay: Assay, good: Path, tmp_path: Path) -> None:
    subprocess.run(
        ["git", "clone", "-q", "--bare", "--depth=30", f"file://{good}", tmp_path / "shallow.git"], check=True
    )
    boundary = git(tmp_path / "shallow.git", "rev-parse", "HEAD~29")
    result = assay.judges(tmp_path / "shallow.git")
    assert result["commits"] == 30
    assert result["notes"] == [f"shallow clone: {boundary[:10]} counts as the first commit"]
    git(tmp_path / "shallow.git", "fetch", "-q", "--unshallow")
    whole = assay.judges(tmp_path / "shallow.git")
    assert (whole["pairs"], whole["density"], whole["notes"]) == (*AS_HEALTHY, [])


# Corrupt packs


def packed(tmp_path: Path) -> tuple[Path, Path]:
    """A healthy repository in one pack, and that pack."""
    repository = healthy().write(tmp_path / "packed.git")
    git(repository, "repack", "-adfq")
    (pack,) = (repository / "objects" / "pack").glob("*.pack")
    pack.chmod(0o644)
    pack.with_suffix(".idx").chmod(0o644)
    return repository, pack


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda pack: pack.write_bytes(pack.read_bytes()[:100]), "cannot be read"),
        (lambda pack: pack.write_bytes(b""), "cannot be read"),
        (lambda pack: pack.write_bytes(bytes(pack.stat().st_size)), "cannot be read"),
        (lambda pack: pack.unlink(), "cannot be read"),
        (lambda pack: pack.with_suffix(".idx").unlink(), "cannot be read"),
        (lambda pack: pack.with_suffix(".idx").write_bytes(b"\xfftOc" + bytes(2_000)), "unreadable: pack-"),
    ],
    ids=["cut off", "empty", "zeros", "no pack", "no index", "a foolish index"],
)
def test_a_pack_that_is_of_no_use_is_refused(
    assay: Assay, tmp_path: Path, damage: Callable[[Path], object], says: str
) -> None:
    repository, pack = packed(tmp_path)
    damage(pack)
    said = assay.refuses(repository)
    assert said.startswith(f"the head of {repository} cannot be read (")
    assert says in said
    assert said.endswith("run git fsck there, or clone it again")


def test_damage_anywhere_in_a_pack_is_stated_refused_or_harmless(assay: Assay, tmp_path: Path) -> None:
    repository, pack = packed(tmp_path)
    whole = pack.read_bytes()
    outcomes = set()
    for start in range(12, len(whole) - 20, len(whole) // 25):
        pack.write_bytes(whole[:start] + Random(start).randbytes(20) + whole[start + 20 :])
        answer = assay.tries(repository)
        if answer.code:
            line_of(answer)
            outcomes.add("refused")
        else:
            result = json.loads(answer.stdout)
            assert result["notes"] or (result["pairs"], result["density"]) == AS_HEALTHY
            outcomes.add("stated" if result["notes"] else "harmless")
    assert "stated" in outcomes
    pack.write_bytes(whole)
    result = assay.judges(repository)
    assert (result["pairs"], result["density"], result["notes"]) == (*AS_HEALTHY, [])


# Objects that git would never write


@pytest.mark.parametrize(
    ("mode", "name"),
    [(FOLDER, b".."), (FOLDER, b"."), (FILE, b"a/b.py"), (FILE, b"../a.py"), (FILE, b"/a.py"), (FOLDER, b"/")],
)
def test_a_name_that_would_lead_elsewhere_leads_nowhere(assay: Assay, tmp_path: Path, mode: str, name: bytes) -> None:
    code = object_id(BLOB, THREE.encode())
    folder = tree_content((FILE, "a.py", code))
    entry = (mode, name, code if mode == FILE else object_id(TREE, folder))
    repository = write_by_hand(healthy(), tmp_path / "names.git", entry)
    write_loose(repository / "objects", BLOB, THREE.encode())
    write_loose(repository / "objects", TREE, folder)
    result = assay.judges(repository)
    assert (result["pairs"], result["density"]) == AS_HEALTHY
    assert "left out" in result["notes"][0]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"tree \n\nno tree",
        b"tree " + b"z" * 40 + b"\n\nno id",
        b"tree " + b"0" * 40 + b"\nparent " + b"x" * 40 + b"\n\nno parent",
        b"tree " + b"0" * 40 + b"\nparent 12\n\nhalf a parent",
        b"tree " + b"0" * 40 + b"\n\nnobody",
        b"tree " + b"0" * 40 + b"\nauthor \xff <> x y\ncommitter " + b"9" * 400 + b"\n\n\xff",
    ],
    ids=["empty", "no tree", "no id", "no parent", "half a parent", "nobody", "no date"],
)
def test_a_head_that_makes_no_sense_is_refused_or_too_little(assay: Assay, tmp_path: Path, content: bytes) -> None:
    repository = write_by_hand(healthy(), tmp_path / "odd.git")
    set_head(repository, write_loose(repository / "objects", COMMIT, content))
    answer = assay.tries(repository)
    if answer.code:
        line_of(answer)
    else:
        assert json.loads(answer.stdout)["verdict"] == "SKIP"
