"""The commands: from the words of a first line to a value, and the usage that is nearest to words that are none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

# Every way to use each, and what it does. The first is what a word that resembles nothing is answered with.
USAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "/assay help": "Says what can be asked for, and what it takes.",
        "/finetune": "Trains an adapter on this repository’s bug fixes and says what that is worth.",
        "/finetune --force": "Does so although the verdict is SKIP.",
        "/finetune --base-model OWNER/NAME": "Does so with another of the base models that may be used.",
        "/finetune status": "Says how the run stands.",
        "/finetune cancel": "Ends the run.",
        "/screen": "Measures this repository again.",
    }
)
NAMES: Final = tuple(dict.fromkeys(usage.split()[0] for usage in USAGES))

_BASE_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,63})?", re.ASCII)
_LONGEST_WORD: Final = 40  # of which anything is compared


@dataclass(frozen=True, slots=True)
class Finetune:
    force: bool = False
    base_model: str = ""  # none: the one that is usual here


@dataclass(frozen=True, slots=True)
class Status:
    pass


@dataclass(frozen=True, slots=True)
class Cancel:
    pass


@dataclass(frozen=True, slots=True)
class Screen:
    pass


@dataclass(frozen=True, slots=True)
class Help:
    pass


@dataclass(frozen=True, slots=True)
class Unclear:
    """A command of ours with words that are none of ours."""

    nearest: str  # a key of USAGES: nothing that a person wrote


Command = Finetune | Status | Cancel | Screen | Help | Unclear

_WHOLE: Final[Mapping[tuple[str, ...], Command]] = MappingProxyType(
    {
        ("/assay", "help"): Help(),
        ("/finetune", "status"): Status(),
        ("/finetune", "cancel"): Cancel(),
        ("/screen",): Screen(),
    }
)


def parse_words(words: Sequence[str]) -> Command | None:
    """None where they are no command of ours, or not a clear one."""
    if words[:1] == ["/finetune"] and tuple(words) not in _WHOLE:
        return _parse_options(list(words[1:]))
    return _WHOLE.get(tuple(words))


def nearest_usage(words: Sequence[str]) -> str:
    """What was probably meant by words of which the first is a command of ours."""
    usages = {usage.split()[1]: usage for usage in USAGES if usage.split()[0] == words[0] and " " in usage}
    said = words[1].lower()[:_LONGEST_WORD] if len(words) > 1 else ""
    found = difflib.get_close_matches(said, list(usages), 1)
    if found:
        return usages[found[0]]
    return words[0] if words[0] == "/screen" else next(iter(USAGES))


def _parse_options(options: list[str]) -> Finetune | None:
    """`--force` and `--base-model X`, each at most once."""
    force, base_model = False, ""
    while options:
        option = options.pop(0)
        if option == "--force" and not force:
            force = True
        elif option == "--base-model" and not base_model and options and _BASE_MODEL.fullmatch(options[0]):
            base_model = options.pop(0)
        else:
            return None
    return Finetune(force, base_model)
