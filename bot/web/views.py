"""Plain values for the pages: stored screenings, rows of the repository list, the calibration."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bot.records import RepositoryMemory, StoredScreening
from pipeline.json_fields import MalformedError
from pipeline.records import Standing, Threshold
from pipeline.reports.plots import DensityAxis, Part, density_axis, mix
from pipeline.screening.measurement import Judgement, Measurement, load_judgement, load_measurement

UNREADABLE = "this screening was stored by another version of Assay and cannot be read: screen the repository again"


@dataclass(frozen=True, slots=True)
class ScreeningView:
    """A screening for display: either a measurement with its judgement, or a `failure`."""

    head_sha: str
    measured_at: datetime
    failure: str
    label_recipe_id: str
    config_hash: str
    measurement: Measurement | None = None
    judgement: Judgement | None = None

    @property
    def words(self) -> str:
        return self.judgement.words if self.judgement else "not measured"

    @property
    def reason(self) -> str:
        """The first reason."""
        return next(iter(self.judgement.reasons), "") if self.judgement else self.failure

    @property
    def tone(self) -> str:
        """The verdict's CSS class: "quiet" without a verdict."""
        if self.judgement is None or not self.judgement.measurable:
            return "quiet"
        return self.judgement.verdict.lower()

    @property
    def axis(self) -> DensityAxis | None:
        """The repository's position among the outcomes."""
        if self.judgement is None or self.measurement is None:
            return None
        judgement = self.judgement
        return density_axis(self.measurement.repo, self.measurement.density, judgement.threshold, judgement.standing)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The evidence mix."""
        return mix(dict(self.measurement.evidence)) if self.measurement else ()


@dataclass(frozen=True, slots=True)
class RepositoryRow:
    """A repository and its newest screening, if any."""

    memory: RepositoryMemory
    screening: ScreeningView | None


@dataclass(frozen=True, slots=True)
class CalibrationView:
    """The calibration used by the newest screening on this server."""

    seen_at: datetime
    label_recipe_id: str
    threshold: Threshold
    standing: Standing

    @property
    def axis(self) -> DensityAxis:
        return density_axis("", None, self.threshold, self.standing)


def read_screening(stored: StoredScreening) -> ScreeningView:
    """Convert a stored screening; one that cannot be read counts as failed."""
    head = stored.head_sha, stored.measured_at
    recipe = stored.label_recipe_id, stored.config_hash
    if stored.failure:
        return ScreeningView(*head, stored.failure, *recipe)
    try:
        measurement, judgement = load_measurement(stored.measurement), load_judgement(stored.judgement)
    except MalformedError:
        return ScreeningView(*head, UNREADABLE, *recipe)
    return ScreeningView(*head, "", *recipe, measurement, judgement)


def read_calibration(screening: ScreeningView) -> CalibrationView | None:
    """Return the calibration behind a screening; None if it has no verdict."""
    judgement = screening.judgement
    if judgement is None:
        return None
    return CalibrationView(screening.measured_at, screening.label_recipe_id, judgement.threshold, judgement.standing)
