"""`assay calibration show|exclude|include --installation LOGIN` and `versions`: what the App's database holds.

An installation's threshold rests on the server's own calibration set, on what was measured in it, and on what others
share; those are counted here as everywhere, and never shown one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
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
from bot.cli.database import existing_database
from bot.cli.server.calibration_cache import calibration_source
from bot.records import Installation
from bot.settings import Settings
from bot.store.calibrations import StoredCalibration, calibrations_of
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
    """The fields of `assay calibration show`, of one installation."""

    async def read(connection: Any, source: CalibrationSource) -> dict[str, Any]:
        found = await find_installation(connection, login)
        return await _described(connection, source, found)

    return asyncio.run(_with_database(settings, read))


def exclude_from_installation(settings: Settings, login: str, repo: str, reason: str, now: datetime) -> dict[str, Any]:
    """No outcome of a repository of the installation counts, until it is included again; kept with its reason."""
    return _say(settings, login, repo, now, lambda name: Excluded(now.isoformat(), name, reason))


def include_in_installation(settings: Settings, login: str, repo: str, now: datetime) -> dict[str, Any]:
    """Raises AssayError where the repository is not excluded by the installation's own ledger."""
    return _say(settings, login, repo, now, lambda name: Included(now.isoformat(), name))


def list_versions(settings: Settings, login: str | None, verify: bool) -> dict[str, Any]:
    """Every threshold of one installation or of all; with `verify` each is made again of its stored inputs."""

    async def read(connection: Any, source: CalibrationSource) -> dict[str, Any]:
        known = await list_installations(connection)
        chosen = [await find_installation(connection, login)] if login else known
        versions: list[dict[str, Any]] = []
        for found in chosen:
            rows = await load_rows(connection, found.installation_id) if verify else None
            for stored in await calibrations_of(connection, found.installation_id):
                versions.append(_version(found, stored, rows))
        return {"versions": versions, "verified": verify}

    return asyncio.run(_with_database(settings, read))


def differing(result: dict[str, Any]) -> list[str]:
    """The versions whose numbers do not follow from their inputs."""
    return [row["version"] for row in result["versions"] if row["recomputed"] == DIFFERENT]


def _version(found: Installation, stored: StoredCalibration, rows: Rows | None) -> dict[str, Any]:
    threshold = threshold_of(stored)
    return {
        "installation": found.account_login,
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
    """A line a version."""
    if not result["versions"]:
        return Text("No outcome has moved a threshold yet: that of the seed data shipped with Assay is in force.")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("installation", "since", "version", "threshold", "turned", *(["made again"] * result["verified"])):
        table.add_column(name, overflow="fold")
    for row in result["versions"]:
        turned = f"{row['flipped']} of {row['judged']}"
        cells = (inert(row["installation"]), row["at"][:16], row["version"], number(row["threshold"]), turned)
        table.add_row(*map(Text, cells), *([Text(row["recomputed"])] if result["verified"] else []))
    return table


async def find_installation(connection: Any, login: str) -> Installation:
    """By its account's login, in any case. Raises AssayError with those there are."""
    known = await list_installations(connection)
    for found in known:
        if found.account_login.lower() == login.lower():
            return found
    logins = ", ".join(sorted(found.account_login for found in known)) or "none"
    raise AssayError(f"--installation {login}: the App is not installed there; it is on: {logins}")


def _say(
    settings: Settings, login: str, repo: str, now: datetime, word: Callable[[str], Excluded | Included]
) -> dict[str, Any]:
    async def write(connection: Any, source: CalibrationSource) -> dict[str, Any]:
        found = await find_installation(connection, login)
        repository_id, name = await _measured_repository(connection, source, found, repo)
        said = word(name)
        excluded = (await source.installation_set(connection, found.installation_id)).own_exclusions
        if isinstance(said, Included) and name not in excluded:
            shown = ", ".join(sorted(excluded)) or "none"
            raise AssayError(f"{name} is not excluded for {login}; excluded repositories: {shown}")
        if isinstance(said, Excluded) and excluded.get(name) == said.reason:
            fitted = await source.fitted(connection, found.installation_id)
            threshold, version = fitted.calibration.threshold, fitted.calibration.version
            change = CalibrationChange(threshold, threshold, version, version)
        else:
            change = await record_exclusion(connection, source, found.installation_id, repository_id, said, now)
        shown_change = await _change_fields(connection, found, change)
        return await _described(connection, source, found) | shown_change

    return asyncio.run(_with_database(settings, write))


async def _measured_repository(
    connection: Any, source: CalibrationSource, found: Installation, repo: str
) -> tuple[int, str]:
    """Raises AssayError where it has no outcome in this installation, with those that have one."""
    known = await source.installation_set(connection, found.installation_id)
    names = {own.outcome.repo: own.repository_id for own in known.own.values()}
    for name, repository_id in names.items():
        if name.lower() == repo.lower():
            return repository_id, name
    shown = ", ".join(sorted(names)) or "none yet"
    raise AssayError(f"{repo} has no outcome in the installation {found.account_login}; those that have: {shown}")


async def _described(connection: Any, source: CalibrationSource, found: Installation) -> dict[str, Any]:
    fitted = await source.fitted(connection, found.installation_id)
    named = tuple(o for o in fitted.installation_set.calibration_set.outcomes if o.provenance != "shared")
    shown = replace(fitted.installation_set.calibration_set, outcomes=named)
    family = source.family or None
    return describe(shown, fitted.calibration) | {"installation": found.account_login, "base_model_family": family}


async def _change_fields(connection: Any, found: Installation, change: CalibrationChange) -> dict[str, Any]:
    """As `assay calibration` shows a change of its own ledger."""
    names = {
        memory.repository.repository_id: memory.repository.full_name
        for memory in await list_repositories(connection, found.installation_id)
    }
    densities = {s.repository_id: s.density for s in await standing_verdicts(connection, found.installation_id)}
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


async def _with_database(settings: Settings, work: Callable[[Any, CalibrationSource], Coroutine[Any, Any, T]]) -> T:
    """In one transaction of the App's database."""
    async with existing_database(settings) as database, database.write() as connection:
        return await work(connection, calibration_source(settings))
