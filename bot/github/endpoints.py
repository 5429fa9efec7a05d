"""Which GitHub we speak to, and the only way that a path below its API is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

from bot.github.errors import Elsewhere, Rejected, Unavailable

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class GitHubServer:
    """github.com or a GHES. The addresses have no slash at their ends."""

    web_url: str
    api_url: str
    api_version: str
    ca_bundle: Path | None = None


def api_path(*segments: str | int) -> str:
    """Segments joined and quoted. Raises Rejected for one that would climb or vanish."""
    texts = [str(segment) for segment in segments]
    if any(text in ("", ".", "..") for text in texts):
        raise Rejected("a name is empty or consists of dots")
    return "/" + "/".join(quote(text, safe="", errors="surrogatepass") for text in texts)


def repository_path(full_name: str, *segments: str | int) -> str:
    """`/repos/owner/name/...`. Raises Rejected unless the name has two parts."""
    owner, _, name = full_name.partition("/")
    return api_path("repos", owner, name, *segments)


def graphql_url(server: GitHubServer) -> str:
    """Where GraphQL is asked: beside /api/v3 on a GHES, below the API's address elsewhere."""
    root = server.api_url.removesuffix("/v3") if server.api_url.endswith("/api/v3") else server.api_url
    return f"{root}/graphql"


def redirected_path(server: GitHubServer, asked: str, location: str) -> str:
    """Path and query below the API that a redirect leads to. Raises Elsewhere where that is outside of it."""
    if not location:
        raise Unavailable("GitHub redirects, and does not say where to")
    base = urlsplit(server.api_url)
    try:
        target = urlsplit(urljoin(server.api_url + asked, location))
        same = _origin(target.scheme, target.hostname, target.port) == _origin(base.scheme, base.hostname, base.port)
    except ValueError:
        same = False
    path = target.path.removeprefix(base.path) if same and target.path.startswith(base.path + "/") else ""
    if not path or path.startswith("//"):
        raise Elsewhere("GitHub's API redirects to another host: check ASSAY_GITHUB_API_URL")
    return f"{path}?{target.query}" if target.query else path


def _origin(scheme: str, host: str | None, port: int | None) -> tuple[str, str, int | None]:
    return scheme, host or "", port or _PORTS.get(scheme)
