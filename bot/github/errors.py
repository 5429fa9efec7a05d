"""What can go wrong with GitHub. A job decides by the kind; the text is for people, short and without secrets.

GitHubProblem
├── NotFound            404, 410: not there, or not for us to see
│   ├── InstallationGone    the installation itself
│   └── Moved               a write met a redirect on the same host: the repository has another name now
├── Forbidden           403: a permission is missing, or a rule of the account stands against it
├── Suspended           403: the installation is suspended
├── BadToken            401: the token has run out, or the App's key is not the one that GitHub knows
├── RateLimited         403, 429: not before `until`
├── Unavailable         5xx, timeouts, no connection, an answer that makes no sense: try again later
├── Rejected            422 and every other 4xx: the same request will never do
└── Elsewhere           sent to another host, where we do not go
"""

from __future__ import annotations

from datetime import datetime


class GitHubProblem(Exception):
    """Any of them."""


class NotFound(GitHubProblem):
    """Not there, or not for us to see."""


class InstallationGone(NotFound):
    """GitHub knows no such installation of this App."""


class Moved(NotFound):
    """A write met a redirect on the same host: ask for the repository's present name, then write again."""


class Forbidden(GitHubProblem):
    """A permission is missing, or a rule of the account stands against it."""


class Suspended(GitHubProblem):
    """The owner suspended the installation: nothing may be asked until the suspension ends."""


class BadToken(GitHubProblem):
    """The token has run out, or the App's key is not the one that GitHub knows."""


class RateLimited(GitHubProblem):
    """Too much was asked. `until` is an aware time."""

    def __init__(self, message: str, until: datetime) -> None:
        super().__init__(message)
        self.until = until


class Unavailable(GitHubProblem):
    """GitHub cannot answer now: try again later. A write that ends like this may have been done."""


class Rejected(GitHubProblem):
    """GitHub understood and refused: the same request will never do."""


class Elsewhere(GitHubProblem):
    """We were sent to another host, where we do not go."""
