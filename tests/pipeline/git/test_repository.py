"""Open repositories in every layout of git, and report everything else in one line."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.git.repository import Repository, open_repository
from pipeline.records import AssayError
from tests.builders.history import History
from tests.builders.objects import COMMIT, TREE, bare_repository, commit_content, set_head, write_loose
from tests.rows import each_row


def git(where: Path, *args: str) -> str:
    person = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *person, *args], cwd=where, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def work_tree(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    (path / "src" / "deep").mkdir(parents=True)
    git(path, "init", "-q")
    (path / "src" / "a.py").write_text("x")
    git(path, "add", ".")
    git(path, "commit", "-qm", "first")
    return path


def head_of(where: Path) -> bytes:
    return bytes.fromhex(git(where, "rev-parse", "HEAD").strip())


def reads_its_head(repository: Repository) -> bool:
    with repository.reader() as reader:
        return reader.commit(repository.head).startswith(b"tree ")


def itself(work_tree: Path) -> Path:
    return work_tree


def sub_folder(work_tree: Path) -> Path:
    return work_tree / "src" / "deep"


def dot_git(work_tree: Path) -> Path:
    return work_tree / ".git"


def inside_dot_git(work_tree: Path) -> Path:
    return work_tree / ".git" / "objects"


def through_a_link(work_tree: Path) -> Path:
    link = work_tree.with_name("link")
    link.symlink_to(work_tree)
    return link / "src"


def packed_refs(work_tree: Path) -> Path:
    git(work_tree, "pack-refs", "--all")
    assert not (work_tree / ".git" / "refs" / "heads" / "main").exists()
    return work_tree


@each_row("where", [itself, sub_folder, dot_git, inside_dot_git, through_a_link, packed_refs])
def test_a_work_tree_is_found_from_anywhere_in_it(work_tree: Path, where: Callable[[Path], Path]) -> None:
    repository = open_repository(where(work_tree))
    assert (repository.head, repository.head_ref, repository.name) == (head_of(work_tree), "refs/heads/main", "project")
    assert repository.git_dir == work_tree / ".git"
    assert repository.shallow == frozenset()
    assert reads_its_head(repository)


def test_a_bare_repository_is_opened(work_tree: Path) -> None:
    bare = work_tree.with_name("bare.git")
    git(work_tree, "clone", "-q", "--bare", ".", str(bare))
    repository = open_repository(bare)
    assert (repository.head, repository.name) == (head_of(work_tree), "bare")
    assert reads_its_head(repository)


def test_a_linked_worktree_has_its_own_head_and_the_objects_of_its_repository(work_tree: Path) -> None:
    linked = work_tree.with_name("linked")
    git(work_tree, "worktree", "add", "-q", "-b", "other", str(linked))
    git(linked, "commit", "-q", "--allow-empty", "-m", "second")
    assert head_of(linked) != head_of(work_tree)
    for path in (linked, linked / "src", work_tree / ".git" / "worktrees" / "linked"):
        repository = open_repository(path)
        assert (repository.head, repository.head_ref) == (head_of(linked), "refs/heads/other")
        assert repository.name == "project"
        assert reads_its_head(repository)


def test_a_clone_with_alternates_is_opened(work_tree: Path) -> None:
    borrower = work_tree.with_name("borrower")
    git(work_tree, "clone", "-q", "--shared", ".", str(borrower))
    assert reads_its_head(open_repository(borrower))


def test_a_detached_head_is_opened(work_tree: Path) -> None:
    git(work_tree, "checkout", "-q", "--detach")
    repository = open_repository(work_tree)
    assert (repository.head, repository.head_ref) == (head_of(work_tree), "HEAD")


def test_a_loose_ref_wins_over_a_packed_one(work_tree: Path) -> None:
    git(work_tree, "pack-refs", "--all")
    git(work_tree, "commit", "-q", "--allow-empty", "-m", "second")
    assert open_repository(work_tree).head == head_of(work_tree)


def test_a_branch_of_symbolic_refs_is_followed(work_tree: Path) -> None:
    git(work_tree, "symbolic-ref", "refs/heads/alias", "refs/heads/main")
    git(work_tree, "symbolic-ref", "HEAD", "refs/heads/alias")
    assert open_repository(work_tree).head == head_of(work_tree)


def test_a_branch_may_have_any_name(work_tree: Path) -> None:
    name = b"refs/heads/caf\xe9/ \xc3\xbc".replace(b" ", b"")
    (work_tree / ".git" / "HEAD").write_bytes(b"ref: " + name + b"\n")
    with open(work_tree / ".git" / "packed-refs", "ab") as file:
        file.write(git(work_tree, "rev-parse", "main").strip().encode() + b" " + name + b"\n")
    assert open_repository(work_tree).head_ref == "refs/heads/caf\\xe9/ü"


def test_the_boundary_of_a_shallow_clone_is_read(tmp_path: Path) -> None:
    history = History()
    marks = [history.commit(f"{n}", {"a": str(n)}) for n in range(5)]
    source = history.write(tmp_path / "source.git")
    git(tmp_path, "clone", "-q", "--bare", "--depth=2", f"file://{source}", "shallow.git")
    repository = open_repository(tmp_path / "shallow.git")
    assert repository.shallow == {bytes.fromhex(history.ids[marks[3]])}


@each_row(
    ("url", "name"),
    [
        ("https://github.com/pallets/flask.git", "pallets/flask"),
        ("https://github.com/pallets/flask/", "pallets/flask"),
        ("https://user:secret@host.example:8443/group/sub/repo", "sub/repo"),
        ("git@github.com:pallets/flask.git", "pallets/flask"),
        ("ssh://git@host/pallets/flask", "pallets/flask"),
        ("https://host/only", "project"),
        ("/local/path/of/somebody", "project"),
        ("../sideways/of", "project"),
        ("file:///home/ada/project", "project"),
        ("https://[broken/a/b", "project"),
        ("https://host/<b>/x", "project"),
        ("https://host/" + "a" * 500 + "/b", "project"),
    ],
)
def test_the_name_comes_from_the_remote_if_it_has_an_address(work_tree: Path, url: str, name: str) -> None:
    git(work_tree, "config", "remote.origin.url", url)
    repository = open_repository(work_tree)
    assert repository.name == name
    assert "secret" not in repr(repository)


def test_an_invalid_config_or_one_with_includes_is_tolerated(work_tree: Path) -> None:
    config = work_tree / ".git" / "config"
    other = work_tree / "other"
    other.write_text('[remote "origin"]\n\turl = https://host/included/name\n')
    config.write_text(f"[include]\n\tpath = {other}\n")
    assert open_repository(work_tree).name == "project"
    for content in (b"\xff\xfe[[[", b"[", b"key = value\n", b"[core]\n\tbare = " + b"x" * (2 << 20)):
        config.write_bytes(content)
        assert open_repository(work_tree).name == "project"


@given(st.binary(max_size=60))
def test_no_content_of_head_crashes_it(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any-head.git"
    if not path.exists():
        bare_repository(path)
    (path / "HEAD").write_bytes(content)
    with pytest.raises(AssayError) as caught:
        open_repository(path)
    assert "\n" not in str(caught.value)


# What cannot be opened: one line that says what to do


def empty(folder: Path) -> Path:
    bare_repository(folder / "empty.git")
    return folder / "empty.git"


def not_there(folder: Path) -> Path:
    return folder / "nowhere"


def with_a_nul(folder: Path) -> Path:
    return Path(f"{folder}/a\0b")


def a_file(folder: Path) -> Path:
    (folder / "file.py").write_text("x")
    return folder / "file.py"


def a_folder(folder: Path) -> Path:
    return folder


def sha256(folder: Path) -> Path:
    git(folder, "init", "-q", "--bare", "--object-format=sha256", "sha256.git")
    return folder / "sha256.git"


def reftable(folder: Path) -> Path:
    bare_repository(folder / "r.git", b"a" * 20, config="[extensions]\n\trefStorage = reftable\n")
    return folder / "r.git"


def head_missing(folder: Path) -> Path:
    bare_repository(folder / "r.git", b"a" * 20)
    return folder / "r.git"


def head_is_a_tree(folder: Path) -> Path:
    objects = bare_repository(folder / "r.git")
    set_head(folder / "r.git", write_loose(objects, TREE, b""))
    return folder / "r.git"


def head_in_a_garbage_pack(folder: Path) -> Path:
    objects = bare_repository(folder / "r.git", b"a" * 20)
    (objects / "pack" / "pack-1.idx").write_bytes(b"garbage" * 1000)
    return folder / "r.git"


def head_points_outside(folder: Path) -> Path:
    bare_repository(folder / "r.git")
    (folder / "secret").write_text("a" * 40 + "\n")
    (folder / "r.git" / "HEAD").write_text("ref: refs/../../secret\n")
    return folder / "r.git"


def head_in_a_circle(folder: Path) -> Path:
    bare_repository(folder / "r.git")
    (folder / "r.git" / "refs" / "heads" / "main").write_text("ref: refs/heads/main\n")
    return folder / "r.git"


def head_is_garbage(folder: Path) -> Path:
    bare_repository(folder / "r.git")
    (folder / "r.git" / "HEAD").write_bytes(b"\xff\x00garbage")
    return folder / "r.git"


def ref_is_a_pipe(folder: Path) -> Path:
    bare_repository(folder / "r.git")
    os.mkfifo(folder / "r.git" / "refs" / "heads" / "main")
    return folder / "r.git"


def other_branches(folder: Path) -> Path:
    objects = bare_repository(folder / "r.git")
    commit = write_loose(objects, COMMIT, commit_content(write_loose(objects, TREE, b""))).hex()
    for name in ("trunk", "team/next"):
        (folder / "r.git" / "refs" / "heads" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "r.git" / "refs" / "heads" / name).write_text(commit + "\n")
    (folder / "r.git" / "packed-refs").write_text(f"# pack-refs\n{commit} refs/heads/old\n{commit} refs/tags/v1\n")
    return folder / "r.git"


def dangling_git_file(folder: Path) -> Path:
    (folder / ".git").write_text("gitdir: /nowhere/at/all\n")
    return folder


@each_row(
    ("arrange", "message"),
    [
        (empty, "has no commits yet"),
        (not_there, "does not exist"),
        (with_a_nul, "does not exist"),
        (a_file, "is a file: give the folder"),
        (a_folder, "is not a git repository"),
        (sha256, "SHA-256"),
        (reftable, "reftable"),
        (head_missing, "is missing.*git fsck"),
        (head_is_a_tree, "cannot be read.*git fsck"),
        (head_in_a_garbage_pack, "pack-1.idx.*git fsck"),
        (head_points_outside, "is damaged"),
        (head_in_a_circle, "is damaged"),
        (head_is_garbage, "is damaged"),
        (ref_is_a_pipe, "has no commits yet"),
        (
            other_branches,
            "names the branch main, which does not exist; there is old, team/next, trunk: .*refs/heads/old",
        ),
        (dangling_git_file, "belongs to a repository that is missing"),
    ],
)
def test_each_failure_to_open_is_reported_in_one_line(
    tmp_path: Path, arrange: Callable[[Path], Path], message: str
) -> None:
    folder = tmp_path / arrange.__name__
    folder.mkdir()
    with pytest.raises(AssayError, match=message) as caught:
        open_repository(arrange(folder))
    assert str(caught.value).isprintable()


def test_an_unreadable_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = bare_repository(tmp_path / "r.git")
    set_head(tmp_path / "r.git", write_loose(objects, COMMIT, commit_content(write_loose(objects, TREE, b""))))

    def denied(path: object, *args: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pipeline.git.repository.os.open", denied)
    with pytest.raises(AssayError, match="no permission to read"):
        open_repository(tmp_path / "r.git")


def test_control_characters_of_a_path_are_escaped(tmp_path: Path) -> None:
    with pytest.raises(AssayError) as caught:
        open_repository(tmp_path / "a\x1b[31m\nb")
    assert str(caught.value).isprintable()


def test_opening_and_reading_write_nothing(work_tree: Path) -> None:
    def state() -> list[tuple[str, int]]:
        return sorted((str(path), path.stat().st_mtime_ns) for path in work_tree.rglob("*"))

    before = state()
    assert reads_its_head(open_repository(work_tree))
    assert state() == before


# -- repositories that git sees with other eyes


def test_a_partial_clone_is_one_whose_remote_promised_objects(work_tree: Path, tmp_path: Path) -> None:
    git(work_tree, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{work_tree}", "part")
    git(tmp_path, "clone", "-q", f"file://{work_tree}", "whole")
    assert [open_repository(tmp_path / name).partial for name in ("part", "whole")] == [True, False]
    assert not open_repository(work_tree).partial


@each_row(
    ("config", "partial"),
    [
        ("[extensions]\n\tpartialClone = origin\n", True),
        ('[remote "up"]\n\tpromisor = true\n', True),
        ('[remote "up"]\n\tpartialclonefilter = tree:0\n', True),
        ('[remote "up"]\n\tpromisor = false\n', False),
        ('[remote "up"]\n\turl = https://example.org/a\n', False),
        ('[branch "promisor"]\n\tpromisor = true\n', False),
    ],
)
def test_the_config_says_whether_a_clone_is_partial(work_tree: Path, config: str, partial: bool) -> None:
    (work_tree / ".git" / "config").write_text("[core]\n\trepositoryformatversion = 0\n" + config)
    assert open_repository(work_tree).partial is partial


def test_replacements_and_grafts_are_counted(work_tree: Path) -> None:
    first = git(work_tree, "rev-parse", "HEAD").strip()
    git(work_tree, "commit", "-q", "--allow-empty", "-m", "second")
    second = git(work_tree, "rev-parse", "HEAD").strip()
    assert (open_repository(work_tree).replaced, open_repository(work_tree).grafts) == (0, 0)
    git(work_tree, "replace", "--graft", second)
    assert open_repository(work_tree).replaced == 1
    git(work_tree, "pack-refs", "--all")
    git(work_tree, "replace", "--graft", first, second)
    (work_tree / ".git" / "info" / "grafts").write_text(f"# joined\n{first} {second}\n")
    repository = open_repository(work_tree)
    assert (repository.replaced, repository.grafts) == (2, 1)
