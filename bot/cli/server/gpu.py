"""`assay gpu`: show the GPU workers and their queue, and pause or resume them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bot.cli.database import in_transaction
from bot.cli.output import AsJson, print_result
from bot.messages.reasons import NO_REASON_GIVEN
from bot.records import GpuWorker, Run
from bot.store.budgets import list_gpu_workers, load_gpu_state, save_gpu_state
from bot.store.database import Connection
from bot.store.repositories import all_repositories
from bot.store.runs import OPEN, all_runs
from pipeline.records import AssayError
from pipeline.reports.escape import inert
from pipeline.reports.numbers import counted

app = typer.Typer(add_completion=False, help="Show the GPU workers and their queue; pause and resume them.")

MAX_REASON_LENGTH = 200


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show the known GPU workers and the running, queued and waiting runs."""
    print_result(in_transaction(_read), as_json, render)


@app.command()
def pause(
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Shown to the users whose runs wait.")
    ] = NO_REASON_GIVEN,
    as_json: AsJson = False,
) -> None:
    """Stop GPU workers from starting new runs. Running ones finish."""
    if not reason.strip() or len(reason) > MAX_REASON_LENGTH or not reason.isprintable():
        raise AssayError(f"--reason must be one line of at most {MAX_REASON_LENGTH} characters")
    _switch(reason.strip(), as_json)


@app.command()
def resume(as_json: AsJson = False) -> None:
    """Let GPU workers start runs again."""
    _switch("", as_json)


def _switch(paused_because: str, as_json: bool) -> None:
    async def change(connection: Connection) -> dict[str, Any]:
        state = await load_gpu_state(connection)
        await save_gpu_state(connection, replace(state, paused_because=paused_because))
        return await _read(connection)

    print_result(in_transaction(change), as_json, render)


async def _read(connection: Connection) -> dict[str, Any]:
    now = datetime.now(UTC)
    names = {m.repository.repository_id: m.repository.full_name for m in await all_repositories(connection)}
    runs = [run for state in OPEN for run in await all_runs(connection, state)]
    workers = await list_gpu_workers(connection)
    return describe((await load_gpu_state(connection)).paused_because, workers, runs, names, now)


def describe(
    paused_because: str, workers: list[GpuWorker], runs: list[Run], names: dict[int, str], now: datetime
) -> dict[str, Any]:
    """Return the JSON values that every `assay gpu` command shows."""
    rows = [_run_fields(run, names.get(run.repository_id, "")) for run in runs]
    return {
        "paused": bool(paused_because),
        "paused_because": paused_because,
        "workers": [_worker_fields(worker, now) for worker in workers],
        **{state: [row for row in rows if row["state"] == state] for state in OPEN},
    }


def _worker_fields(worker: GpuWorker, now: datetime) -> dict[str, Any]:
    return {
        "name": worker.name,
        "device": worker.device,
        "flops_per_s": worker.flops_per_s,
        "seen_at": _iso(worker.seen_at),
        "seen_seconds_ago": max(0, round((now - worker.seen_at).total_seconds())),
    }


def _run_fields(run: Run, repository: str) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "state": run.state,
        "repository": repository,
        "installation_id": run.installation_id,
        "purpose": run.purpose,
        "audit": run.audit,
        "base_model": run.base_model,
        "worker": run.worker or "",
        "attempts": run.attempts,
        "spent_minutes": round(run.spent_minutes, 2),
        "estimated_minutes": round(run.estimated_minutes, 2),
        "queued_at": _iso(run.queued_at) if run.queued_at else None,
        "started_at": _iso(run.started_at) if run.started_at else None,
        "progress": dict(run.progress),
    }


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def render(result: dict[str, Any]) -> RenderableType:
    """Render the workers, the runs and whether the workers are paused."""
    parts: list[RenderableType] = []
    if result["workers"]:
        parts += [_workers(result["workers"]), Text()]
    runs = [row for state in ("running", "queued", "waiting") for row in result[state]]
    if runs:
        parts += [_runs(runs), Text()]
    counts = ", ".join(f"{len(result[state])} {state}" for state in ("running", "queued", "waiting"))
    parts.append(Text(f"{counted(len(result['workers']), 'GPU worker')} known; runs: {counts}."))
    if result["paused"]:
        parts.append(Text(f"Paused, no new run starts: {inert(result['paused_because'])}", style="bold"))
    return Group(*parts)


def _workers(rows: list[dict[str, Any]]) -> Table:
    table = Table("worker", "device", "last seen", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        ago = f"{row['seen_seconds_ago']} s ago" if row["seen_seconds_ago"] < 600 else row["seen_at"]
        table.add_row(Text(inert(row["name"])), Text(inert(row["device"])), ago)
    return table


def _runs(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "state", "repository", "purpose", "worker", "minutes", "limit"):
        table.add_column(name, overflow="fold", justify="right" if name in ("run", "minutes", "limit") else "left")
    for row in rows:
        purpose = f"{row['purpose']} (audit)" if row["audit"] else row["purpose"]
        cells = (row["state"], inert(row["repository"]), purpose, inert(row["worker"]) or "–")
        limit = f"{row['estimated_minutes']:,.1f}" if row["estimated_minutes"] else "–"
        table.add_row(str(row["run_id"]), *map(Text, cells), f"{row['spent_minutes']:,.1f}", limit)
    return table
