"""Ways in which cloning fails that a server treats differently: give up, try later, ask for another token, make room.

AssayError
├── Refused          401, 403: these credentials may not read it
├── Missing          404, 410: there is nothing at this address
├── Unavailable      5xx, 429, no answer, broken off: may work later
├── TooLarge         more than the limit on a pack
│   └── FileTooLarge the system's limit on the size of a file, which costs this repository and no other
├── DiskFull         no space left, or the disk's quota is used up: no other repository will fit either
└── (itself)         everything else: cannot be read, and trying again will not help
"""

from __future__ import annotations

from pipeline.records import AssayError


class Refused(AssayError):
    """These credentials may not read the repository."""


class Missing(AssayError):
    """There is no repository at the address."""


class Unavailable(AssayError):
    """The server, or the way to it, does not work now."""


class TooLarge(AssayError):
    """The repository is larger than it may be."""


class FileTooLarge(TooLarge):
    """A file grew to the limit that the system sets this process."""


class DiskFull(AssayError):
    """There is no room left for any clone."""
