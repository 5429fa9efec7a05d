"""What comes of a command: a pure function of the command and the facts.

What hinders a run stands in three tables, in the order in which it is told: what an operator or an owner has to change,
what is amiss in what is asked for, and whether it is wise and there is time left for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from bot.commands.facts import Facts
from bot.commands.grammar import Cancel, Command, Finetune, Help, Screen, Status, Unclear
from bot.records import Run

RefusalKey = Literal[
    "archived",
    "observing",
    "no_models",
    "no_budget",
    "switched_off",
    "lacks_permission",
    "unknown_model",
    "empty",
    "not_screened",
    "screening_failed",
    "cannot_train",
    "not_measurable",
    "skip",
    "out_of_budget",
    "server_out_of_budget",
]
REFUSALS: Final[tuple[RefusalKey, ...]] = get_args(RefusalKey)
NEEDS: Final = {"contents": ("read", "write"), "checks": ("write",)}  # to gather pairs, and to post what came out


@dataclass(frozen=True, slots=True)
class Start:
    base_model: str
    forced: bool  # the verdict advises against it


@dataclass(frozen=True, slots=True)
class Join:
    """A run at this very head is open already, and answers this command too."""

    run: Run


@dataclass(frozen=True, slots=True)
class Refuse:
    key: RefusalKey


@dataclass(frozen=True, slots=True)
class Say:
    """There is nothing to do but to answer."""

    command: Status | Help | Unclear

    @property
    def is_unclear(self) -> bool:
        return isinstance(self.command, Unclear)


@dataclass(frozen=True, slots=True)
class Stop:
    """End what is open."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Screen again."""


Action = Start | Join | Refuse | Say | Stop | Measure


def decide(command: Command, facts: Facts) -> Action:
    match command:
        case Finetune():
            return _finetune(command, facts)
        case Cancel():
            return Stop()
        case Screen():
            return Refuse("archived") if facts.archived else Measure()
        case Status() | Help() | Unclear():
            return Say(command)


def _finetune(command: Finetune, facts: Facts) -> Action:
    if key := _first(_OFF, command, facts) or _first(_AMISS, command, facts):
        return Refuse(key)
    same = [run for run in facts.open_runs if run.purpose == "judge" and run.head_sha == facts.head_sha]
    if same:
        return Join(same[0])
    if key := _first(_DOUBTS, command, facts):
        return Refuse(key)
    return Start(command.base_model or facts.models[0], forced=_verdict(facts) == "SKIP")


_Check = Callable[[Finetune, Facts], bool]

_OFF: Final[tuple[tuple[RefusalKey, _Check], ...]] = (
    ("archived", lambda command, facts: facts.archived),
    ("observing", lambda command, facts: facts.observes),
    ("no_models", lambda command, facts: not facts.models),
    ("no_budget", lambda command, facts: facts.budget is None),
    ("switched_off", lambda command, facts: not facts.config.finetune),
    ("lacks_permission", lambda command, facts: bool(lacking(facts))),
)
_AMISS: Final[tuple[tuple[RefusalKey, _Check], ...]] = (
    ("unknown_model", lambda command, facts: command.base_model not in ("", *facts.models)),
    ("empty", lambda command, facts: not facts.head_sha),
)
_DOUBTS: Final[tuple[tuple[RefusalKey, _Check], ...]] = (
    ("not_screened", lambda command, facts: facts.screening is None),
    ("screening_failed", lambda command, facts: facts.verdict() is None),
    ("cannot_train", lambda command, facts: not _trainable(facts)),
    ("not_measurable", lambda command, facts: not command.force and not _measurable(facts)),
    ("skip", lambda command, facts: not command.force and _verdict(facts) == "SKIP"),
    ("out_of_budget", lambda command, facts: facts.minutes_left <= 0),
    ("server_out_of_budget", lambda command, facts: facts.server_minutes_left <= 0),
)


def why_off(facts: Facts) -> RefusalKey | Literal[""]:
    """Why no command can start a run here; empty where one can."""
    return _first(_OFF, Finetune(), facts)


def lacking(facts: Facts) -> list[str]:
    """The permissions of the App that a run takes and the installation does not grant."""
    return [name for name, enough in NEEDS.items() if facts.permissions.get(name) not in enough]


def _first(checks: tuple[tuple[RefusalKey, _Check], ...], command: Finetune, facts: Facts) -> RefusalKey | Literal[""]:
    return next((key for key, hinders in checks if hinders(command, facts)), "")


def _trainable(facts: Facts) -> bool:
    found = facts.verdict()
    return found is not None and found[0].density is not None and not found[0].windows.too_little_history


def _measurable(facts: Facts) -> bool:
    found = facts.verdict()
    return found is not None and found[1].measurable


def _verdict(facts: Facts) -> str:
    found = facts.verdict()
    return found[1].verdict if found is not None else ""
