"""Whether there is another page. Of a Link header only this is believed, never its address."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

PAGE_SIZE = 100
MOST_PAGES = 500

_LINK = re.compile(r'<([^<>]*)>\s*;[^,<]*\brel="?next"?')


def has_next(headers: Mapping[str, str], items: int) -> bool:
    """By the Link header where there is one, else by whether the page was full."""
    link = headers.get("link", "")
    return bool(_LINK.search(link)) if link else items >= PAGE_SIZE


def next_cursor(headers: Mapping[str, str]) -> str:
    """The cursor of the next page; empty where this is the last."""
    found = _LINK.search(headers.get("link", ""))
    if not found:
        return ""
    try:
        return parse_qs(urlsplit(found[1]).query).get("cursor", [""])[0]
    except ValueError:
        return ""
