"""The values that flow between the modules of this folder."""

from __future__ import annotations

from dataclasses import dataclass

from bot.records import Permission
from pipeline.classify.overlay import Overlay


@dataclass(frozen=True, slots=True)
class RepositoryConfig:
    """What one file says; none where it says nothing, which is not the same as an empty list."""

    bug_labels: tuple[str, ...] | None = None
    fix_patterns: tuple[str, ...] | None = None
    ignore_patterns: tuple[str, ...] | None = None
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None
    permission: Permission | None = None
    finetune_enabled: bool | None = None
    finetune_base_model: str | None = None
    finetune_max_minutes: int | None = None
    quiet: bool | None = None
    publish_ranking: bool | None = None
    share_outcomes: bool | None = None

    @property
    def overlay(self) -> Overlay:
        """What of it changes labels."""
        return Overlay(
            bug_labels=self.bug_labels,
            fix_patterns=self.fix_patterns or (),
            ignore_patterns=self.ignore_patterns or (),
            include=self.include or (),
            exclude=self.exclude or (),
        )


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """Something in a file that does not apply. Every text in it is inert: safe to print, not yet to render."""

    line: int  # from 1; 0 where it is about no line
    key: str  # `finetune.max_minutes`; empty where it is about the whole file
    message: str

    def __str__(self) -> str:
        where = ", ".join(filter(None, (f"line {self.line}" if self.line else "", self.key)))
        return f"{where}: {self.message}" if where else self.message


@dataclass(frozen=True, slots=True)
class ParsedConfig:
    """What applies of a file, and what does not."""

    config: RepositoryConfig = RepositoryConfig()
    problems: tuple[ConfigProblem, ...] = ()
