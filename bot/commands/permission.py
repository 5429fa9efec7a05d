"""THE table of who may ask for what: a role on the repository, a command, and whether that is enough.

A role is the one that GitHub names for the person now, never an association that a payload claims. Whether a repository
is public changes nothing: everybody can read that one, and reading it gives no command either.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

from bot.commands.grammar import Cancel, Command, Finetune, Help, Screen, Status, Unclear
from bot.records import Permission

Right = Literal["never", "as configured", "always"]  # as configured: where `permission` asks for no more than the role

ROLES: Final = ("none", "read", "triage", "write", "maintain", "admin")  # each has what the ones before it have

# To start, to end and to measure anew cost the owner something, and are for whoever the configuration names. To look is
# for everybody who could have pushed the code: they see the same in the check runs. Others get no text out of us, since
# whoever may read a public repository may be anybody.
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
    """`least`: the role that the configuration in force asks for. A role that is not in the table may nothing."""
    right = TABLE.get(role, TABLE["none"])[type(command)]
    return right == "always" or (right == "as configured" and _suffices(role, least))


def who_may(least: Permission) -> str:
    """The roles that start and end runs, in words."""
    enough = [role for role in _CONFIGURABLE if _suffices(role, least)]
    return " or ".join(filter(None, [", ".join(enough[:-1]), enough[-1]]))


def _suffices(role: str, least: Permission) -> bool:
    return ROLES.index(role) >= ROLES.index(least)
