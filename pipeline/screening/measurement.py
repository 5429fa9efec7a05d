"""Stored screenings: the measurement and the judgement made at the time, to and from JSON.

A measurement is enough to judge the repository again against a later calibration set. This module imports neither
numpy nor the miner, because the web process shows verdicts and measures nothing.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from pipeline.json_fields import MAX_TEXT_LENGTH, Fields
from pipeline.records import (
    Curve,
    Density,
    Diagnosis,
    EvidenceKind,
    ExcludedFolder,
    IssueLabels,
    Obstacle,
    OtherDensity,
    SourceFiles,
    Standing,
    Threshold,
    Windows,
    iso_time,
)
from pipeline.screening.verdict import MEASURED_WITH_CONFIGURATION, judge

if TYPE_CHECKING:
    from pipeline.calibration.threshold import Calibration
    from pipeline.screening.measure import Measured

T = TypeVar("T")

_CURVES: tuple[Curve, ...] = get_args(Curve)
_KINDS: tuple[EvidenceKind, ...] = get_args(EvidenceKind)
_VERDICTS: tuple[Literal["RUN", "SKIP"], ...] = ("RUN", "SKIP")
_MAX_WHOLE = 1 << 62  # commit dates can be anything


@dataclass(frozen=True, slots=True)
class ExcludedCount:
    """How many commits with fix evidence gave no credit, for one reason."""

    reason: str
    commits: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """The stored part of a measured repository, without its functions and its verdict."""

    repo: str  # owner/name at the time
    head_sha: str
    commits: int  # reachable from the head
    landings: int
    window_commits: int
    fix_commits: int  # of those landing in the training window
    windows: Windows
    density: Density | None
    evidence: Mapping[str, float]  # share of credit by kind
    held_out: int  # expected
    held_out_positives: int
    excluded: tuple[ExcludedCount, ...] = ()  # training window, largest first
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    peak_rss_mb: float = 0.0
    clone_bytes: int = 0
    config_hash: str = ""  # of the repository's own configuration; empty without one
    diagnosis: Diagnosis | None = None
    other: OtherDensity | None = None
    evidence_note: str = ""  # why evidence from issues and pull requests is missing or incomplete
    files: SourceFiles | None = None  # None if an earlier release measured it
    obstacle: Obstacle | None = None

    @property
    def as_of(self) -> str:
        """The end of the horizon in ISO 8601."""
        return iso_time(self.windows.as_of)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with the threshold it was compared with, and the outcomes behind that threshold."""

    verdict: Literal["RUN", "SKIP"]
    words: str
    measurable: bool
    near_boundary: bool
    reasons: tuple[str, ...]
    threshold: Threshold
    standing: Standing
    threshold_version: str = ""  # empty if written by an earlier release


def measurement_of(
    measured: Measured, seconds: float, peak_rss_mb: float, clone_bytes: int, evidence_note: str = ""
) -> Measurement:
    """Return the part of a measured repository that is stored."""
    mined = measured.mined
    return Measurement(
        repo=plain(mined.repo),
        head_sha=mined.head_sha,
        commits=mined.commits,
        landings=mined.landings,
        window_commits=mined.window_commits,
        fix_commits=mined.fix_commits,
        windows=mined.windows,
        density=measured.density,
        evidence=dict(measured.evidence),
        held_out=measured.held_out,
        held_out_positives=measured.held_out_positives,
        excluded=tuple(ExcludedCount(plain(group.reason), group.commits) for group in mined.excluded),
        notes=tuple(map(plain, mined.notes)),
        seconds=seconds,
        peak_rss_mb=peak_rss_mb,
        clone_bytes=clone_bytes,
        config_hash=measured.config_hash,
        diagnosis=measured.diagnosis,
        other=measured.other,
        evidence_note=evidence_note,
        files=mined.files and _plain_files(mined.files),
        obstacle=mined.obstacle and Obstacle(plain(mined.obstacle.title), plain(mined.obstacle.sentence)),
    )


def _plain_files(files: SourceFiles) -> SourceFiles:
    folders = tuple(dataclasses.replace(folder, path=plain(folder.path)) for folder in files.folders)
    return dataclasses.replace(files, folders=folders)


