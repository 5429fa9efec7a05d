"""Open the git repository at a path: find its head, its name and its objects. Read-only, and git is never run."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from dulwich.config import ConfigFile

from pipeline.git.objects import ObjectReader
from pipeline.git.packs import ObjectProblem
from pipeline.records import AssayError, printable

MAX_CONFIG_BYTES: Final = 1 << 20
MAX_PACKED_REFS_BYTES: Final = 64 << 20
MAX_SHALLOW_BYTES: Final = 16 << 20
MAX_NAME_CHARACTERS: Final = 200
MAX_REF_DEPTH: Final = 5  # of symbolic refs to symbolic refs, as git
MAX_REF_FOLDERS: Final = 20  # below refs/heads
MAX_BRANCHES: Final = 100_000
MAX_BRANCHES_READ: Final = 200
MAX_BRANCHES_SHOWN: Final = 5
_HEX: Final = re.compile(rb"[0-9a-fA-F]{40}")
_REF_NAME: Final = re.compile(rb"[^\x00-\x20\x7f~^:?*\[\\]+")


@dataclass(frozen=True)
class Repository:
    """A repository on disk. Ids are 20 bytes."""

    git_dir: Path
    object_dir: Path
    name: str  # owner/name of the remote, else the name of the folder
    head: bytes
    head_ref: str  # "refs/heads/main"; "HEAD" if detached
    shallow: frozenset[bytes]  # commits whose parents are not in the clone
    partial: bool = False  # some objects may have stayed with the remote (`git clone --filter`)
    replaced: int = 0  # refs of `git replace`, which are not followed
    grafts: int = 0  # lines of info/grafts, which are not followed

    def reader(self, cache_bytes: int = 48 << 20) -> ObjectReader:
        """Return a reader of its objects, to be closed by the caller."""
        return ObjectReader(self.object_dir, cache_bytes=cache_bytes)


def open_repository(path: Path) -> Repository:
    """Open a repository: bare, a work tree or a folder in one, or a linked worktree.

    Raises AssayError if the path does not exist, is not a repository or cannot be read, and if the repository has no
    commits or a damaged head, or uses SHA-256 or reftable.
    """
    shown = printable(os.fsencode(path))
    try:
        git_dir = _find_git_dir(path, shown)
        shared_dir = _shared_dir(git_dir)
        config = _read_config(shared_dir)
        _refuse_sha256(config, shown)
        head, head_ref = _resolve_head(git_dir, shared_dir, shown)
        repository = Repository(
            git_dir=shared_dir,
            object_dir=shared_dir / "objects",
            name=_name(config, shared_dir),
            head=head,
            head_ref=printable(head_ref),
            shallow=_read_shallow(shared_dir),
            partial=_is_partial(config, shared_dir),
            replaced=_count_replaced(shared_dir),
            grafts=_count_grafts(shared_dir),
        )
    except PermissionError as error:
        denied = printable(os.fsencode(error.filename or path))
        raise AssayError(f"no permission to read {denied}: run assay as a user who can") from None
    except OSError as error:
        raise AssayError(f"cannot read {shown}: {error.strerror or error}") from None
    _check_head(repository, shown)
    return repository


def _find_git_dir(path: Path, shown: str) -> Path:
    """Return the folder with HEAD: the path itself, its .git, or those of the nearest parent."""
    if "\0" in str(path) or not os.path.lexists(path):
        raise AssayError(
            f"{shown} does not exist: give the path of a git repository, or a URL that begins with https://"
        )
    real = Path(os.path.realpath(path))
    if not real.is_dir():
        raise AssayError(f"{shown} is a file: give the folder of a git repository")
    os.listdir(real)  # raises early if permission is missing
    for folder in (real, *real.parents):
        if _is_git_dir(folder):
            return folder
        dot_git = folder / ".git"
        if dot_git.is_dir() and _is_git_dir(dot_git):
            return dot_git
        if dot_git.is_file():
            return _follow_git_file(dot_git, shown)
    raise AssayError(f"{shown} is not a git repository: give the path of a clone")


def _is_git_dir(folder: Path) -> bool:
    if not (folder / "HEAD").is_file():
        return False
    return (folder / "commondir").is_file() or (folder / "objects").is_dir()


def _follow_git_file(dot_git: Path, shown: str) -> Path:
    """Return the folder that the `.git` file of a linked worktree or submodule names."""
    line = _read(dot_git, 4096 + 16) or b""
    if line.startswith(b"gitdir:"):
        target = line[len(b"gitdir:") :].strip()
        if target and b"\0" not in target:
            git_dir = dot_git.parent / os.fsdecode(target)
            if _is_git_dir(git_dir):
                return Path(os.path.realpath(git_dir))
    raise AssayError(f"{shown} belongs to a repository that is missing (see {dot_git.name}): clone it again")


def _shared_dir(git_dir: Path) -> Path:
    """Return the folder of objects and branches: a linked worktree shares those of its main repository."""
    raw = _read(git_dir / "commondir", 4096)
    if raw is None or not raw.strip() or b"\0" in raw:
        return git_dir
    return Path(os.path.realpath(git_dir / os.fsdecode(raw.strip())))


def _read(path: Path, max_bytes: int) -> bytes | None:
    """Return the content of a regular file, None if it does not exist or is over the limit."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a named pipe must not block
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    with open(fd, "rb") as file:
        content = file.read(max_bytes + 1)
    return content if len(content) <= max_bytes else None


