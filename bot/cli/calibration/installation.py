"""`assay calibration show|exclude|include --installation LOGIN` and `versions`: thresholds in the App's database.

An installation's threshold is fitted to the server's calibration set, its own outcomes and outcomes that others share.
Shared outcomes are only counted, never listed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeVar

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bot.calibration.calibration_source import CalibrationSource
from bot.calibration.record import record_exclusion
from bot.calibration.threshold_change import CalibrationChange
from bot.calibration.versions import NotRecomputable, Rows, load_rows, recompute, threshold_of
from bot.cli.calibration.view import describe
from bot.cli.database import find_installation, in_transaction
from bot.cli.server.calibration_cache import calibration_source
from bot.records import Installation
from bot.settings import Settings
from bot.store.calibrations import StoredCalibration, calibrations_of
from bot.store.database import Connection
from bot.store.installations import list_installations
from bot.store.repositories import list_repositories
from bot.store.verdicts import standing_verdicts
from pipeline.calibration.ledger_entries import Excluded, Included
from pipeline.records import AssayError, Threshold
from pipeline.reports.escape import inert
from pipeline.reports.numbers import density as number

SAME: Final = "the same"
DIFFERENT: Final = "another threshold"
T = TypeVar("T")


def show_installation(settings: Settings, login: str) -> dict[str, Any]:
    """Return the fields of `assay calibration show` for one installation."""

    async def read(connection: Connection, source: CalibrationSource) -> dict[str, Any]:
        return await _described(connection, source, await find_installation(connection, login))

    return _with_source(settings, read)


def exclude_from_installation(settings: Settings, login: str, repo: str, reason: str, now: datetime) -> dict[str, Any]:
    """Record the exclusion of a repository in the installation's ledger."""
    return _record(settings, login, repo, now, lambda name: Excluded(now.isoformat(), name, reason))


def include_in_installation(settings: Settings, login: str, repo: str, now: datetime) -> dict[str, Any]:
    """Record the inclusion of a repository. Raises AssayError unless the installation's own ledger excludes it."""
    return _record(settings, login, repo, now, lambda name: Included(now.isoformat(), name))


def list_versions(settings: Settings, login: str | None, verify: bool) -> dict[str, Any]:
    """List the threshold versions of one installation or of all; with `verify` recompute each from its inputs."""

    async def read(connection: Connection, source: CalibrationSource) -> dict[str, Any]:
        installations = await list_installations(connection)
        chosen = [await find_installation(connection, login)] if login else installations
        versions: list[dict[str, Any]] = []
        for installation in chosen:
            rows = await load_rows(connection, installation.installation_id) if verify else None
            for stored in await calibrations_of(connection, installation.installation_id):
                versions.append(_version(installation, stored, rows))
        return {"versions": versions, "verified": verify}

    return _with_source(settings, read)


def differing(result: dict[str, Any]) -> list[str]:
    """Return the versions that differ from the threshold recomputed from their inputs."""
    return [row["version"] for row in result["versions"] if row["recomputed"] == DIFFERENT]


def _version(installation: Installation, stored: StoredCalibration, rows: Rows | None) -> dict[str, Any]:
    threshold = threshold_of(stored)
    return {
        "installation": installation.account_login,
        "at": stored.at.isoformat(timespec="seconds"),
        "version": stored.version,
        "label_recipe_id": stored.label_recipe_id,
        "base_model_family": stored.base_model_family or None,
        "threshold": threshold.value,
        "band": [threshold.band_low, threshold.band_high],
        "threshold_source": threshold.source,
        "run_id": stored.run_id or None,
        "flipped": len(stored.flips.get("flipped", [])),
        "judged": stored.flips.get("judged", 0),
        "recomputed": _recomputed(stored, threshold, rows) if rows is not None else None,
    }


def _recomputed(stored: StoredCalibration, threshold: Threshold, rows: Rows) -> str:
    again = recompute(stored, rows)
    if isinstance(again, NotRecomputable):
        return again.reason
    return SAME if again == threshold else DIFFERENT


