"""The values of a configuration file: what applies, and what does not."""

from __future__ import annotations

from dataclasses import dataclass

from bot.records import Permission
from pipeline.classify.overlay import Overlay


@dataclass(frozen=True, slots=True)
class RepositoryConfig:
    """The settings of one file. None: not set, which differs from an empty list."""

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
        """Return the settings that change labels."""
        return Overlay(
            bug_labels=self.bug_labels,
            fix_patterns=self.fix_patterns or (),
            ignore_patterns=self.ignore_patterns or (),
            include=self.include or (),
            exclude=self.exclude or (),
        )


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """Something in a file that does not apply. Its texts are inert: safe to print, but not to render as Markdown."""

    line: int  # from 1; 0 if it concerns no line
    key: str  # `finetune.max_minutes`; empty if it concerns the whole file
    message: str

    def __str__(self) -> str:
        where = ", ".join(filter(None, (f"line {self.line}" if self.line else "", self.key)))
        return f"{where}: {self.message}" if where else self.message


@dataclass(frozen=True, slots=True)
class ParsedConfig:
    """The settings of a file that apply, and the problems of those that do not."""

    config: RepositoryConfig = RepositoryConfig()
    problems: tuple[ConfigProblem, ...] = ()
