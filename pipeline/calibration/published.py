"""Published fine-tuning outcomes: what was reported about which repository, and where its history is available."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.resources import files
from typing import Any, Literal

from pipeline.records import OutcomeKind

RESOURCE = "published_outcomes.toml"


@dataclass(frozen=True, slots=True)
class Published:
    """A repository whose fine-tuning outcome was published."""

    name: str  # owner/name on GitHub
    language: str
    outcome: Literal["win", "loss"]
    history: str  # owner/name of a public repository that holds the history
    in_table: bool
    density_class: str = ""
    rho_adapter: float | None = None
    rho_baseline: float | None = None
    history_to: str = ""  # month such as 2020-03, if the history ends before the project's own

    @property
    def kind(self) -> OutcomeKind:
        """The outcome in our terms, taken as published: +0.032 stays a win regardless of the rho's."""
        if self.outcome == "win":
            return "WIN"
        adapter, baseline = self.rho_adapter, self.rho_baseline
        anti_predictive = adapter is not None and (adapter < 0 or (baseline is not None and adapter < baseline))
        return "HARD LOSS" if anti_predictive else "SOFT LOSS"


@dataclass(frozen=True, slots=True)
class PublishedFacts:
    """All published outcomes."""

    repositories: tuple[Published, ...]
    published_as_of: int  # Unix seconds, the end of that day


def parse_published(text: str) -> PublishedFacts:
    """Parse the packaged TOML file. Raises tomllib.TOMLDecodeError, KeyError or TypeError."""
    table: dict[str, Any] = tomllib.loads(text)
    day: date = table["published_as_of"]
    end = datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC)
    return PublishedFacts(tuple(Published(**row) for row in table["repository"]), int(end.timestamp()))


def load_published() -> PublishedFacts:
    """Load the published outcomes shipped with this release."""
    return parse_published((files("pipeline.calibration") / RESOURCE).read_text(encoding="utf-8"))
