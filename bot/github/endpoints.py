"""Addresses of one GitHub server, and the only way to build a path below its API."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

from bot.github.errors import ForeignRedirect, Rejected, Unavailable

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class GitHubServer:
    """github.com or a GitHub Enterprise Server. URLs have no trailing slash."""

    web_url: str
    api_url: str
    api_version: str
    ca_bundle: Path | None = None


def api_path(*segments: str | int) -> str:
    """Join and quote path segments. Raises Rejected for an empty or dot segment."""
    texts = [str(segment) for segment in segments]
    if any(text in ("", ".", "..") for text in texts):
        raise Rejected("a path segment is empty or consists of dots")
    return "/" + "/".join(quote(text, safe="", errors="surrogatepass") for text in texts)


def repository_path(full_name: str, *segments: str | int) -> str:
    """Return `/repos/owner/name/...`. Raises Rejected unless `full_name` has two parts."""
    owner, _, name = full_name.partition("/")
    return api_path("repos", owner, name, *segments)


def graphql_url(server: GitHubServer) -> str:
    """Return the GraphQL endpoint: beside /api/v3 on GHES, below the API's address elsewhere."""
    root = server.api_url.removesuffix("/v3") if server.api_url.endswith("/api/v3") else server.api_url
    return f"{root}/graphql"


def redirected_path(server: GitHubServer, path: str, location: str) -> str:
    """Return path and query of a redirect from `path`. Raises ForeignRedirect if it leaves the API."""
    if not location:
        raise Unavailable("GitHub redirects without a location")
    base = urlsplit(server.api_url)
    try:
        target = urlsplit(urljoin(server.api_url + path, location))
        same = _origin(target.scheme, target.hostname, target.port) == _origin(base.scheme, base.hostname, base.port)
    except ValueError:
        same = False
    below = target.path.removeprefix(base.path) if same and target.path.startswith(base.path + "/") else ""
    if not below or below.startswith("//"):
        raise ForeignRedirect("GitHub's API redirects to another host: check ASSAY_GITHUB_API_URL")
    return f"{below}?{target.query}" if target.query else below


def _origin(scheme: str, host: str | None, port: int | None) -> tuple[str, str, int | None]:
    return scheme, host or "", port or _PORTS.get(scheme)