def _read_config(git_dir: Path) -> ConfigFile:
    """Return the repository's config. Includes are not followed, and an invalid config counts as empty."""
    raw = _read(git_dir / "config", MAX_CONFIG_BYTES) or b""
    try:
        return ConfigFile.from_file(BytesIO(raw), expand_includes=False)
    except (ValueError, UnicodeError, IndexError, KeyError):
        return ConfigFile()


def _get(config: ConfigFile, section: tuple[str, ...], key: str) -> bytes:
    try:
        value = config.get(section, key)
    except (KeyError, ValueError):
        return b""
    return value if isinstance(value, bytes) else b""


def _refuse_sha256(config: ConfigFile, shown: str) -> None:
    if _get(config, ("extensions",), "objectformat").strip().lower() not in (b"", b"sha1"):
        raise AssayError(f"{shown} uses the SHA-256 object format, which assay does not support: use a SHA-1 clone")
    if _get(config, ("extensions",), "refstorage").strip().lower() not in (b"", b"files"):
        raise AssayError(f"{shown} stores its branches as reftable: run git refs migrate --ref-format=files on a copy")


def _resolve_head(git_dir: Path, shared_dir: Path, shown: str) -> tuple[bytes, bytes]:
    """Return (id, ref name) of HEAD. Raises AssayError."""
    name = b"HEAD"
    last = name
    for _ in range(MAX_REF_DEPTH + 1):
        raw = _read_ref(git_dir, shared_dir, name)
        if raw is None:
            raise AssayError(_without_head(shown, last, _list_branches(shared_dir)))
        if _HEX.fullmatch(raw):
            return bytes.fromhex(raw.decode()), last
        if not raw.startswith(b"ref:"):
            break
        name = last = raw[4:].strip()
        if not _is_safe_ref(name):
            break
    raise AssayError(f"the head of {shown} is damaged: run git fsck there, or clone it again")


def _without_head(shown: str, missing: bytes, branches: list[bytes]) -> str:
    """Return what is wrong where HEAD names a branch that does not exist, and what to do."""
    branch = printable(missing.removeprefix(b"refs/heads/"))
    if not branches:
        return f"{shown} has no commits yet (branch {branch} is empty): commit or fetch first"
    names = [printable(name) for name in branches[:MAX_BRANCHES_SHOWN]]
    more = " and others" if len(branches) > len(names) else ""
    return (
        f"HEAD of {shown} names the branch {branch}, which does not exist; there is {', '.join(names)}{more}: point "
        f"HEAD at one, as in git symbolic-ref HEAD refs/heads/{names[0]}"
    )


def _list_branches(git_dir: Path) -> list[bytes]:
    """Return the names of the branches, main and master first."""
    packed = _read(git_dir / "packed-refs", MAX_PACKED_REFS_BYTES) or b""
    names = set(re.findall(rb"^[0-9a-fA-F]{40} refs/heads/([^\x00-\x20]{1,4000})\r?$", packed, re.MULTILINE))
    heads = os.fsencode(git_dir / "refs" / "heads")
    for folder, folders, files in os.walk(heads):
        depth = folder[len(heads) :].count(b"/")
        if depth >= MAX_REF_FOLDERS:
            folders.clear()
        names.update(
            os.path.relpath(os.path.join(folder, file), heads) for file in files if not file.endswith(b".lock")
        )
        if len(names) > MAX_BRANCHES:
            break
    refs = [b"refs/heads/" + name for name in sorted(names, key=lambda name: (name not in (b"main", b"master"), name))]
    usable = [ref for ref in refs[:MAX_BRANCHES_READ] if _is_safe_ref(ref) and _read_ref(git_dir, git_dir, ref)]
    return [ref.removeprefix(b"refs/heads/") for ref in usable]


