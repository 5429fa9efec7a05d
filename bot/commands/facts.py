"""The facts that decide a command and fill its reply, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bot.records import Budget, GpuState, Run, StoredScreening, Usage
from bot.repo_config.precedence import EffectiveConfig
from pipeline.json_fields import MalformedError
from pipeline.screening.measurement import Judgement, Measurement, load_judgement, load_measurement

NOTHING_USED: Final = Usage(0.0, 0.0)
NEITHER_PAUSED_NOR_BOUNDED: Final = GpuState()


@dataclass(frozen=True)
class Facts:
    """What is known of one repository at one moment."""

    now: datetime
    full_name: str
    config: EffectiveConfig
    archived: bool = False
    observes: bool = False  # the operator lets the server measure only
    permissions: Mapping[str, str] = field(default_factory=dict)  # granted by the installation
    models: tuple[str, ...] = ()  # base models allowed here, the default first
    head_sha: str = ""  # of the default branch; empty if it has no commit or was not looked up
    screening: StoredScreening | None = None  # the newest
    runs: tuple[Run, ...] = ()  # newest first
    budget: Budget | None = None
    usage: Usage = NOTHING_USED  # by the installation, this month
    server_usage: Usage = NOTHING_USED  # by all installations, this month
    gpu: GpuState = NEITHER_PAUSED_NOR_BOUNDED

    @property
    def open_runs(self) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.state != "ended")

    @property
    def minutes_left(self) -> float:
        """Return what is left of the installation's budget this month; negative if the budget was reduced."""
        return (self.budget.monthly_minutes if self.budget else 0.0) - self.usage.total

    @property
    def server_minutes_left(self) -> float:
        ceiling = self.gpu.ceiling_minutes
        return math.inf if ceiling is None else ceiling - self.server_usage.total

    @property
    def renews_on(self) -> datetime:
        """Return the first moment of the next month in UTC."""
        first = self.now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return (first + timedelta(days=32)).replace(day=1)

    def verdict(self) -> tuple[Measurement, Judgement] | None:
        """Return the newest screening; None if there is none, it failed, or another release wrote it."""
        if self.screening is None or self.screening.failure:
            return None
        try:
            return load_measurement(self.screening.measurement), load_judgement(self.screening.judgement)
        except MalformedError:
            return None


def recipe_here(recipe: Mapping[str, Any], config: EffectiveConfig) -> dict[str, Any]:
    """Return the operator's changes to the recipe, within the minutes that the repository allows."""
    return {**recipe} if config.max_minutes is None else {**recipe, "max_minutes": config.max_minutes}


def models_here(allowed: tuple[str, ...], default: str, config: EffectiveConfig) -> tuple[str, ...]:
    """Return the base models allowed under a configuration, the default first.

    A configuration that names a model allows no other.
    """
    if config.base_model is not None:
        return (config.base_model,) if config.base_model in allowed else ()
    return tuple(sorted(allowed, key=lambda name: (name != default, allowed.index(name))))
