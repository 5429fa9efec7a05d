"""The grammar of commands: words of a first line → a command, or the closest usage."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

# What each usage does. The first one is suggested for words that resemble no usage of a name without a bare form.
USAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "/assay help": "Shows these commands, who may use them and what is left of the budget.",
        "/finetune": "Fine-tunes a model on this repository’s bug fixes and reports whether that pays off.",
        "/finetune --force": "Fine-tunes even if the verdict is SKIP.",
        "/finetune --base-model OWNER/NAME": "Fine-tunes another of the allowed base models.",
        "/finetune status": "Shows the verdict, the open runs and the last result.",
        "/finetune cancel": "Cancels all open runs.",
        "/screen": "Measures this repository again.",
    }
)
NAMES: Final = tuple(dict.fromkeys(usage.split()[0] for usage in USAGES))

_BASE_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,63})?", re.ASCII)
_ELSEWHERE: Final[Mapping[str, str]] = MappingProxyType(
    {usage.split()[-1].strip("/"): usage for usage in USAGES if "--" not in usage}
)
_MAX_COMPARED: Final = 40  # characters of a word


@dataclass(frozen=True, slots=True)
class Finetune:
    force: bool = False
    base_model: str = ""  # empty: the default


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
    """A command with words that Assay does not know."""

    nearest: str  # a key of USAGES, never what a person wrote


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
    """Return the command; None if the words are not exactly one."""
    if words[:1] == ["/finetune"] and tuple(words) not in _WHOLE:
        return _parse_options(list(words[1:]))
    return _WHOLE.get(tuple(words))


def nearest_usage(words: Sequence[str]) -> str:
    """Return the key of USAGES that is closest to words whose first is in NAMES."""
    name, word = words[0], words[1].lower()[:_MAX_COMPARED] if len(words) > 1 else ""
    own = {usage.split()[1]: usage for usage in USAGES if usage.split()[0] == name and " " in usage}
    for usages in (own, _ELSEWHERE):  # `/finetune help` and `/assay screen` are commands under another name
        if matches := difflib.get_close_matches(word, list(usages), 1):
            return usages[matches[0]]
    return name if name in USAGES else next(iter(USAGES))


def _parse_options(options: list[str]) -> Finetune | None:
    """Parse `--force` and `--base-model X`, each at most once; None for anything else."""
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
