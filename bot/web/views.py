"""What the pages show, as plain values: a stored screening read back, and a line of the list of repositories."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bot.records import RepositoryMemory, StoredScreening
from pipeline.json_fields import MalformedError
from pipeline.records import Standing, Threshold
from pipeline.reports.plots import DensityAxis, Part, density_axis, mix
from pipeline.screening.measurement import Judgement, Measurement, load_judgement, load_measurement

UNREADABLE = "this screening was stored by another version of Assay, which this one cannot read: screen again"


@dataclass(frozen=True, slots=True)
class Screened:
    """A screening as it is shown. Without a measurement and a judgement there is a `failure`."""

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
        """The first of its reasons."""
        return next(iter(self.judgement.reasons), "") if self.judgement else self.failure

    @property
    def tone(self) -> str:
        """The colour of the answer: none where nothing could be measured."""
        if self.judgement is None or not self.judgement.measurable:
            return "quiet"
        return self.judgement.verdict.lower()

    @property
    def axis(self) -> DensityAxis | None:
        """Where it stands among the outcomes."""
        if self.judgement is None or self.measurement is None:
            return None
        found = self.judgement
        return density_axis(self.measurement.repo, self.measurement.density, found.threshold, found.standing)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The evidence mix."""
        return mix(dict(self.measurement.evidence)) if self.measurement else ()


@dataclass(frozen=True, slots=True)
class Line:
    """A repository and its newest screening, where there is one."""

    memory: RepositoryMemory
    screened: Screened | None


@dataclass(frozen=True, slots=True)
class CalibrationView:
    """The calibration as the newest screening of this server met it."""

    seen_at: datetime
    label_recipe_id: str
    threshold: Threshold
    standing: Standing

    @property
    def axis(self) -> DensityAxis:
        return density_axis("", None, self.threshold, self.standing)


def read_screening(stored: StoredScreening) -> Screened:
    """Raises nothing: what cannot be read is a screening that failed."""
    head = stored.head_sha, stored.measured_at
    recipe = stored.label_recipe_id, stored.config_hash
    if stored.failure:
        return Screened(*head, stored.failure, *recipe)
    try:
        measurement, judgement = load_measurement(stored.measurement), load_judgement(stored.judgement)
    except MalformedError:
        return Screened(*head, UNREADABLE, *recipe)
    return Screened(*head, "", *recipe, measurement, judgement)


def read_calibration(screened: Screened) -> CalibrationView | None:
    """None where nothing was judged."""
    found = screened.judgement
    if found is None:
        return None
    return CalibrationView(screened.measured_at, screened.label_recipe_id, found.threshold, found.standing)
