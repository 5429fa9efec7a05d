"""Authentication: Apps by JWT, installations by token. Errors are worded like GitHub's."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import jwt

from tests.simulator.apps import LEVELS, App, Installation, Token, public_key
from tests.simulator.messages import Actor, Refused

if TYPE_CHECKING:
    from tests.simulator.github import GitHub

MAX_JWT_LIFETIME = timedelta(minutes=10)
LEEWAY = timedelta(seconds=60)
LIFETIME = timedelta(hours=1)
_ONLY_THE_SIGNATURE: Any = dict.fromkeys(("verify_aud", "verify_exp", "verify_iat", "verify_iss", "verify_nbf"), False)
_TOKEN_BYTES = 54  # 72 characters: GitHub's newer tokens are longer than the 40 of before


def identify(github: GitHub, headers: Mapping[str, str]) -> Actor:
    """Identify the App or installation of an Authorization header, if any. Raises Refused."""
    header = headers.get("authorization", "")
    if not header:
        return Actor()
    kind, _, credential = header.partition(" ")
    if kind.lower() not in ("bearer", "token") or not credential:
        raise Refused(401, "Bad credentials")
    if credential.count(".") == 2:
        return Actor(app=_app_of(github, credential))
    token = github.tokens.get(credential)
    if token is None or token.expires_at <= github.clock.now():
        raise Refused(401, "Bad credentials")
    if token.installation.suspended_at is not None:
        raise Refused(403, "This installation has been suspended")
    return Actor(installation=token.installation, token=token)


def git_token(github: GitHub, headers: Mapping[str, str]) -> Token | None:
    """Return the token that a git client sent as its password, or None. Raises Refused with 401."""
    header = headers.get("authorization", "")
    if not header:
        return None
    kind, _, encoded = header.partition(" ")
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        user = password = ""
    token = github.tokens.get(password)
    if kind.lower() != "basic" or user != "x-access-token" or token is None:
        raise Refused(401, "Invalid username or token.")
    if token.expires_at <= github.clock.now():
        raise Refused(401, "Invalid username or token.")
    return token


def mint(
    github: GitHub,
    installation: Installation,
    permissions: Mapping[str, str] | None,
    repository_ids: frozenset[int] | None,
    lifetime: timedelta | None = None,
) -> Token:
    """Create a token within the installation's permissions. Raises Refused with 403 or 422."""
    if installation.suspended_at is not None:
        raise Refused(403, "This installation has been suspended")
    wanted = dict(installation.permissions if permissions is None else permissions)
    held = installation.permissions
    if any(LEVELS.get(held.get(name, ""), 0) < LEVELS.get(level, 9) for name, level in wanted.items()):
        raise Refused(422, "The permissions requested are not granted to this installation.", errors=[])
    mine = {repo.repository_id for repo in installation.repositories}
    if repository_ids is not None and not repository_ids <= mine:
        message = (
            "There is at least one repository that does not exist or is not accessible to the parent installation."
        )
        raise Refused(422, message, errors=[])
    wanted.setdefault("metadata", "read")  # every token has it
    token = Token(
        text=f"ghs_{secrets.token_urlsafe(_TOKEN_BYTES).replace('-', 'x').replace('_', 'y')}",
        installation=installation,
        permissions=wanted,
        repository_ids=repository_ids,
        expires_at=github.clock.now() + (github.token_lifetime if lifetime is None else lifetime),
    )
    github.tokens[token.text] = token
    return token


def _app_of(github: GitHub, text: str) -> App:
    """Raises Refused with 401 unless the JWT is signed with the key of a registered App and is valid now.

    Accepts the simulator's clock and the system's: the signer may not know the former.
    """
    try:
        claims: dict[str, Any] = jwt.decode(text, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        raise Refused(401, "A JSON web token could not be decoded") from None
    app = next((each for each in github.apps.values() if str(claims.get("iss")) in _names(each)), None)
    if app is None:
        raise Refused(404, "Integration not found")
    try:
        jwt.decode(text, public_key(app.private_key), algorithms=["RS256"], options=_ONLY_THE_SIGNATURE)
    except jwt.InvalidTokenError:
        raise Refused(401, "A JSON web token could not be decoded") from None
    wrong = [_wrong_times(claims, now) for now in (github.clock.now(), datetime.now(UTC))]
    if all(wrong):
        raise Refused(401, wrong[0])
    return app


def _names(app: App) -> tuple[str, str]:
    return (str(app.app_id), app.client_id)


def _wrong_times(claims: Mapping[str, Any], now: datetime) -> str:
    """Return why the times of a JWT are invalid; empty if they are valid."""
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int) or issued > (now + LEEWAY).timestamp():
        return "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
    if not isinstance(expires, int) or expires <= now.timestamp():
        return "'Expiration time' claim ('exp') must be a numeric value representing the future time at which it ends"
    if expires > (now + MAX_JWT_LIFETIME + LEEWAY).timestamp():
        return "'Expiration time' claim ('exp') is too far in the future"
    return ""
