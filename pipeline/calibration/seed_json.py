"""The format of seed.json, which is read back with every field checked.

One object: schema_version, label_recipe_id, published_as_of, threshold{} and repositories[]. Each repository has what
was published (name, outcome, rho's), where it was measured (head_sha, windows) and the results (density and so on).
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from datetime import UTC, datetime
from typing import Any

from pipeline.calibration.published import Published
from pipeline.calibration.seed_records import CURVES, SAMPLES, Seed, SeedMeasurement, SeedRecord, iso_day
from pipeline.json_fields import Fields, MalformedError, parse_object
from pipeline.records import DAY_S, Density, Threshold, Windows

SCHEMA_VERSION = 1
_EVIDENCE = ("issue", "label", "prefix", "keyword")
_LAST_S = 253_370_764_800  # 9999-01-01
_MAX_DAYS = 1e6


def render_seed(seed: Seed) -> str:
    """Render JSON with one field per line, so that a new measurement gives a readable diff."""
    whole = {
        "schema_version": SCHEMA_VERSION,
        "label_recipe_id": seed.label_recipe_id,
        "published_as_of": iso_day(seed.published_as_of),
        "threshold": {
            "value": seed.threshold.value,
            "band": [seed.threshold.band_low, seed.threshold.band_high],
            "separable": seed.threshold.separable,
        },
        "repositories": [_record_fields(record) for record in seed.records],
    }
    return json.dumps(whole, indent=1, allow_nan=False) + "\n"


def _record_fields(record: SeedRecord) -> dict[str, Any]:
    measured, density = record.measured, record.measured.density
    return {
        **dataclasses.asdict(record.published),
        "head_sha": measured.head_sha,
        "as_of": _iso(measured.windows.as_of),
        "label_recipe_id": measured.label_recipe_id,
        "windows": dataclasses.asdict(measured.windows),
        "commits": measured.commits,
        "fix_commits": measured.fix_commits,
        "evidence": {kind: measured.evidence[kind] for kind in _EVIDENCE if kind in measured.evidence},
        "pairs": density.pairs,
        "positives": density.positives,
        "positive_share": density.positive_share,
        "file_positive_share": density.file_positive_share,
        "density": density.value,
        "density_low": density.low,
        "density_high": density.high,
        "scale": density.scale,
        "curve": density.curve,
        "curves": {curve: measured.curves[curve] for curve in CURVES},
        "samples": {curve: list(measured.samples[curve]) for curve in CURVES},
        "functions_alive": measured.functions_alive,
        "held_out": measured.held_out,
        "held_out_positives": measured.held_out_positives,
        "measurable": measured.measurable,
        "notes": list(measured.notes),
    }


def parse_seed(raw: bytes, where: str) -> Seed:
    """Parse seed.json. Raises MalformedError that names the first bad field."""
    fields = parse_object(raw, where)
    fields.require_schema(SCHEMA_VERSION)
    label_recipe_id = parse_recipe_id(fields, "label_recipe_id")
    records = tuple(_parse_record(record, label_recipe_id) for record in fields.objects("repositories"))
    names = [record.published.name for record in records]
    if len(set(names)) < len(names):
        fields.fail("repositories", "contains a repository twice")
    threshold = fields.inner("threshold")
    low, high = _pair(threshold, "band")
    return Seed(
        label_recipe_id=label_recipe_id,
        published_as_of=_end_of_day(fields),
        threshold=Threshold(threshold.number("value", 0, 1), low, high, "seed", threshold.flag("separable")),
        records=records,
    )


def parse_recipe_id(fields: Fields, key: str) -> str:
    """Parse the id of a recipe, 12 hexadecimal digits. Raises MalformedError."""
    value = fields.text(key)
    if not re.fullmatch(r"[0-9a-f]{12}", value):
        fields.fail(key, "expected 12 hexadecimal digits")
    return value


def _pair(fields: Fields, key: str) -> tuple[float, float]:
    values = fields.numbers(key, 0, 2)
    if len(values) != 2 or values[0] > values[1]:
        fields.fail(key, "expected two numbers, the lower first")
    return values[0], values[1]


def _end_of_day(fields: Fields) -> int:
    try:
        day = datetime.strptime(fields.text("published_as_of"), "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        fields.fail("published_as_of", "expected a day such as 2026-01-31")
    return int(day.timestamp()) + DAY_S - 1


def _parse_record(fields: Fields, label_recipe_id: str) -> SeedRecord:
    record = SeedRecord(_parse_published(fields), _parse_measurement(fields))
    measured = record.measured
    if measured.label_recipe_id != label_recipe_id:
        fields.fail("label_recipe_id", "differs from that of the file")
    if fields.text("as_of") != _iso(measured.windows.as_of):
        fields.fail("as_of", "differs from windows.as_of")
    if fields.flag("measurable") != measured.measurable:
        fields.fail("measurable", "does not follow from the held-out functions")
    if not math.isclose(measured.density.value, measured.curves[measured.density.curve], rel_tol=1e-9):
        fields.fail("density", f"differs from curves.{measured.density.curve}")
    return record


def _parse_published(fields: Fields) -> Published:
    return Published(
        name=fields.text("name"),
        language=fields.text("language"),
        outcome=fields.choice("outcome", ("win", "loss")),
        history=fields.text("history"),
        in_table=fields.flag("in_table"),
        density_class=fields.text("density_class", empty=True),
        rho_adapter=fields.optional("rho_adapter", lambda: fields.number("rho_adapter", -1, 1)),
        rho_baseline=fields.optional("rho_baseline", lambda: fields.number("rho_baseline", -1, 1)),
        history_to=fields.text("history_to", empty=True),
    )


def _parse_measurement(fields: Fields) -> SeedMeasurement:
    head_sha = fields.text("head_sha")
    if not re.fullmatch(r"[0-9a-f]{40}", head_sha):
        fields.fail("head_sha", "expected 40 hexadecimal digits")
    curves, samples, evidence = fields.inner("curves"), fields.inner("samples"), fields.inner("evidence")
    for curve in CURVES:
        if len(samples.numbers(curve, 0, 1)) != SAMPLES:
            samples.fail(curve, f"expected {SAMPLES} densities")
    return SeedMeasurement(
        head_sha=head_sha,
        label_recipe_id=parse_recipe_id(fields, "label_recipe_id"),
        windows=_parse_windows(fields.inner("windows")),
        commits=fields.whole("commits"),
        fix_commits=fields.whole("fix_commits", 0, fields.whole("commits")),
        evidence={kind: evidence.number(kind, 0, 1) for kind in _EVIDENCE if kind in evidence},
        density=_parse_density(fields),
        curves={curve: curves.number(curve, 0, 1) for curve in CURVES},
        samples={curve: samples.numbers(curve, 0, 1) for curve in CURVES},
        functions_alive=fields.whole("functions_alive"),
        held_out=fields.whole("held_out", 0, fields.whole("functions_alive")),
        held_out_positives=fields.whole("held_out_positives", 0, fields.whole("held_out")),
        notes=fields.texts("notes"),
    )


def _parse_density(fields: Fields) -> Density:
    pairs = fields.whole("pairs", 1)
    return Density(
        value=fields.number("density", 0, 1),
        low=fields.number("density_low", 0, 1),
        high=fields.number("density_high", 0, 1),
        pairs=pairs,
        positives=fields.whole("positives", 0, pairs),
        positive_share=fields.number("positive_share", 0, 1),
        file_positive_share=fields.number("file_positive_share", 0, 1),
        scale=fields.number("scale", 0, 1e9),
        curve=fields.choice("curve", CURVES),
    )


def _parse_windows(fields: Fields) -> Windows:
    return Windows(
        train_start=fields.whole("train_start", -_LAST_S, _LAST_S),
        eval_start=fields.whole("eval_start", -_LAST_S, _LAST_S),
        as_of=fields.whole("as_of", -62_000_000_000, _LAST_S),
        window_days=fields.number("window_days", 0, _MAX_DAYS),
        horizon_days=fields.number("horizon_days", 0, _MAX_DAYS),
        history_days=fields.number("history_days", 0, _MAX_DAYS),
        too_little_history=fields.flag("too_little_history"),
        shortened=fields.flag("shortened"),
    )


def _iso(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        raise MalformedError(f"as_of: {seconds} is not in the years 1 to 9999") from None
