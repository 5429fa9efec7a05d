"""Verify webhook signatures. A signature covers the raw body alone and vouches for no header."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from typing import Final

SIGNATURE_HEADER: Final = "x-hub-signature-256"

_SIGNATURE: Final = re.compile(r"sha256=([0-9a-f]{64})", re.ASCII)


def parse_signature(headers: Iterable[str]) -> str | None:
    """Return the digest in a request's signature header; None unless there is exactly one, well formed.

    Allows rejecting a request that cannot be GitHub's before reading its body.
    """
    values = list(headers)
    match = _SIGNATURE.fullmatch(values[0]) if len(values) == 1 else None
    return match[1] if match else None


def is_signed(body: bytes | bytearray, digest: str, secrets: Iterable[str]) -> bool:
    """Return whether `digest` signs `body` with one of `secrets`, ignoring empty ones. Constant time: always tries
    every secret."""
    matches = False
    for secret in secrets:
        if secret:
            matches |= hmac.compare_digest(hmac.digest(secret.encode(), body, "sha256").hex(), digest)
    return matches


def sign(body: bytes, secret: str) -> str:
    """Return the value of the signature header for `body`."""
    return f"sha256={hmac.digest(secret.encode(), body, 'sha256').hex()}"
