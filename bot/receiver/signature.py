"""Is a body signed with a secret of ours? The signature covers the raw body alone: it vouches for no header."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from typing import Final

SIGNATURE_HEADER: Final = "x-hub-signature-256"

_SIGNATURE: Final = re.compile(r"sha256=([0-9a-f]{64})", re.ASCII)


def parse_signature(headers: Iterable[str]) -> str | None:
    """The digest that the signature headers of a request name; None unless there is exactly one, well formed.

    So that a request that cannot be ours is turned away before its body is read.
    """
    found = list(headers)
    match = _SIGNATURE.fullmatch(found[0]) if len(found) == 1 else None
    return match[1] if match else None


def is_signed(body: bytes | bytearray, digest: str, secrets: Iterable[str]) -> bool:
    """Was `digest` made of `body` with one of `secrets`? Takes the same time wherever they differ, and tries every
    secret whichever fits. An empty secret fits nothing."""
    fits = False
    for secret in secrets:
        if secret:
            fits |= hmac.compare_digest(hmac.digest(secret.encode(), body, "sha256").hex(), digest)
    return fits


def sign(body: bytes, secret: str) -> str:
    """The value of the signature header, as GitHub makes it."""
    return f"sha256={hmac.digest(secret.encode(), body, 'sha256').hex()}"
