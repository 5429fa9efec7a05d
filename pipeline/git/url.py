"""Addresses of repositories: which may be cloned, and how they are written down."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from pipeline.records import AssayError, printable

LONGEST_URL: Final = 2_048

_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]+\]")
_SAFE_PATH: Final = re.compile(r"(/[A-Za-z0-9._~%+@,=-]+)+")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(//|:)")
_SCP: Final = re.compile(r"[\w.-]+@[\w.-]+:")


@dataclass(frozen=True)
class CloneUrl:
    """An address of a repository without credentials, such as https://github.com/owner/name."""

    text: str
    name: str  # owner/name: the last two parts of the path

    def __str__(self) -> str:
        return self.text


def looks_like_url(text: str) -> bool:
    """Whether a person meant an address (also one that `parse_url` will refuse) and not a path."""
    stripped = text.strip()
    return stripped.startswith("-") or _SCHEME.match(stripped) is not None or _SCP.match(stripped) is not None


def parse_url(text: str) -> CloneUrl:
    """An http or https address. Raises AssayError, without repeating what may hold a password."""
    stripped = text.strip()
    if len(stripped) > LONGEST_URL:
        raise AssayError(f"the URL is longer than {LONGEST_URL:,} characters: give https://host/owner/name")
    if stripped.startswith("-"):
        raise AssayError(f"{_shown(stripped)} is an option, not a URL: give https://host/owner/name")
    if not stripped.isascii() or not stripped.isprintable() or re.search(r"[\s\\\"'<>]", stripped):
        raise AssayError("the URL holds characters that no clone URL has: give https://host/owner/name")
    scheme = stripped.partition(":")[0].lower()
    if scheme not in ("http", "https") or "://" not in stripped:
        raise AssayError("only http:// and https:// URLs can be cloned: give https://host/owner/name")
    try:
        parts = urlsplit(stripped)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise AssayError("the URL makes no sense: give https://host/owner/name") from None
    if "@" in parts.netloc:
        raise AssayError("the URL holds a password or user name: take it out, and set a token instead")
    shown_host = f"[{host}]" if ":" in host else host
    path = parts.path.rstrip("/")
    segments = path.split("/")[1:]
    if not _HOST.fullmatch(shown_host) or not _SAFE_PATH.fullmatch(path) or {".", ".."} & set(segments):
        raise AssayError(f"{_shown(stripped)} is no clone URL: give https://host/owner/name")
    if parts.query or parts.fragment or re.search(r"%(?![0-9A-Fa-f]{2})|%(0|1|2[eEfF]|5[cC]|7[fF])", path):
        raise AssayError(f"{_shown(stripped)} is no clone URL: give https://host/owner/name")
    place = shown_host if port is None else f"{shown_host}:{port}"
    name = "/".join(segments[-2:]).removesuffix(".git")
    return CloneUrl(f"{scheme}://{place}{path}", name)


def _shown(text: str) -> str:
    """What was given, fit for a terminal: no control characters, not endless."""
    plain = printable(text.encode("utf-8", "backslashreplace"))
    return plain if len(plain) <= 200 else plain[:200] + "…"
