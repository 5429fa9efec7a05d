"""Errors of cloning, by what to do about them: give up, retry later, renew the token or free disk space.

AssayError
├── Refused          401, 403: these credentials may not read it
├── Missing          404, 410: there is nothing at this address
├── Unavailable      5xx, 429, no response, connection dropped: may work later
├── TooLarge         over the limit on the size of a pack
│   └── FileTooLarge over the system's limit on the size of a file: affects this repository only
├── DiskFull         no space left, or quota exceeded: affects every repository
└── (itself)         everything else: unreadable, and retrying will not help
"""

from __future__ import annotations

from pipeline.records import AssayError


class Refused(AssayError):
    """These credentials may not read the repository."""


class Missing(AssayError):
    """There is no repository at the address."""


class Unavailable(AssayError):
    """The server cannot be reached or used now."""


class TooLarge(AssayError):
    """The repository is over the size limit."""


class FileTooLarge(TooLarge):
    """A file reached the system's size limit for this process (RLIMIT_FSIZE)."""


class DiskFull(AssayError):
    """The disk has no space left for any clone."""