def judge_measurement(measurement: Measurement, calibration: Calibration) -> Judgement:
    """Judge a stored measurement against a calibration."""
    m = measurement
    obstacle = m.obstacle.sentence if m.obstacle else ""
    verdict = judge(m.density, m.windows, m.held_out, m.held_out_positives, calibration, obstacle)
    own = (MEASURED_WITH_CONFIGURATION,) if m.config_hash else ()
    return Judgement(
        verdict=verdict.verdict,
        words=verdict.words,
        measurable=verdict.measurable,
        near_boundary=verdict.near_boundary,
        reasons=(*verdict.reasons, *own),
        threshold=calibration.threshold,
        standing=calibration.standing,
        threshold_version=calibration.version,
    )


def dump_measurement(measurement: Measurement) -> dict[str, Any]:
    """Return JSON values. Raises ValueError for a number that is not finite."""
    values = dataclasses.asdict(measurement)
    return json_values(
        {"repo": values.pop("repo"), "head_sha": values.pop("head_sha"), "as_of": measurement.as_of} | values
    )


def load_measurement(value: object, where: str = "measurement") -> Measurement:
    """Parse a measurement from JSON values, ignoring unknown fields. Raises MalformedError."""
    fields = Fields(value, where)
    windows = _parse_windows(fields.inner("windows"))
    if fields.text("as_of") != iso_time(windows.as_of):
        fields.fail("as_of", "differs from windows.as_of")
    evidence = fields.inner("evidence")
    return Measurement(
        repo=fields.text("repo"),
        head_sha=fields.text("head_sha"),
        commits=fields.whole("commits"),
        landings=fields.whole("landings"),
        window_commits=fields.whole("window_commits"),
        fix_commits=fields.whole("fix_commits"),
        windows=windows,
        density=fields.optional("density", lambda: _parse_density(fields.inner("density"))),
        evidence={kind: evidence.number(kind, 0, 1) for kind in _KINDS if kind in evidence},
        held_out=fields.whole("held_out"),
        held_out_positives=fields.whole("held_out_positives"),
        excluded=tuple(map(_parse_excluded, fields.objects("excluded"))) if "excluded" in fields else (),
        notes=fields.texts("notes") if "notes" in fields else (),
        seconds=fields.number("seconds", 0, 1e12) if "seconds" in fields else 0.0,
        peak_rss_mb=fields.number("peak_rss_mb", 0, 1e12) if "peak_rss_mb" in fields else 0.0,
        clone_bytes=fields.whole("clone_bytes") if "clone_bytes" in fields else 0,
        config_hash=fields.text("config_hash", empty=True) if "config_hash" in fields else "",
        diagnosis=_optional(fields, "diagnosis", _parse_diagnosis),
        other=_optional(fields, "other", _parse_other),
        evidence_note=fields.text("evidence_note", empty=True) if "evidence_note" in fields else "",
        files=_optional(fields, "files", _parse_files),
        obstacle=_optional(fields, "obstacle", _parse_obstacle),
    )


def dump_judgement(judgement: Judgement) -> dict[str, Any]:
    """Return JSON values. Raises ValueError for a number that is not finite."""
    return json_values(dataclasses.asdict(judgement))


def load_judgement(value: object, where: str = "judgement") -> Judgement:
    """Parse a judgement from JSON values, ignoring unknown fields. Raises MalformedError."""
    fields = Fields(value, where)
    return Judgement(
        verdict=fields.choice("verdict", _VERDICTS),
        words=fields.text("words"),
        measurable=fields.flag("measurable"),
        near_boundary=fields.flag("near_boundary"),
        reasons=fields.texts("reasons"),
        threshold=_parse_threshold(fields.inner("threshold")),
        standing=_parse_standing(fields.inner("standing")),
        threshold_version=fields.text("threshold_version", empty=True) if "threshold_version" in fields else "",
    )


def _parse_windows(fields: Fields) -> Windows:
    return Windows(
        train_start=fields.whole("train_start", -_MAX_WHOLE),
        eval_start=fields.whole("eval_start", -_MAX_WHOLE),
        as_of=fields.whole("as_of", -_MAX_WHOLE),
        window_days=fields.number("window_days", 0, _MAX_WHOLE),
        horizon_days=fields.number("horizon_days", 0, _MAX_WHOLE),
        history_days=fields.number("history_days", 0, _MAX_WHOLE),
        too_little_history=fields.flag("too_little_history"),
        shortened=fields.flag("shortened"),
    )


