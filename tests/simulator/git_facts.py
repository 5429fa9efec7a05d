"""Git data for the API: heads, commits and files of a served repository."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dulwich.errors import NotCommitError, NotTreeError
from dulwich.objects import Blob, Commit, ObjectID, Tag, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

_HEADS = b"refs/heads/"


@dataclass(frozen=True)
class CommitFacts:
    """A commit with its e-mail addresses and message, which the App must never keep."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    message: str
    author: str
    author_email: str
    authored_at: datetime
    committer: str
    committer_email: str
    committed_at: datetime


@contextmanager
def _open(git_dir: Path) -> Iterator[Repo]:
    repo = Repo(str(git_dir))
    try:
        yield repo
    finally:
        repo.close()


def default_branch(git_dir: Path) -> str:
    """Return the branch that HEAD names, even if it does not exist."""
    with _open(git_dir) as repo:
        target = repo.refs.get_symrefs().get(Ref(b"HEAD"), Ref(_HEADS + b"main"))
        return target.removeprefix(_HEADS).decode()


def make_empty(git_dir: Path) -> Path:
    """Create a bare repository without commits."""
    git_dir.mkdir(parents=True)
    Repo.init_bare(str(git_dir), default_branch=b"main").close()
    return git_dir


def point_head(git_dir: Path, branch: str) -> None:
    with _open(git_dir) as repo:
        repo.refs.set_symbolic_ref(Ref(b"HEAD"), Ref(_HEADS + branch.encode()))


def heads(git_dir: Path) -> dict[str, str]:
    """Return every branch with its head commit."""
    with _open(git_dir) as repo:
        return {name.decode(): sha.decode() for name, sha in repo.refs.as_dict(Ref(b"refs/heads")).items()}


def resolve(git_dir: Path, ref: str) -> str | None:
    """Return the commit of a branch, a tag, `heads/x`, `tags/x`, HEAD or a full sha, or None."""
    with _open(git_dir) as repo:
        names = (b"refs/heads/%b", b"refs/tags/%b", b"refs/%b") if ref != "HEAD" else (b"%b",)
        for pattern in names:
            name = Ref(pattern % ref.encode())
            if name in repo.refs:
                found = repo[repo.refs[name]]
                return (found.object[1] if isinstance(found, Tag) else found.id).decode()
        is_sha = len(ref) == 40 and all(character in "0123456789abcdef" for character in ref)
        if is_sha and ObjectID(ref.encode()) in repo.object_store and isinstance(repo[ref.encode()], Commit):
            return ref
        return None


def commit_facts(git_dir: Path, sha: str) -> CommitFacts:
    with _open(git_dir) as repo:
        commit = repo[sha.encode()]
        if not isinstance(commit, Commit):
            raise NotCommitError(sha.encode())
        author, author_email = _person(commit.author)
        committer, committer_email = _person(commit.committer)
        return CommitFacts(
            sha=sha,
            tree=commit.tree.decode(),
            parents=tuple(parent.decode() for parent in commit.parents),
            message=commit.message.decode("utf-8", "replace"),
            author=author,
            author_email=author_email,
            authored_at=datetime.fromtimestamp(commit.author_time, UTC),
            committer=committer,
            committer_email=committer_email,
            committed_at=datetime.fromtimestamp(commit.commit_time, UTC),
        )


def read_path(git_dir: Path, sha: str, path: str) -> tuple[str, bytes] | None:
    """Return the object id and content of a file in a commit, or None."""
    with _open(git_dir) as repo:
        commit = repo[sha.encode()]
        if not isinstance(commit, Commit):
            raise NotCommitError(sha.encode())
        tree = repo[commit.tree]
        if not isinstance(tree, Tree):
            raise NotTreeError(commit.tree)
        try:
            _, blob_id = tree.lookup_path(repo.object_store.__getitem__, path.encode())
        except (KeyError, NotTreeError):
            return None
        blob = repo[blob_id]
        return (blob_id.decode(), blob.data) if isinstance(blob, Blob) else None


def _person(line: bytes) -> tuple[str, str]:
    name, _, email = line.decode("utf-8", "replace").partition(" <")
    return name, email.rstrip(">")
