"""Build a git history from a short spec through `git fast-import`: no archive, no work tree, reproducible ids.

history = History()
first = history.commit("start", {"a.py": "def f(): ..."})
side = history.commit("fix: f", {"a.py": "..."}, parents=[first], branch="side")
history.merge("Merge side", first, side)
path = history.write(tmp_path / "repo.git")          # a bare repository, HEAD on main
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DAY_S = 86_400
START = 1_600_000_000  # 2020-09-13, an arbitrary fixed instant

Content = str | bytes | None  # None deletes the file


@dataclass
class _Commit:
    mark: int
    message: bytes
    files: dict[str | bytes, Content]
    parents: list[int]
    branch: str
    authored_at: int
    committed_at: int
    author: str
    committer: str
    modes: dict[str | bytes, str]


@dataclass
class History:
    """Commits in order, each on `branch` (default `main`) and by default one day after the last one."""

    commits: list[_Commit] = field(default_factory=list)
    tips: dict[str, int] = field(default_factory=dict)
    ids: dict[int, str] = field(default_factory=dict)

    def commit(
        self,
        message: str | bytes,
        files: Mapping[Any, Content] | None = None,
        *,
        at: int | None = None,
        authored_at: int | None = None,
        day: float | None = None,
        parents: list[int] | None = None,
        branch: str = "main",
        author: str = "Ada <ada@example.org>",
        committer: str | None = None,
        modes: Mapping[Any, str] | None = None,
    ) -> int:
        """Add a commit and return its mark. `day` counts from START, `modes` maps paths to modes such as "120000"."""
        if at is None:
            last = self.commits[-1].committed_at if self.commits else START - DAY_S
            at = last + DAY_S if day is None else START + round(day * DAY_S)
        if parents is None:
            parents = [self.tips[branch]] if branch in self.tips else []
        mark = len(self.commits) + 1
        raw = message if isinstance(message, bytes) else message.encode()
        when = at if authored_at is None else authored_at
        self.commits.append(
            _Commit(
                mark, raw, dict(files or {}), parents, branch, when, at, author, committer or author, dict(modes or {})
            )
        )
        self.tips[branch] = mark
        return mark

    def merge(
        self, message: str, first: int, second: int, files: Mapping[Any, Content] | None = None, **kw: Any
    ) -> int:
        """Add a merge of `second` into `first`. `files` are the changes of the merge result against `first`."""
        return self.commit(message, files, parents=[first, second], **kw)

    def write(self, path: Path, head: str = "main") -> Path:
        """Create the bare repository and fill `ids` (mark -> commit id)."""
        path.mkdir(parents=True)
        _git(path, "init", "--bare", "-q", f"--initial-branch={head}")
        marks = path / "marks"
        stream = b"".join(self._stream())
        subprocess.run(
            ["git", "fast-import", "--quiet", "--force", "--date-format=raw-permissive", f"--export-marks={marks}"],
            cwd=path, input=stream, check=True, capture_output=True,
        )  # fmt: skip
        for line in marks.read_text().splitlines():
            mark, sha = line.split()
            self.ids[int(mark[1:])] = sha
        marks.unlink()
        return path

    def _stream(self) -> Iterator[bytes]:
        for c in self.commits:
            yield b"commit refs/heads/%s\nmark :%d\n" % (c.branch.encode(), c.mark)
            yield b"author %s %d +0000\n" % (c.author.encode(), c.authored_at)
            yield b"committer %s %d +0000\n" % (c.committer.encode(), c.committed_at)
            yield b"data %d\n%s\n" % (len(c.message), c.message)
            for i, parent in enumerate(c.parents):
                yield b"%s :%d\n" % (b"merge" if i else b"from", parent)
            for name, content in c.files.items():
                path = _quoted(name)
                if content is None:
                    yield b"D %s\n" % path
                    continue
                mode = c.modes.get(name, "100644")
                data = content if isinstance(content, bytes) else content.encode()
                if mode == "160000":  # a gitlink: content is the commit id
                    yield b"M 160000 %s %s\n" % (data, path)
                else:
                    yield b"M %s inline %s\ndata %d\n%s\n" % (mode.encode(), path, len(data), data)
            yield b"\n"


def _quoted(name: str | bytes) -> bytes:
    raw = name.encode() if isinstance(name, str) else name
    return b'"' + b"".join(b"\\%03o" % c if c < 32 or c > 126 or c in b'"\\' else bytes([c]) for c in raw) + b'"'


def _git(path: Path, *args: str) -> str:
    return subprocess.run(["git", *args], cwd=path, check=True, capture_output=True, text=True).stdout
