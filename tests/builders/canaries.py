"""Texts that must not be found where they do not belong, and a search that also knows them in other spellings.

What is compressed or encrypted is not seen: whoever searches takes that apart first, or has a reason not to.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote, quote_plus


@dataclass(frozen=True)
class Canary:
    """Something secret or private, by a name that may be shown."""

    name: str
    text: str

    @cached_property
    def spellings(self) -> Mapping[str, bytes]:
        return dict(_spellings(self.text))


def find(canaries: Iterable[Canary], content: bytes) -> list[str]:
    """What stands in `content`, as "NAME in SPELLING"."""
    return [
        f"{canary.name} in {spelling}"
        for canary in canaries
        for spelling, needle in canary.spellings.items()
        if needle in content
    ]


def _spellings(text: str) -> Iterator[tuple[str, bytes]]:
    raw = text.encode()
    yield "plain text", raw
    yield "latin-1", text.encode("latin-1", "replace")
    yield "utf-16-le", text.encode("utf-16-le")
    yield "utf-16-be", text.encode("utf-16-be")
    for name, part in _base64(raw):
        yield name, part
        yield f"url-safe {name}", part.translate(bytes.maketrans(b"+/", b"-_"))
    yield "hex", raw.hex().encode()
    yield "upper-case hex", raw.hex().upper().encode()
    for name, quoted in (("an address", quote(text, safe="")), ("a form", quote_plus(text))):
        yield name, quoted.encode()
    yield "a path", quote(text).encode()
    yield "JSON", json.dumps(text)[1:-1].encode()
    yield "JSON beyond ASCII", json.dumps(text, ensure_ascii=False)[1:-1].encode()
    yield "JSON in JSON", json.dumps(json.dumps(text)[1:-1])[1:-1].encode()
    yield "Python", repr(text)[1:-1].encode()
    yield "Python's bytes", repr(raw)[2:-1].encode()
    yield "escapes", text.encode("unicode_escape")
    yield "HTML", html.escape(text).encode()


def _base64(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """As it looks at each of three places in a longer text: without the ends, which depend on what stands beside."""
    for before in range(3):
        spelled = base64.b64encode(bytes(before) + raw)
        whole = (before + len(raw)) // 3 * 4  # characters that nothing behind it changes
        yield f"base64 at {before}", spelled[(0, 2, 3)[before] : whole]
