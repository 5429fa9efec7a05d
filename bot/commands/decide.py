"""Decide what a command does, from the command and the facts alone.

Three tables hold what prevents a run, in the order in which it is reported: what an operator or owner has to change,
what is wrong with the request, and whether a run is advisable and affordable.
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
REFUSAL_KEYS: Final[tuple[RefusalKey, ...]] = get_args(RefusalKey)
NEEDS: Final = {"contents": ("read", "write"), "checks": ("write",)}  # to collect pairs and to post the result


@dataclass(frozen=True, slots=True)
class Start:
    base_model: str
    forced: bool  # against the verdict


@dataclass(frozen=True, slots=True)
class Join:
    """Answer with the run that is already open at this head."""

    run: Run


@dataclass(frozen=True, slots=True)
class Refuse:
    """Start nothing; `bot.messages.refusals` has the text of each key."""

    key: RefusalKey


@dataclass(frozen=True, slots=True)
class Say:
    """Reply, and change nothing."""

    command: Status | Help | Unclear

    @property
    def is_unclear(self) -> bool:
        return isinstance(self.command, Unclear)


@dataclass(frozen=True, slots=True)
class Stop:
    """Cancel the open runs."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Measure the repository again."""


Action = Start | Join | Refuse | Say | Stop | Measure


def decide(command: Command, facts: Facts) -> Action:
    """Return the action for a command that its author is permitted to give."""
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
    if key := _first(_OFF, command, facts) or _first(_INVALID, command, facts):
        return Refuse(key)
    same = [run for run in facts.open_runs if run.purpose == "judge" and run.head_sha == facts.head_sha]
    if same:
        return Join(same[0])
    if key := _first(_INADVISABLE, command, facts):
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
_INVALID: Final[tuple[tuple[RefusalKey, _Check], ...]] = (
    ("unknown_model", lambda command, facts: command.base_model not in ("", *facts.models)),
    ("empty", lambda command, facts: not facts.head_sha),
)
_INADVISABLE: Final[tuple[tuple[RefusalKey, _Check], ...]] = (
    ("not_screened", lambda command, facts: facts.screening is None),
    ("screening_failed", lambda command, facts: facts.verdict() is None),
    ("cannot_train", lambda command, facts: not _trainable(facts)),
    ("not_measurable", lambda command, facts: not command.force and not _measurable(facts)),
    ("skip", lambda command, facts: not command.force and _verdict(facts) == "SKIP"),
    ("out_of_budget", lambda command, facts: facts.minutes_left <= 0),
    ("server_out_of_budget", lambda command, facts: facts.server_minutes_left <= 0),
)


def why_off(facts: Facts) -> RefusalKey | Literal[""]:
    """Return why no command can start a run here; empty if one can."""
    return _first(_OFF, Finetune(), facts)


def lacking(facts: Facts) -> list[str]:
    """Return the permissions that a run needs and the installation does not grant."""
    return [name for name, sufficient in NEEDS.items() if facts.permissions.get(name) not in sufficient]


def _first(checks: tuple[tuple[RefusalKey, _Check], ...], command: Finetune, facts: Facts) -> RefusalKey | Literal[""]:
    return next((key for key, applies in checks if applies(command, facts)), "")


def _trainable(facts: Facts) -> bool:
    verdict = facts.verdict()
    if verdict is None:
        return False
    measurement, _ = verdict
    return measurement.density is not None and not measurement.windows.too_little_history


def _measurable(facts: Facts) -> bool:
    verdict = facts.verdict()
    return verdict is not None and verdict[1].measurable


def _verdict(facts: Facts) -> str:
    verdict = facts.verdict()
    return verdict[1].verdict if verdict is not None else ""
