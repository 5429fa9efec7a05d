"""The accounts that the operator serves, by login in the setting and by GitHub's numeric id once one was seen.

An id outlives a rename: the account stays allowed under its new login, and nobody else gets in by taking the old one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from bot.records import Installation
from bot.store.bookmarks import load_bookmark, save_bookmark
from bot.store.database import Connection
from bot.store.installations import list_installations

BOOKMARK: Final = "allowed accounts"


@dataclass(frozen=True)
class AllowedAccounts:
    """The operator's list. `ids`: the account that each login of it meant when it was first seen."""

    logins: Collection[str] = ()  # in lower case; empty: every account
    ids: Mapping[str, int] = field(default_factory=dict)

    def serves(self, installation: Installation) -> bool:
        """Return whether the operator serves this account. Logins are case-insensitive, as on GitHub."""
        if not self.logins or installation.account_id in self.ids.values():
            return True
        login = installation.account_login.lower()
        return login in self.logins and login not in self.ids

    def learn(self, installation: Installation) -> AllowedAccounts:
        """Return this list with the id of an account whose login is on it and was not seen before."""
        login = installation.account_login.lower()
        number = installation.account_id
        if not number or login not in self.logins or login in self.ids or number in self.ids.values():
            return self
        return AllowedAccounts(self.logins, {**self.ids, login: number})


async def load_allowed(connection: Connection, logins: Collection[str]) -> AllowedAccounts:
    """Load the ids that are known. Accounts that were served before ids were noted count as seen."""
    stored = await load_bookmark(connection, BOOKMARK) if logins else None
    known = stored.items() if isinstance(stored, dict) else ()
    allowed = AllowedAccounts(logins, {login: number for login, number in known if login in logins})
    if logins:
        for installation in await list_installations(connection):
            if installation.state != "refused":
                allowed = allowed.learn(installation)
    return allowed


async def save_allowed(connection: Connection, allowed: AllowedAccounts) -> None:
    """Save the ids, so that they outlive their installations; those of logins that left the list are forgotten."""
    if await load_bookmark(connection, BOOKMARK) != (dict(allowed.ids) or None):
        await save_bookmark(connection, BOOKMARK, dict(allowed.ids))
