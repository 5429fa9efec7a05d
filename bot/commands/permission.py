"""The table of permissions: which role on a repository may give which command.

The role is the one that GitHub reports at that moment, never the association that a payload claims. Being able to read
a public repository permits no command.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

from bot.commands.grammar import Cancel, Command, Finetune, Help, Screen, Status, Unclear
from bot.records import Permission

Right = Literal["never", "as configured", "always"]  # as configured: from the role in `permission` on

ROLES: Final = ("none", "read", "triage", "write", "maintain", "admin")  # in ascending order

# Starting, cancelling and measuring cost the owner something, so the configuration decides who may. Everyone who can
# push may view: the check runs show the same. Others get no reply, because anyone can read a public
# repository.
_COMMANDS: Final = (Finetune, Cancel, Screen, Status, Help, Unclear)
_RIGHTS: Final[Mapping[str, tuple[Right, ...]]] = MappingProxyType(
    {
        #            /finetune        cancel           /screen          status    help      unclear
        "none":     ("never",         "never",         "never",         "never",  "never",  "never"),
        "read":     ("never",         "never",         "never",         "never",  "never",  "never"),
        "triage":   ("never",         "never",         "never",         "never",  "never",  "never"),
        "write":    ("as configured", "as configured", "as configured", "always", "always", "always"),
        "maintain": ("as configured", "as configured", "as configured", "always", "always", "always"),
        "admin":    ("always",        "always",        "always",        "always", "always", "always"),
    }
)  # fmt: skip
TABLE: Final[Mapping[str, Mapping[type[Command], Right]]] = MappingProxyType(
    {role: MappingProxyType(dict(zip(_COMMANDS, rights, strict=True))) for role, rights in _RIGHTS.items()}
)

_CONFIGURABLE: Final[tuple[Permission, ...]] = get_args(Permission)


def may(role: str, command: Command, least: Permission) -> bool:
    """Return whether a role may give a command. `least`: the role that the effective configuration requires.

    Unknown roles have no permissions.
    """
    right = TABLE.get(role, TABLE["none"])[type(command)]
    return right == "always" or (right == "as configured" and _suffices(role, least))


def who_may(least: Permission) -> str:
    """Return the roles that may start and cancel runs: "maintain or admin"."""
    roles = [role for role in _CONFIGURABLE if _suffices(role, least)]
    return " or ".join(filter(None, [", ".join(roles[:-1]), roles[-1]]))


def _suffices(role: str, least: Permission) -> bool:
    return ROLES.index(role) >= ROLES.index(least)
