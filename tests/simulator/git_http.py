"""`/{owner}/{repo}.git` over HTTP: access control, and git's responses, cached so that repeated clones are cheap."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from tests.simulator import git_server
from tests.simulator.messages import Refused, Request, Response
from tests.simulator.tokens import git_token

if TYPE_CHECKING:
    from tests.simulator.github import GitHub
    from tests.simulator.repositories import Repository

GIT_PATH = re.compile(
    r"/(?P<owner>[^/]+)/(?P<name>[^/]+?)(?:\.git)?/(?P<service>info/refs|git-upload-pack|git-receive-pack)"
)
_MAX_CACHED_BYTES = 64_000_000


class GitCache:
    """Caches git's responses by refs, request and protocol, evicting the oldest."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, git_server.GitResponse] = OrderedDict()
        self._size_bytes = 0

    def get(self, key: str) -> git_server.GitResponse | None:
        return self._answers.get(key)

    def put(self, key: str, response: git_server.GitResponse) -> None:
        if key in self._answers or len(response.body) > _MAX_CACHED_BYTES // 4:
            return
        self._answers[key] = response
        self._size_bytes += len(response.body)
        while self._size_bytes > _MAX_CACHED_BYTES:
            _, oldest = self._answers.popitem(last=False)
            self._size_bytes -= len(oldest.body)


def allowed_repository(github: GitHub, request: Request) -> tuple[Repository, str]:
    """Return the repository and the requested service. Raises Refused with 301, 401, 403 or 404, as GitHub does."""
    match = GIT_PATH.fullmatch(request.path)
    assert match is not None
    token = git_token(github, request.headers)
    repo, is_old_name = github.look_up(match["owner"], match["name"])
    if repo is None or (repo.private and token is not None and not token.reaches(repo)):
        raise Refused(401 if token is None else 404, "Repository not found.")
    if token is None and repo.private:
        raise Refused(401, "Authentication required")
    if token is not None:
        if token.installation.suspended_at is not None:
            raise Refused(403, "This installation has been suspended")
        if token.reaches(repo) and not token.allows("contents", "read"):
            raise Refused(403, "Resource not accessible by integration")
    if repo.disabled or match["service"] == "git-receive-pack" or "git-receive-pack" in request.query:
        raise Refused(403, "Write access to repository not granted.")
    if is_old_name:
        to = f"{github.url}/{repo.full_name}.git/{match['service']}"
        raise Refused(301, "Moved Permanently", headers={"location": f"{to}?{request.query}"})
    return repo, match["service"]


def git_response(git_dir: Path, service: str, request: Request, memory: GitCache, old_protocol: bool) -> Response:
    """Return git's response, from the cache if the same was requested with the same refs."""
    protocol = "" if old_protocol else request.headers.get("git-protocol", "")
    encoding = request.headers.get("content-encoding", "")
    parts = (str(git_dir), service, request.query, protocol, encoding, _refs(git_dir))
    key = hashlib.sha256("\0".join(parts).encode() + request.body).hexdigest()
    response = memory.get(key)
    if response is None:
        response = git_server.run_backend(
            git_dir, f"/{service}", request.query, request.method, request.headers, request.body, protocol
        )
        if response.status == 200:
            memory.put(key, response)
    return Response(response.status, response.body, dict(response.headers))


def _refs(git_dir: Path) -> str:
    """Return everything that a push changes."""
    git_dir = git_dir / ".git" if (git_dir / ".git").is_dir() else git_dir
    loose = (path for path in sorted((git_dir / "refs").rglob("*")) if path.is_file())
    files = [git_dir / "HEAD", git_dir / "packed-refs", *loose]
    return "\n".join(f"{path.name} {path.read_text()}" for path in files if path.exists())
