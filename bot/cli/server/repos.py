"""`assay repos`: list the App's repositories with their latest screening."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bot.cli.database import existing_database, in_transaction
from bot.cli.output import AsJson, print_result
from bot.records import Job, RepositoryMemory, StoredScreening
from bot.settings import Settings, load_settings
from bot.store.budgets import spent_by_repository
from bot.store.installations import list_installations, recall_installations
from bot.store.repositories import all_repositories
from bot.store.screenings import newest_screening
from bot.store.unfinished import failing_jobs
from pipeline.records import AssayError
from pipeline.reports.escape import inert
from pipeline.reports.numbers import counted
from pipeline.reports.numbers import density as number

NOT_YET = "not screened yet"


def repos(
    verdict: Annotated[
        str | None, typer.Option("--verdict", metavar="RUN|SKIP", help="Only repositories with this verdict.")
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only repositories with an error, or whose jobs are being retried.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="First try again now whatever failed, waits for GitHub or was given up.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List all repositories of the App: verdict, density, date, GPU minutes, reason or last error."""
    only = verdict.upper() if verdict else None
    if only not in (None, "RUN", "SKIP"):
        raise AssayError(f"--verdict must be RUN or SKIP, not {inert(verdict or '')}")
    settings = load_settings()
    resumed = {"resumed": in_transaction(_resume, settings)} if retry else {}
    rows = asyncio.run(read(settings))
    shown = [row for row in rows if only in (None, row["verdict"]) and (is_failing(row) or not failed)]
    installations = asyncio.run(read_installations(settings))
    result = {"repositories": shown, "known": len(rows), "installations": installations, **resumed}
    print_result(result, as_json, render)


def is_failing(row: Mapping[str, Any]) -> bool:
    """Return whether a repository has an error, or a job that is being retried."""
    return bool(row["last_error"] or row["retrying"])


async def _resume(connection: Any) -> int:
    from bot.handlers.catch_up import resume  # slow to import

    return await resume(connection, datetime.now(UTC))


async def read_installations(settings: Settings) -> list[dict[str, Any]]:
    """Read one row per installation with an error, or whose account is not allowed."""
    async with existing_database(settings) as database, database.read() as connection:
        memories = await recall_installations(connection)
        return [
            {
                "installation": each.account_login,
                "installation_id": each.installation_id,
                "state": each.state,
                "last_error": memories[each.installation_id].last_error,
                "refused_at": _iso(refused_at) if refused_at else None,
            }
            for each in await list_installations(connection)
            if (refused_at := memories[each.installation_id].refused_at) or memories[each.installation_id].last_error
        ]


async def read(settings: Settings) -> list[dict[str, Any]]:
    """Read one row per repository, sorted by name."""
    async with existing_database(settings) as database, database.read() as connection:
        states = {each.installation_id: each.state for each in await list_installations(connection)}
        minutes = await spent_by_repository(connection)
        retried = {(job.installation_id, job.repository_id): job for job in await failing_jobs(connection)}
        rows = []
        for memory in await all_repositories(connection):
            of = memory.repository
            newest = await newest_screening(connection, of.installation_id, of.repository_id)
            spent = minutes.get((of.installation_id, of.repository_id), 0.0)
            job = retried.get((of.installation_id, of.repository_id))
            rows.append(row_of(memory, newest, states.get(of.installation_id, ""), spent, job))
    return rows


def row_of(
    memory: RepositoryMemory,
    newest: StoredScreening | None,
    installation_state: str,
    gpu_minutes: float,
    retried: Job | None = None,
) -> dict[str, Any]:
    """Return a repository's JSON values.

    `gpu_minutes`: spent by all of its runs so far. `retried`: a job that fails because of GitHub or the network.
    """
    judged: Mapping[str, Any] = newest.judgement if newest else {}
    density = (newest.measurement.get("density") if newest else None) or {}
    reasons = judged.get("reasons") or []
    return {
        "repository": memory.repository.full_name,
        "installation_id": memory.repository.installation_id,
        "repository_id": memory.repository.repository_id,
        "installation": installation_state,
        "private": memory.repository.private,
        "archived": memory.repository.archived,
        "verdict": judged.get("verdict"),
        "words": judged.get("words"),
        "measurable": judged.get("measurable"),
        "near_boundary": judged.get("near_boundary"),
        "density": density.get("value"),
        "density_low": density.get("low"),
        "density_high": density.get("high"),
        "threshold": (judged.get("threshold") or {}).get("value"),
        "reason": (newest.failure if newest else NOT_YET) or (reasons[0] if reasons else ""),
        "head_sha": newest.head_sha if newest else None,
        "measured_at": _iso(newest.measured_at) if newest else None,
        "posted_at": _iso(memory.posted_at) if memory.posted_at else None,
        "last_error": memory.last_error,
        "retrying": "" if retried is None else f"{retried.kind}: {retried.reason}",
        "retrying_since": _iso(retried.failing_since) if retried is not None else None,
        "gpu_minutes": round(gpu_minutes, 2),
    }


def _minutes(row: Mapping[str, Any]) -> str:
    """Render minutes: a dash for none, "< 1" for less than one."""
    spent: float = row["gpu_minutes"]
    return f"{spent:,.0f}" if spent >= 1 else "< 1" if spent else "–"


def _iso(at: Any) -> str:
    return str(at.isoformat(timespec="seconds").replace("+00:00", "Z"))


def render(result: dict[str, Any]) -> RenderableType:
    """Render one line per repository and a summary."""
    rows = result["repositories"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("repository", "verdict", "density", "measured", "GPU minutes", "reason"):
        table.add_column(name, overflow="fold", justify="right" if name in ("density", "GPU minutes") else "left")
    for row in rows:
        density = "–" if row["density"] is None else number(row["density"])
        measured = (row["measured_at"] or "–")[:10]
        reason = row["last_error"] or row["retrying"] or row["reason"]
        state = {"active": "", "": ""}.get(row["installation"], f" ({row['installation']})")
        cells = (row["repository"] + state, row["words"] or "–", density, measured, _minutes(row), reason)
        table.add_row(*(Text(inert(cell)) for cell in cells))
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in ("RUN", "SKIP")}
    summary = f"{len(rows)} of {result['known']} repositories: {counts['RUN']} RUN, {counts['SKIP']} SKIP"
    lines = [Text(summary), *(Text(inert(line)) for line in _notes(result))]
    return Group(table, *lines) if rows else Group(*lines)


def _notes(result: dict[str, Any]) -> Iterator[str]:
    for each in result.get("installations", ()):
        if each["refused_at"]:
            yield f"{each['installation']}: not served since {each['refused_at'][:10]}: not in ASSAY_ALLOWED_ACCOUNTS"
        if each["last_error"]:
            yield f"{each['installation']}: {each['last_error']}"
    if "resumed" in result:
        yield f"{counted(result['resumed'], 'job')} will be tried again now"
    elif any(is_failing(row) for row in result["repositories"]):
        yield "To try again now: assay repos --retry"
