"""Stored screenings for the tests of check runs: one that is worth trying, and variations of it."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

from bot.messages.screen_context import ScreenContext
from bot.records import Repository, StoredScreening
from pipeline.calibration.threshold import Calibration
from pipeline.records import DAY_S, Density, Standing, Threshold, Windows
from pipeline.screening.measurement import (
    ExcludedCount,
    Measurement,
    dump_judgement,
    dump_measurement,
    judge_measurement,
)

HEAD = "abc1234" + "0" * 33
NEWER_HEAD = "fed9876" + "1" * 33
MEASURED_AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
AS_OF = int(MEASURED_AT.timestamp())
WINNERS = (("vuejs/core", 0.0481), ("facebook/react", 0.0298), ("django/django", 0.0217), ("acme/rocket", 0.0028))
LOSERS = (("microsoft/vscode", 0.0170), ("vercel/next.js", 0.0142), ("golang/go", 0.0050))

WINDOWS = Windows(
    train_start=AS_OF - 1095 * DAY_S,
    eval_start=AS_OF - 365 * DAY_S,
    as_of=AS_OF,
    window_days=730.0,
    horizon_days=365.0,
    history_days=3_650.0,
    too_little_history=False,
    shortened=False,
)
DENSE = Density(
    value=0.0394,
    low=0.0331,
    high=0.0462,
    pairs=4_210,
    positives=389,
    positive_share=0.0924,
    file_positive_share=0.31,
    scale=2.1,
    curve="relative",
)
MEASUREMENT = Measurement(
    repo="acme/shop",
    head_sha=HEAD,
    commits=18_402,
    landings=9_120,
    window_commits=4_120,
    fix_commits=612,
    windows=WINDOWS,
    density=DENSE,
    evidence={"keyword": 0.83, "prefix": 0.17},
    held_out=1_702,
    held_out_positives=131,
    excluded=(ExcludedCount("merge", 212), ExcludedCount("tests only", 64), ExcludedCount("bot", 12)),
    notes=("shallow clone: 1f0c2ab counts as the first commit",),
    seconds=14.2,
    peak_rss_mb=312.0,
)
CALIBRATION = Calibration(
    label_recipe_id="142be1735dd3",
    threshold=Threshold(value=0.01934, band_low=0.01644, band_high=0.02224, source="seed", separable=False),
    standing=Standing(
        outcomes=7,
        published=7,
        measured=0,
        leave_one_out=0.857,
        winners=WINNERS,
        losers=LOSERS,
        counterexamples=("acme/rocket",),
    ),
    points=(),
    accuracy=None,
    left_out=(),
    win_curve=None,
)


def at_density(value: float) -> Measurement:
    """Return the example at another density, with interval and positives in proportion."""
    factor = value / DENSE.value
    density = dataclasses.replace(
        DENSE,
        value=value,
        low=DENSE.low * factor,
        high=DENSE.high * factor,
        positives=round(DENSE.positives * factor),
        positive_share=DENSE.positive_share * factor,
    )
    return dataclasses.replace(MEASUREMENT, density=density)


def screened(measurement: Measurement = MEASUREMENT, **changes: Any) -> StoredScreening:
    """Return a measurement as it is stored with its judgement."""
    judgement = judge_measurement(measurement, changes.pop("calibration", CALIBRATION))
    fields: dict[str, Any] = {
        "screening_id": 1,
        "installation_id": 10,
        "repository_id": 100,
        "head_sha": HEAD,
        "measured_at": MEASURED_AT,
        "measurement": dump_measurement(measurement),
        "judgement": dump_judgement(judgement),
        "failure": "",
        "label_recipe_id": "142be1735dd3",
        "config_hash": "",
    }
    return StoredScreening(**{**fields, **changes})


def failed(failure: str) -> StoredScreening:
    return dataclasses.replace(screened(), failure=failure, measurement={}, judgement={})


def situation(**changes: Any) -> ScreenContext:
    repository = Repository(
        installation_id=10,
        repository_id=100,
        full_name="acme/shop",
        default_branch="main",
        private=False,
        archived=False,
    )
    return ScreenContext(**{"repository": repository, "head_sha": HEAD, "external_id": "assay/screen/1", **changes})
