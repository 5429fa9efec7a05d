"""Operator, organization, repository: whose word applies.

- Lists (labels, patterns, paths): the repository's replaces the organization's as a whole, an empty one too, so that
  the file that is looked at tells all. The operator has none.
- Permission, minutes, models, whether to fine-tune at all, quiet: a lower level may only tighten. What would loosen is
  overruled and said.
- Publishing a ranking on a public repository: somebody must want it, and neither file may say no. The operator's
  setting is a wish and no ceiling, because it is the repository that is shown.
- Sharing outcomes with other installations: only the organization can want it, where the operator lets it; a
  repository can keep its own to itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from bot.records import Permission
from bot.repo_config.keys import DEFAULT_PERMISSION, PERMISSIONS
from bot.repo_config.repository_config import RepositoryConfig
from pipeline.classify.overlay import Overlay

Level = Literal["organization", "repository"]

_LISTS: Final = ("bug_labels", "fix_patterns", "ignore_patterns", "include", "exclude")
NOTHING_SAID: Final = RepositoryConfig()


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What the operator allows at most."""

    permission: Permission = "write"  # the least that a file may ask for
    finetune: bool = True
    base_models: tuple[str, ...] = ()  # those allowed; empty: any
    max_minutes: int | None = None
    quiet: bool = False
    publish_ranking: bool = False  # where no file says anything
    share_outcomes: bool = True  # whether installations may share at all


@dataclass(frozen=True, slots=True)
class Overruled:
    """Something that a file says and a higher level does not allow."""

    level: Level
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.key} of the {self.level}'s configuration: {self.message}"


@dataclass(frozen=True, slots=True)
class EffectiveConfig:
    """What applies to a repository after all."""

    overlay: Overlay
    permission: Permission
    finetune: bool
    base_model: str | None  # none: the server's own choice
    max_minutes: int | None  # none: the server's own limit
    quiet: bool
    publish_ranking: bool
    overruled: tuple[Overruled, ...] = ()
    share_outcomes: bool = False


def combine(
    ceiling: Ceiling, organization: RepositoryConfig = NOTHING_SAID, repository: RepositoryConfig = NOTHING_SAID
) -> EffectiveConfig:
    """Put the levels together. Never looser than any higher level."""
    files: tuple[tuple[Level, RepositoryConfig], ...] = (("organization", organization), ("repository", repository))
    permission, permission_overruled = _permission(ceiling, files)
    base_model, model_overruled = _base_model(ceiling, files)
    max_minutes, minutes_overruled = _max_minutes(ceiling, files)
    finetune, finetune_overruled = _finetune(ceiling, files)
    quiet, quiet_overruled = _quiet(ceiling, files)
    share_outcomes, sharing_overruled = _share_outcomes(ceiling, organization, repository)
    wishes = [config.publish_ranking for _, config in files]
    return EffectiveConfig(
        overlay=_lists(files).overlay,
        permission=permission,
        finetune=finetune,
        base_model=base_model,
        max_minutes=max_minutes,
        quiet=quiet,
        publish_ranking=(ceiling.publish_ranking or True in wishes) and False not in wishes,
        overruled=(
            *permission_overruled,
            *finetune_overruled,
            *model_overruled,
            *minutes_overruled,
            *quiet_overruled,
            *_unpublished(wishes),
            *sharing_overruled,
        ),
        share_outcomes=share_outcomes,
    )


_Files = tuple[tuple[Level, RepositoryConfig], ...]


def _lists(files: _Files) -> RepositoryConfig:
    said: dict[str, Any] = {}
    for _, config in files:
        said.update({name: getattr(config, name) for name in _LISTS if getattr(config, name) is not None})
    return RepositoryConfig(**said)


def _permission(ceiling: Ceiling, files: _Files) -> tuple[Permission, list[Overruled]]:
    overruled: list[Overruled] = []
    needed: Permission = ceiling.permission
    said = False
    for level, config in files:
        if config.permission is None:
            continue
        said = True
        if PERMISSIONS.index(config.permission) >= PERMISSIONS.index(needed):
            needed = config.permission
        else:
            told = f"{config.permission} is less than the {needed} that is asked for above it: {needed} applies"
            overruled.append(Overruled(level, "permission", told))
    if said:
        return needed, overruled
    return max(needed, DEFAULT_PERMISSION, key=PERMISSIONS.index), overruled


def _finetune(ceiling: Ceiling, files: _Files) -> tuple[bool, list[Overruled]]:
    overruled: list[Overruled] = []
    on = ceiling.finetune
    for level, config in files:
        if config.finetune_enabled and not on:
            overruled.append(Overruled(level, "finetune.enabled", "fine-tuning is switched off above it"))
        on = on and config.finetune_enabled is not False
    return on, overruled


def _base_model(ceiling: Ceiling, files: _Files) -> tuple[str | None, list[Overruled]]:
    overruled: list[Overruled] = []
    allowed, chosen = ceiling.base_models, None
    for level, config in files:
        wanted = config.finetune_base_model
        if wanted is None:
            continue
        if allowed and wanted not in allowed:
            told = f"{wanted} is not among the models allowed above it: {chosen or 'the default'} applies"
            overruled.append(Overruled(level, "finetune.base_model", told))
        else:
            allowed, chosen = (wanted,), wanted
    return chosen, overruled


def _max_minutes(ceiling: Ceiling, files: _Files) -> tuple[int | None, list[Overruled]]:
    overruled: list[Overruled] = []
    most = ceiling.max_minutes
    for level, config in files:
        wanted = config.finetune_max_minutes
        if wanted is not None and most is not None and wanted > most:
            told = f"{wanted} is more than the {most} allowed above it: {most} applies"
            overruled.append(Overruled(level, "finetune.max_minutes", told))
        elif wanted is not None:
            most = wanted
    return most, overruled


def _quiet(ceiling: Ceiling, files: _Files) -> tuple[bool, list[Overruled]]:
    overruled: list[Overruled] = []
    quiet = ceiling.quiet
    for level, config in files:
        if config.quiet is False and quiet:
            overruled.append(Overruled(level, "quiet", "quiet is asked for above it, and stays"))
        quiet = quiet or bool(config.quiet)
    return quiet, overruled


def _share_outcomes(
    ceiling: Ceiling, organization: RepositoryConfig, repository: RepositoryConfig
) -> tuple[bool, list[Overruled]]:
    if not ceiling.share_outcomes:
        told = "this server lets no installation share with others"
        files: _Files = (("organization", organization), ("repository", repository))
        return False, [Overruled(level, "share_outcomes", told) for level, config in files if config.share_outcomes]
    if organization.share_outcomes:
        return repository.share_outcomes is not False, []
    told = "only the organization can decide to share, and it does not"
    return False, [Overruled("repository", "share_outcomes", told)] if repository.share_outcomes else []


def _unpublished(wishes: list[bool | None]) -> Iterator[Overruled]:
    if wishes == [False, True]:
        yield Overruled("repository", "publish_ranking", "the organization's configuration says no")
