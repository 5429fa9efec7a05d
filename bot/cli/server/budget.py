"""`assay budget`: monthly GPU budgets of installations. Without a budget, fine-tuning is off."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bot.cli.database import find_installation, in_transaction
from bot.cli.output import AsJson, print_result
from bot.records import Budget, Installation, Usage
from bot.store.budgets import (
    all_budgets,
    load_budget,
    load_gpu_state,
    month_of,
    remove_budget,
    save_gpu_state,
    set_budget,
    usage_of,
    usage_of_all,
)
from bot.store.database import Connection
from bot.store.installations import list_installations
from pipeline.records import AssayError
from pipeline.reports.escape import inert

app = typer.Typer(add_completion=False, help="Show and set the monthly GPU budgets of installations.")

MAX_MINUTES = 10_000_000.0
MAX_CONCURRENCY = 1_000

Login = Annotated[str, typer.Argument(metavar="LOGIN", help="The account that the App is installed on.")]


@app.command()
def show(
    installation: Annotated[
        str | None, typer.Option("--installation", metavar="LOGIN", help="Only the installation on this account.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show all budgets with the minutes spent and reserved this month, and the limit of the server."""
    print_result(in_transaction(lambda connection: read(connection, _now(), installation)), as_json, render)


@app.command("set")
def set_(
    login: Annotated[
        str | None, typer.Argument(metavar="LOGIN", help="The account that the App is installed on.")
    ] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", metavar="M", help="GPU minutes per month.")] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency",
            min=1,
            max=MAX_CONCURRENCY,
            metavar="N",
            help="Concurrent runs. Default: the current value, or 1.",
        ),
    ] = None,
    everybody: Annotated[
        bool, typer.Option("--everybody", help="Set the total limit of all installations instead of a budget.")
    ] = False,
    none: Annotated[bool, typer.Option("--none", help="With --everybody: remove the limit.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set the budget of an installation, which enables fine-tuning, or the limit of all installations together."""
    if (login is None) != everybody:
        raise AssayError("give either the LOGIN of an account or --everybody")
    if none and (not everybody or minutes is not None):
        raise AssayError("--none removes the total limit: use it as `assay budget set --everybody --none`")
    if minutes is None and not none:
        raise AssayError("missing --minutes: the GPU minutes per month")
    if minutes is not None and not (math.isfinite(minutes) and 0 < minutes <= MAX_MINUTES):
        raise AssayError(f"--minutes must be above 0 and at most {MAX_MINUTES:,.0f}, not {minutes:g}")

    async def change(connection: Connection) -> dict[str, Any]:
        if login is None:
            state = await load_gpu_state(connection)
            await save_gpu_state(connection, replace(state, ceiling_minutes=minutes))
            return await read(connection, _now(), None)
        assert minutes is not None
        installation = await find_installation(connection, login)
        before = await load_budget(connection, installation.installation_id)
        runs = concurrency or (before.concurrency if before else 1)
        await set_budget(connection, installation.installation_id, minutes, runs, _now())
        return await read(connection, _now(), login)

    print_result(in_transaction(change), as_json, render)


@app.command()
def remove(login: Login, as_json: AsJson = False) -> None:
    """Remove the budget of an installation, which disables fine-tuning. Running jobs finish."""

    async def change(connection: Connection) -> dict[str, Any]:
        installation = await find_installation(connection, login)
        if not await remove_budget(connection, installation.installation_id):
            raise AssayError(f"{inert(installation.account_login)} has no budget")
        return await read(connection, _now(), login)

    print_result(in_transaction(change), as_json, render)


async def read(connection: Connection, now: datetime, login: str | None) -> dict[str, Any]:
    """Read the budgets and usage of one installation or of all, as JSON values."""
    month = month_of(now)
    installations = [await find_installation(connection, login)] if login else await list_installations(connection)
    budgets = {budget.installation_id: budget for budget in await all_budgets(connection)}
    ceiling = (await load_gpu_state(connection)).ceiling_minutes
    rows = []
    for installation in installations:
        usage = await usage_of(connection, installation.installation_id, month)
        rows.append(row_of(installation, budgets.get(installation.installation_id), usage))
    total = await usage_of_all(connection, month)
    server = {"ceiling_minutes": ceiling, **_usage_fields(ceiling, total)}
    return {"month": month, "installations": rows, "server": server}


def row_of(installation: Installation, budget: Budget | None, usage: Usage) -> dict[str, Any]:
    """Return JSON values; null for a missing budget."""
    monthly = None if budget is None else budget.monthly_minutes
    return {
        "installation": installation.account_login,
        "installation_id": installation.installation_id,
        "monthly_minutes": monthly,
        "concurrency": None if budget is None else budget.concurrency,
        **_usage_fields(monthly, usage),
    }


def _usage_fields(limit: float | None, usage: Usage) -> dict[str, float | None]:
    return {
        "spent": round(usage.spent, 2),
        "reserved": round(usage.reserved, 2),
        "left": None if limit is None else round(max(0.0, limit - usage.total), 2),
    }


def render(result: dict[str, Any]) -> RenderableType:
    """Render one line per installation and one for the server."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("installation", overflow="fold")
    for name in ("minutes/month", "concurrent", "spent", "reserved", "left"):
        table.add_column(name, justify="right")
    for row in result["installations"]:
        budget = "off" if row["monthly_minutes"] is None else _shown(row["monthly_minutes"])
        concurrency = "–" if row["concurrency"] is None else str(row["concurrency"])
        usage = (_shown(row[name]) for name in ("spent", "reserved", "left"))
        table.add_row(Text(inert(row["installation"])), budget, concurrency, *usage)
    server, month = result["server"], result["month"]
    used = f"{_shown(server['spent'])} GPU minutes spent, {_shown(server['reserved'])} reserved in {month} (UTC)"
    limit = "no total limit"
    if server["ceiling_minutes"] is not None:
        limit = f"total limit {_shown(server['ceiling_minutes'])}, {_shown(server['left'])} left"
    summary = Text(f"All installations: {used}; {limit}.")
    return Group(table, summary) if result["installations"] else Group(summary)


def _shown(minutes: float | None) -> str:
    return "–" if minutes is None else f"{minutes:,.1f}".removesuffix(".0")


def _now() -> datetime:
    return datetime.now(UTC)