def render_versions(result: dict[str, Any]) -> RenderableType:
    """Render one line per version."""
    if not result["versions"]:
        return Text("No outcome has moved a threshold yet: the threshold of the shipped seed data applies.")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("installation", "since", "version", "threshold", "flipped", *(["recomputed"] * result["verified"])):
        table.add_column(name, overflow="fold")
    for row in result["versions"]:
        flipped = f"{row['flipped']} of {row['judged']}"
        cells = (inert(row["installation"]), row["at"][:16], row["version"], number(row["threshold"]), flipped)
        table.add_row(*map(Text, cells), *([Text(row["recomputed"])] if result["verified"] else []))
    return table


def _record(
    settings: Settings, login: str, repo: str, now: datetime, entry_for: Callable[[str], Excluded | Included]
) -> dict[str, Any]:
    async def write(connection: Connection, source: CalibrationSource) -> dict[str, Any]:
        installation = await find_installation(connection, login)
        installation_id = installation.installation_id
        repository_id, name = await _measured_repository(connection, source, installation, repo)
        entry = entry_for(name)
        excluded = (await source.installation_set(connection, installation_id)).own_exclusions
        if isinstance(entry, Included) and name not in excluded:
            names = ", ".join(sorted(excluded)) or "none"
            raise AssayError(f"{name} is not excluded for {login}; excluded repositories: {names}")
        if isinstance(entry, Excluded) and excluded.get(name) == entry.reason:
            fitted = await source.fitted(connection, installation_id)
            threshold, version = fitted.calibration.threshold, fitted.calibration.version
            change = CalibrationChange(threshold, threshold, version, version)
        else:
            change = await record_exclusion(connection, source, installation_id, repository_id, entry, now)
        changes = await _change_fields(connection, installation, change)
        return await _described(connection, source, installation) | changes

    return _with_source(settings, write)


async def _measured_repository(
    connection: Connection, source: CalibrationSource, installation: Installation, repo: str
) -> tuple[int, str]:
    """Find a repository with outcomes, ignoring case. Raises AssayError listing those that have outcomes."""
    known = await source.installation_set(connection, installation.installation_id)
    ids = {own.outcome.repo: own.repository_id for own in known.own.values()}
    for name, repository_id in ids.items():
        if name.lower() == repo.lower():
            return repository_id, name
    names = ", ".join(sorted(ids)) or "none"
    raise AssayError(f"{repo} has no outcome in {installation.account_login}; repositories with outcomes: {names}")


async def _described(connection: Connection, source: CalibrationSource, installation: Installation) -> dict[str, Any]:
    fitted = await source.fitted(connection, installation.installation_id)
    named = tuple(o for o in fitted.installation_set.calibration_set.outcomes if o.provenance != "shared")
    shown = replace(fitted.installation_set.calibration_set, outcomes=named)
    identity = {"installation": installation.account_login, "base_model_family": source.family or None}
    return describe(shown, fitted.calibration) | identity


async def _change_fields(
    connection: Connection, installation: Installation, change: CalibrationChange
) -> dict[str, Any]:
    """Return the change with the same fields as `view.change_fields`."""
    names = {
        memory.repository.repository_id: memory.repository.full_name
        for memory in await list_repositories(connection, installation.installation_id)
    }
    densities = {s.repository_id: s.density for s in await standing_verdicts(connection, installation.installation_id)}
    flips = [
        {
            "repo": names[repository_id],
            "density_before": densities[repository_id],
            "density_after": densities[repository_id],
            "verdict_before": was,
            "verdict_after": now,
        }
        for repository_id, was, now in change.flipped
    ]
    return {
        "threshold_before": change.before.value,
        "threshold_after": change.after.value,
        "flips": flips,
        "not_measured": [],
    }


def _with_source(settings: Settings, work: Callable[[Any, CalibrationSource], Awaitable[T]]) -> T:
    return in_transaction(lambda connection: work(connection, calibration_source(settings)), settings)
