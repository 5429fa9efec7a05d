"""Parse and validate the URLs of repositories to clone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from pipeline.records import AssayError, printable

MAX_URL_CHARACTERS: Final = 2_048

_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]+\]")
_SAFE_PATH: Final = re.compile(r"(/[A-Za-z0-9._~%+@,=-]+)+")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(//|:)")
_SCP: Final = re.compile(r"[\w.-]+@[\w.-]+:")


@dataclass(frozen=True)
class CloneUrl:
    """A URL of a repository without credentials, such as https://github.com/owner/name."""

    text: str
    name: str  # owner/name: the last two segments of the path

    def __str__(self) -> str:
        return self.text


def looks_like_url(text: str) -> bool:
    """Return whether a text is meant as a URL (even one that `parse_url` rejects) rather than a path."""
    stripped = text.strip()
    return stripped.startswith("-") or _SCHEME.match(stripped) is not None or _SCP.match(stripped) is not None


def parse_url(text: str) -> CloneUrl:
    """Parse an http or https URL. Raises AssayError, whose message never repeats a possible password."""
    stripped = text.strip()
    if len(stripped) > MAX_URL_CHARACTERS:
        raise AssayError(f"the URL is longer than {MAX_URL_CHARACTERS:,} characters: give https://host/owner/name")
    if stripped.startswith("-"):
        raise AssayError(f"{_shown(stripped)} is an option, not a URL: give https://host/owner/name")
    if not stripped.isascii() or not stripped.isprintable() or re.search(r"[\s\\\"'<>]", stripped):
        raise AssayError("the URL contains characters that a clone URL cannot have: give https://host/owner/name")
    scheme = stripped.partition(":")[0].lower()
    if scheme not in ("http", "https") or "://" not in stripped:
        raise AssayError("only http:// and https:// URLs can be cloned: give https://host/owner/name")
    try:
        parts = urlsplit(stripped)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise AssayError("the URL is invalid: give https://host/owner/name") from None
    if "@" in parts.netloc:
        raise AssayError("the URL contains a user name or password: remove it, and set a token instead")
    shown_host = f"[{host}]" if ":" in host else host
    path = parts.path.rstrip("/")
    segments = path.split("/")[1:]
    if not _HOST.fullmatch(shown_host) or not _SAFE_PATH.fullmatch(path) or {".", ".."} & set(segments):
        raise AssayError(f"{_shown(stripped)} is not a clone URL: give https://host/owner/name")
    if parts.query or parts.fragment or re.search(r"%(?![0-9A-Fa-f]{2})|%(0|1|2[eEfF]|5[cC]|7[fF])", path):
        raise AssayError(f"{_shown(stripped)} is not a clone URL: give https://host/owner/name")
    netloc = shown_host if port is None else f"{shown_host}:{port}"
    name = "/".join(segments[-2:]).removesuffix(".git")
    return CloneUrl(f"{scheme}://{netloc}{path}", name)


def _shown(text: str) -> str:
    """Return the text without control characters and cut to 200 characters, for the terminal."""
    plain = printable(text.encode("utf-8", "backslashreplace"))
    return plain if len(plain) <= 200 else plain[:200] + "…"
