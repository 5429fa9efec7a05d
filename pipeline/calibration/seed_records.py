"""Seed records: measurements of the repositories with a published fine-tuning outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.calibration.published import Published
from pipeline.calibration.threshold import Calibration, fit
from pipeline.label_recipe import MIN_HELD_OUT, MIN_HELD_OUT_POSITIVES
from pipeline.records import Curve, Density, Outcome, Threshold, Windows, iso_time

CURVES: tuple[Curve, ...] = ("relative", "saturating", "maximum", "share", "presence")
SAMPLES = 10
SAMPLE_SIZE = 1_000  # functions per repository in a size-matched sample


@dataclass(frozen=True, slots=True)
class SeedMeasurement:
    """What `assay calibration seed` measures of one history, for the screening density and every other curve.

    `samples` holds for each curve the densities of ten seeded samples of 1,000 functions, with the scale S recomputed
    in each. `commits` and `fix_commits` count landings in the training window.
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
        """Whether a fine-tuning run could be judged."""
        enough = self.held_out >= MIN_HELD_OUT and self.held_out_positives >= MIN_HELD_OUT_POSITIVES
        return enough and not self.windows.too_little_history

    @property
    def calibrates(self) -> bool:
        """Whether there are enough held-out functions to pair the published outcome with this density.

        Few positives do not disqualify a history: commits that rarely name fixes are what the screener must cope with.
        """
        return self.held_out >= MIN_HELD_OUT and not self.windows.too_little_history

    @property
    def fix_share(self) -> float:
        """The share of fix commits among the commits of the training window."""
        return self.fix_commits / self.commits if self.commits else 0.0


@dataclass(frozen=True, slots=True)
class SeedRecord:
    """One repository: its published outcome and its measurement."""

    published: Published
    measured: SeedMeasurement

    @property
    def calibrates(self) -> bool:
        """Whether the threshold is fitted on this repository."""
        return self.published.in_table and self.measured.calibrates

    def outcome(self) -> Outcome:
        """Return its calibration point, without a time so that any measured outcome is newer."""
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
    """All records of one label recipe and the threshold fitted on them."""

    label_recipe_id: str
    published_as_of: int  # Unix seconds; lags are counted from here
    threshold: Threshold
    records: tuple[SeedRecord, ...]
    earlier: tuple[Seed, ...] = ()  # of earlier versions of the label rules, for whoever is pinned to one

    def outcomes(self) -> tuple[Outcome, ...]:
        """Return the published outcomes that calibrate: in the table and with enough held-out functions."""
        return tuple(record.outcome() for record in self.records if record.calibrates)

    def calibrate(self) -> Calibration:
        """Fit the threshold again from the records; it equals `threshold` unless the file was edited."""
        return fit_records(self.records, self.label_recipe_id)


def fit_records(records: tuple[SeedRecord, ...], label_recipe_id: str) -> Calibration:
    """Fit the threshold on the calibrating records. Raises AssayError if a class is missing."""
    outcomes = [record.outcome() for record in records if record.calibrates]
    return fit(outcomes, label_recipe_id=label_recipe_id)


def iso_day(seconds: int) -> str:
    """Format Unix seconds as `2024-05-01`."""
    return iso_time(seconds)[:10]