def _parse_density(fields: Fields) -> Density:
    return Density(
        value=fields.number("value", 0, 1),
        low=fields.number("low", 0, 1),
        high=fields.number("high", 0, 1),
        pairs=fields.whole("pairs", 1),
        positives=fields.whole("positives", 0, fields.whole("pairs")),
        positive_share=fields.number("positive_share", 0, 1),
        file_positive_share=fields.number("file_positive_share", 0, 1),
        scale=fields.number("scale", 0, 1e12),
        curve=fields.choice("curve", _CURVES),
    )


def _optional(fields: Fields, key: str, parse: Callable[[Fields], T]) -> T | None:
    """Parse an object that may be null, or missing if an earlier release wrote it."""
    return fields.optional(key, lambda: parse(fields.inner(key))) if key in fields else None


def _parse_diagnosis(fields: Fields) -> Diagnosis:
    return Diagnosis(
        credited=fields.whole("credited"),
        keyword_alone=fields.whole("keyword_alone"),
        effective_positives=fields.number("effective_positives", 0, 1e12),
        inflation=fields.optional("inflation", lambda: fields.number("inflation", 0, 1e12)),
        issues=_optional(fields, "issues", _parse_issues),
    )


def _parse_issues(fields: Fields) -> IssueLabels:
    return IssueLabels(fields.whole("closed"), fields.whole("unlabelled"), fields.whole("bugs"))


def _parse_other(fields: Fields) -> OtherDensity:
    return OtherDensity(
        label_recipe=fields.text("label_recipe"),
        label_recipe_id=fields.text("label_recipe_id"),
        density=_optional(fields, "density", _parse_density),
    )


def _parse_files(fields: Fields) -> SourceFiles:
    return SourceFiles(
        read=fields.whole("read"),
        excluded=_parse_counts(fields, "excluded"),
        folders=tuple(
            ExcludedFolder(folder.text("path"), folder.text("reason"), folder.whole("files"))
            for folder in fields.objects("folders")
        ),
        unread=_parse_counts(fields, "unread"),
    )


def _parse_counts(fields: Fields, key: str) -> tuple[tuple[str, int], ...]:
    return tuple((row.text("name"), row.whole("files")) for row in fields.rows(key, ("name", "files")))


def _parse_obstacle(fields: Fields) -> Obstacle:
    return Obstacle(fields.text("title"), fields.text("sentence"))


def _parse_excluded(fields: Fields) -> ExcludedCount:
    return ExcludedCount(fields.text("reason"), fields.whole("commits"))


def _parse_threshold(fields: Fields) -> Threshold:
    return Threshold(
        value=fields.number("value", 0, 1),
        band_low=fields.number("band_low", 0, 1),
        band_high=fields.number("band_high", 0, 10),
        source=fields.text("source"),
        separable=fields.flag("separable"),
    )


def _parse_standing(fields: Fields) -> Standing:
    return Standing(
        outcomes=fields.whole("outcomes"),
        published=fields.whole("published"),
        measured=fields.whole("measured"),
        leave_one_out=fields.optional("leave_one_out", lambda: fields.number("leave_one_out", 0, 1)),
        winners=_parse_points(fields, "winners"),
        losers=_parse_points(fields, "losers"),
        counterexamples=fields.texts("counterexamples"),
        shared=fields.whole("shared") if "shared" in fields else 0,
    )


def _parse_points(fields: Fields, key: str) -> tuple[tuple[str, float], ...]:
    rows = fields.rows(key, ("name", "density"))
    return tuple((row.text("name"), row.number("density", 0, 1)) for row in rows)


def json_values(values: dict[str, Any]) -> dict[str, Any]:
    """Replace tuples by lists, so that values compare equal after a round trip through the database.

    Raises ValueError for a number that is not finite.
    """
    converted: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
    return converted


def plain(text: str) -> str:
    """Return untrusted text from a history as `Fields` accepts it: printable and bounded in length."""
    shown = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return shown if len(shown) <= MAX_TEXT_LENGTH else shown[: MAX_TEXT_LENGTH - 1] + "…"