def _is_safe_ref(name: bytes) -> bool:
    """Return whether a ref names a file inside of the repository."""
    parts = name.split(b"/")
    return len(name) < 4096 and _REF_NAME.fullmatch(name) is not None and parts[0] == b"refs" and b".." not in parts


def _read_ref(git_dir: Path, shared_dir: Path, name: bytes) -> bytes | None:
    folders = (git_dir,) if name == b"HEAD" else (git_dir, shared_dir)
    for folder in folders:
        raw = _read(folder / os.fsdecode(name), 4096)
        if raw is not None and raw.strip():
            return raw.strip()
    packed = _read(shared_dir / "packed-refs", MAX_PACKED_REFS_BYTES) or b""
    match = re.search(rb"^([0-9a-fA-F]{40}) " + re.escape(name) + rb"\r?$", packed, re.MULTILINE)
    return match[1] if match else None


def _read_shallow(git_dir: Path) -> frozenset[bytes]:
    raw = _read(git_dir / "shallow", MAX_SHALLOW_BYTES) or b""
    return frozenset(bytes.fromhex(line.decode()) for line in raw.split() if _HEX.fullmatch(line))


def _is_partial(config: ConfigFile, git_dir: Path) -> bool:
    """Return whether git would fetch missing objects from a remote that promised them."""
    if _get(config, ("extensions",), "partialclone").strip():
        return True
    remotes = [section[1].decode("utf-8", "surrogateescape") for section in config.sections() if _is_remote(section)]
    for remote in remotes:
        promised = _get(config, ("remote", remote), "promisor").strip().lower()
        if promised in (b"true", b"yes", b"on", b"1") or _get(config, ("remote", remote), "partialclonefilter"):
            return True
    return any((git_dir / "objects" / "pack").glob("*.promisor"))


def _is_remote(section: tuple[bytes, ...]) -> bool:
    return len(section) == 2 and section[0].lower() == b"remote"


def _count_replaced(git_dir: Path) -> int:
    """Return how many objects `git replace` stands others in for: loose and packed refs."""
    names = set()
    folder = git_dir / "refs" / "replace"
    if folder.is_dir():
        names = {name.encode("utf-8", "surrogateescape") for name in os.listdir(folder)}
    packed = _read(git_dir / "packed-refs", MAX_PACKED_REFS_BYTES) or b""
    names.update(re.findall(rb"^[0-9a-fA-F]{40} refs/replace/([0-9a-f]{40})\r?$", packed, re.MULTILINE))
    return sum(_HEX.fullmatch(name) is not None for name in names)


def _count_grafts(git_dir: Path) -> int:
    lines = (_read(git_dir / "info" / "grafts", MAX_SHALLOW_BYTES) or b"").splitlines()
    return sum(_HEX.match(line) is not None for line in lines)


def _name(config: ConfigFile, git_dir: Path) -> str:
    """Return owner/name of the remote `origin`, else the name of the folder."""
    url = _get(config, ("remote", "origin"), "url")
    name = _name_from_url(url)
    if name:
        return name
    real = Path(os.path.realpath(git_dir))
    folder = real.parent if real.name == ".git" else real
    return printable(os.fsencode(folder.name)).removesuffix(".git")[:MAX_NAME_CHARACTERS] or "repository"


def _name_from_url(url: bytes) -> str:
    """Return owner/name of an https, ssh or scp-like address with at least two path segments, else ""."""
    text = url.decode("utf-8", "replace").strip()
    if len(text) > 2 * MAX_NAME_CHARACTERS or not text.isprintable():
        return ""
    scp = re.fullmatch(r"(?:[\w.-]+@)?[\w.-]+:(?!//)([^:]+)", text)
    try:
        path = scp[1] if scp else urlsplit(text).path if "://" in text and not text.startswith("file:") else ""
    except ValueError:
        return ""
    parts = path.strip("/").removesuffix(".git").split("/")
    if len(parts) < 2 or not all(re.fullmatch(r"[\w.-]+", part) for part in parts[-2:]):
        return ""
    return "/".join(parts[-2:])[:MAX_NAME_CHARACTERS]


def _check_head(repository: Repository, shown: str) -> None:
    with repository.reader(cache_bytes=1 << 20) as reader:
        try:
            reader.commit(repository.head)
        except ObjectProblem as problem:
            broken = f"; unreadable: {printable(os.fsencode(reader.broken_packs[0]))}" if reader.broken_packs else ""
            raise AssayError(
                f"the head of {shown} cannot be read ({problem}{broken}): run git fsck there, or clone it again"
            ) from None
