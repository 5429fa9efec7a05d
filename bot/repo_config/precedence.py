"""Precedence between operator, organization and repository.

- Lists (labels, patterns, paths): the repository's replaces the organization's entirely, even if it is empty, so that
  one file has the whole list. The operator has none.
- Permission, minutes, models, fine-tuning, quiet: a lower level may only tighten. Anything looser is overruled and
  reported.
- Publishing the ranking of a public repository: one level must want it, and neither file may forbid it. The operator's
  setting is a default and not a ceiling, because it concerns the repository alone.
- Sharing outcomes with other installations: the organization decides, if the operator allows it; a repository can opt
  out.
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
NOTHING_SET: Final = RepositoryConfig()


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The loosest settings that the operator allows."""

    permission: Permission = "write"  # the weakest that a file may require
    finetune: bool = True
    base_models: tuple[str, ...] = ()  # empty: any
    max_minutes: int | None = None
    quiet: bool = False
    publish_ranking: bool = False  # if no file sets it
    share_outcomes: bool = True  # whether installations may share at all


@dataclass(frozen=True, slots=True)
class Overruled:
    """A setting of a file that a higher level does not allow."""

    level: Level
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.key} in the {self.level}'s configuration: {self.message}"


@dataclass(frozen=True, slots=True)
class EffectiveConfig:
    """The settings that apply to a repository."""

    overlay: Overlay
    permission: Permission
    finetune: bool
    base_model: str | None  # None: the server's default
    max_minutes: int | None  # None: the server's limit
    quiet: bool
    publish_ranking: bool
    overruled: tuple[Overruled, ...] = ()
    share_outcomes: bool = False


def combine(
    ceiling: Ceiling, organization: RepositoryConfig = NOTHING_SET, repository: RepositoryConfig = NOTHING_SET
) -> EffectiveConfig:
    """Combine the levels. The result is never looser than any higher level."""
    files: tuple[tuple[Level, RepositoryConfig], ...] = (("organization", organization), ("repository", repository))
    permission, permission_overruled = _permission(ceiling, files)
    base_model, model_overruled = _base_model(ceiling, files)
    max_minutes, minutes_overruled = _max_minutes(ceiling, files)
    finetune, finetune_overruled = _finetune(ceiling, files)
    quiet, quiet_overruled = _quiet(ceiling, files)
    share_outcomes, sharing_overruled = _share_outcomes(ceiling, organization, repository)
    settings = [config.publish_ranking for _, config in files]
    return EffectiveConfig(
        overlay=_lists(files).overlay,
        permission=permission,
        finetune=finetune,
        base_model=base_model,
        max_minutes=max_minutes,
        quiet=quiet,
        publish_ranking=(ceiling.publish_ranking or True in settings) and False not in settings,
        overruled=(
            *permission_overruled,
            *finetune_overruled,
            *model_overruled,
            *minutes_overruled,
            *quiet_overruled,
            *_unpublished(settings),
            *sharing_overruled,
        ),
        share_outcomes=share_outcomes,
    )


_Files = tuple[tuple[Level, RepositoryConfig], ...]


def _lists(files: _Files) -> RepositoryConfig:
    lists: dict[str, Any] = {}
    for _, config in files:
        lists.update({name: getattr(config, name) for name in _LISTS if getattr(config, name) is not None})
    return RepositoryConfig(**lists)


def _permission(ceiling: Ceiling, files: _Files) -> tuple[Permission, list[Overruled]]:
    overruled: list[Overruled] = []
    required: Permission = ceiling.permission
    is_set = False
    for level, config in files:
        if config.permission is None:
            continue
        is_set = True
        if PERMISSIONS.index(config.permission) >= PERMISSIONS.index(required):
            required = config.permission
        else:
            why = f"{config.permission} is weaker than {required}, which a higher level requires: {required} applies"
            overruled.append(Overruled(level, "permission", why))
    if is_set:
        return required, overruled
    return max(required, DEFAULT_PERMISSION, key=PERMISSIONS.index), overruled


def _finetune(ceiling: Ceiling, files: _Files) -> tuple[bool, list[Overruled]]:
    overruled: list[Overruled] = []
    on = ceiling.finetune
    for level, config in files:
        if config.finetune_enabled and not on:
            overruled.append(Overruled(level, "finetune.enabled", "a higher level disables fine-tuning"))
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
            why = f"a higher level does not allow {wanted}: {chosen or 'the default'} applies"
            overruled.append(Overruled(level, "finetune.base_model", why))
        else:
            allowed, chosen = (wanted,), wanted
    return chosen, overruled


def _max_minutes(ceiling: Ceiling, files: _Files) -> tuple[int | None, list[Overruled]]:
    overruled: list[Overruled] = []
    limit = ceiling.max_minutes
    for level, config in files:
        wanted = config.finetune_max_minutes
        if wanted is not None and limit is not None and wanted > limit:
            why = f"{wanted} is more than the {limit} that a higher level allows: {limit} applies"
            overruled.append(Overruled(level, "finetune.max_minutes", why))
        elif wanted is not None:
            limit = wanted
    return limit, overruled


def _quiet(ceiling: Ceiling, files: _Files) -> tuple[bool, list[Overruled]]:
    overruled: list[Overruled] = []
    quiet = ceiling.quiet
    for level, config in files:
        if config.quiet is False and quiet:
            overruled.append(Overruled(level, "quiet", "a higher level sets it to true, which applies"))
        quiet = quiet or bool(config.quiet)
    return quiet, overruled


def _share_outcomes(
    ceiling: Ceiling, organization: RepositoryConfig, repository: RepositoryConfig
) -> tuple[bool, list[Overruled]]:
    if not ceiling.share_outcomes:
        why = "this server does not share outcomes between accounts"
        files: _Files = (("organization", organization), ("repository", repository))
        return False, [Overruled(level, "share_outcomes", why) for level, config in files if config.share_outcomes]
    if organization.share_outcomes:
        return repository.share_outcomes is not False, []
    why = "only the organization can enable sharing, and it does not"
    return False, [Overruled("repository", "share_outcomes", why)] if repository.share_outcomes else []


def _unpublished(settings: list[bool | None]) -> Iterator[Overruled]:
    if settings == [False, True]:
        yield Overruled("repository", "publish_ranking", "the organization's configuration forbids it")
