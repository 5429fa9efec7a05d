"""Seed records: what was measured of the repositories whose fine-tuning outcomes were published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeline.calibration.published import Published
from pipeline.calibration.threshold import Calibration, fit
from pipeline.label_recipe import MIN_HELD_OUT, MIN_HELD_OUT_POSITIVES
from pipeline.records import Curve, Density, Outcome, Threshold, Windows

CURVES: tuple[Curve, ...] = ("relative", "saturating", "maximum", "share", "presence")
SAMPLES = 10
SAMPLE_SIZE = 1_000  # functions of each repository in a sample of matched size


@dataclass(frozen=True, slots=True)
class SeedMeasurement:
    """What `assay calibration seed` measures of one history, for the screening density and for every other curve.

    `samples` holds, for each curve, the densities of ten seeded samples of 1,000 functions, the scale S recomputed
    inside each. `commits` and `fix_commits` land in the training window.
    """

    head_sha: str
    label_recipe_id: str
    windows: Windows
    commits: int
    fix_commits: int
    evidence: Mapping[str, float]  # share of credit by evidence kind
    density: Density
    curves: Mapping[Curve, float]
    samples: Mapping[Curve, tuple[float, ...]]
    functions_alive: int  # at T_eval
    held_out: int  # expected: 40 % of them
    held_out_positives: int
    notes: tuple[str, ...] = ()

    @property
    def measurable(self) -> bool:
        """Whether a run could be judged."""
        enough = self.held_out >= MIN_HELD_OUT and self.held_out_positives >= MIN_HELD_OUT_POSITIVES
        return enough and not self.windows.too_little_history

    @property
    def calibrates(self) -> bool:
        """Whether there are enough held-out functions to set the published outcome against this density.

        Few positives do not keep a history out: that its commits hardly name fixes is what the screener must face.
        """
        return self.held_out >= MIN_HELD_OUT and not self.windows.too_little_history

    @property
    def fix_share(self) -> float:
        """Share of the training window's commits that count as fix commits."""
        return self.fix_commits / self.commits if self.commits else 0.0


@dataclass(frozen=True, slots=True)
class SeedRecord:
    """One repository: what was published about it and what was measured of its history."""

    published: Published
    measured: SeedMeasurement

    @property
    def calibrates(self) -> bool:
        return self.published.in_table and self.measured.calibrates

    def outcome(self) -> Outcome:
        """Its point of the calibration set. Without a time: any outcome measured later is newer."""
        density = self.measured.density
        return Outcome(
            repo=self.published.name,
            density=density.value,
            outcome=self.published.kind,
            provenance="published",
            label_recipe_id=self.measured.label_recipe_id,
            density_low=density.low,
            density_high=density.high,
            pairs=density.pairs,
            rho_adapter=self.published.rho_adapter,
            rho_baseline=self.published.rho_baseline,
        )


@dataclass(frozen=True, slots=True)
class Seed:
    """All records of one label recipe and the threshold that they give."""

    label_recipe_id: str
    published_as_of: int  # seconds since 1970: what lags are counted from
    threshold: Threshold
    records: tuple[SeedRecord, ...]

    def outcomes(self) -> tuple[Outcome, ...]:
        """The published outcomes that calibrate: of the table, with enough held-out functions."""
        return tuple(record.outcome() for record in self.records if record.calibrates)

    def calibrate(self) -> Calibration:
        """The calibration as it follows from the records alone; its threshold is `threshold` unless one was touched."""
        return fit_records(self.records, self.label_recipe_id)


def fit_records(records: tuple[SeedRecord, ...], label_recipe_id: str) -> Calibration:
    """Raises AssayError where the calibrating records have not both classes."""
    outcomes = [record.outcome() for record in records if record.calibrates]
    return fit(outcomes, label_recipe_id=label_recipe_id)


def iso_day(seconds: int) -> str:
    """Seconds since 1970 as `2024-05-01`."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).date().isoformat()
