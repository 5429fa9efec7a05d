"""Credentials of an App that nobody else knows, with a real key."""

from __future__ import annotations

from functools import cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bot.records import AppCredentials


@cache
def private_key(number: int = 0) -> str:
    """A 2,048-bit RSA key as PEM; another one for another number."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode("ascii")


def credentials(app_id: int = 4711, webhook_secret: str = "a webhook secret", slug: str = "assay") -> AppCredentials:
    return AppCredentials(app_id=app_id, private_key=private_key(), webhook_secrets=(webhook_secret,), slug=slug)
