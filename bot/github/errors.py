"""Errors of talking to GitHub. Jobs decide by the class; messages are short, readable and free of secrets.

GitHubError
├── NotFound            404: missing, or not visible to us
│   ├── Deleted             410: it was deleted, or turned off
│   ├── InstallationGone    the installation itself is missing
│   └── Moved               a write was redirected on the same host: the repository has been renamed
├── Forbidden           403: a permission is missing, or an account policy forbids it
│   └── Blocked             451: GitHub itself blocks access, for legal reasons
├── Suspended           403: the installation is suspended
├── BadToken            401: the token expired, or GitHub does not know the App's key
├── RateLimited         403, 429: retry at `until`
├── Unavailable         5xx, timeout, no connection, unexpected response: retry later
├── Rejected            422 and every other 4xx: retrying cannot help
└── ForeignRedirect     a redirect to another host, which is never followed
"""

from __future__ import annotations

from datetime import datetime


class GitHubError(Exception):
    """Base class of all errors below."""


class NotFound(GitHubError):
    """Missing, or not visible to us."""


class Deleted(NotFound):
    """It was there and is deleted or turned off, such as the issues of a repository."""


class InstallationGone(NotFound):
    """GitHub knows no such installation of this App."""


class Moved(NotFound):
    """A write was redirected on the same host: look up the repository's current name, then write again."""


class Forbidden(GitHubError):
    """A permission is missing, or an account policy forbids the request."""


class Blocked(Forbidden):
    """GitHub itself blocks access to the repository, for legal reasons."""


class Suspended(GitHubError):
    """The owner suspended the installation: every request fails until that ends."""


class BadToken(GitHubError):
    """The token expired, or the App's key is not the one that GitHub knows."""


class RateLimited(GitHubError):
    """A rate limit refused the request. `until` is an aware datetime."""

    def __init__(self, message: str, until: datetime) -> None:
        super().__init__(message)
        self.until = until


class Unavailable(GitHubError):
    """GitHub failed to respond: retry later. A write that fails like this may still have happened."""


class Rejected(GitHubError):
    """GitHub understood the request and refused it: retrying cannot help."""


class ForeignRedirect(GitHubError):
    """GitHub redirected to another host, which is never followed."""
