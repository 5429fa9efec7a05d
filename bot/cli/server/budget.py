"""`assay budget`: how many GPU minutes an installation may spend a month. Without a budget, fine-tuning is off."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bot.cli.database import existing_database
from bot.cli.output import print_result
from bot.records import Budget, Installation, Usage
from bot.settings import load_settings
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

app = typer.Typer(add_completion=False, help="Show and set how many GPU minutes an installation may spend a month.")

MOST_MINUTES = 10_000_000.0
MOST_AT_ONCE = 1_000

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Login = Annotated[str, typer.Argument(metavar="LOGIN", help="The account that the App is installed on.")]


@app.command()
def show(
    installation: Annotated[
        str | None, typer.Option("--installation", metavar="LOGIN", help="Of this account alone.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show each budget with what of it is spent and reserved this month, and the limit of the whole server."""
    print_result(_do(lambda connection: read(connection, _now(), installation)), as_json, render)


@app.command("set")
def set_(
    login: Annotated[
        str | None, typer.Argument(metavar="LOGIN", help="The account that the App is installed on.")
    ] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", metavar="M", help="GPU minutes a month.")] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", min=1, max=MOST_AT_ONCE, metavar="N", help="Runs at once; if not given as it is, or 1."
        ),
    ] = None,
    everybody: Annotated[
        bool, typer.Option("--everybody", help="The limit of all installations together, beside their budgets.")
    ] = False,
    none: Annotated[bool, typer.Option("--none", help="With --everybody: no such limit.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give an installation a budget, which switches fine-tuning on; or limit all of them together."""
    if (login is None) != everybody:
        raise AssayError("name an account that the App is installed on, or --everybody")
    if none and (not everybody or minutes is not None):
        raise AssayError("--none removes the limit of everybody: use it as `assay budget set --everybody --none`")
    if minutes is None and not none:
        raise AssayError("--minutes is missing: say how many GPU minutes a month")
    if minutes is not None and not (math.isfinite(minutes) and 0 < minutes <= MOST_MINUTES):
        raise AssayError(f"--minutes is a number above 0 and at most {MOST_MINUTES:,.0f}, not {minutes:g}")

    async def change(connection: Connection) -> dict[str, Any]:
        if login is None:
            state = await load_gpu_state(connection)
            await save_gpu_state(connection, replace(state, ceiling_minutes=minutes))
            return await read(connection, _now(), None)
        assert minutes is not None
        found = await installed_on(connection, login)
        before = await load_budget(connection, found.installation_id)
        at_once = concurrency or (before.concurrency if before else 1)
        await set_budget(connection, found.installation_id, minutes, at_once, _now())
        return await read(connection, _now(), login)

    print_result(_do(change), as_json, render)


@app.command()
def remove(login: Login, as_json: AsJson = False) -> None:
    """Take a budget away: fine-tuning is off again. What runs goes on to its end."""

    async def change(connection: Connection) -> dict[str, Any]:
        found = await installed_on(connection, login)
        if not await remove_budget(connection, found.installation_id):
            raise AssayError(f"{inert(found.account_login)} has no budget")
        return await read(connection, _now(), login)

    print_result(_do(change), as_json, render)


async def installed_on(connection: Connection, login: str) -> Installation:
    """The installation of an account, its login in any case. Raises AssayError with those there are."""
    known = await list_installations(connection)
    for found in known:
        if found.account_login.lower() == login.lower():
            return found
    logins = ", ".join(sorted(inert(found.account_login) for found in known)) or "no account yet"
    raise AssayError(f"the App is not installed on {inert(login)}; it is on: {logins}")


async def read(connection: Connection, now: datetime, login: str | None) -> dict[str, Any]:
    """What every command shows, of one installation or of all."""
    month = month_of(now)
    found = [await installed_on(connection, login)] if login else await list_installations(connection)
    budgets = {budget.installation_id: budget for budget in await all_budgets(connection)}
    ceiling = (await load_gpu_state(connection)).ceiling_minutes
    rows = []
    for each in found:
        usage = await usage_of(connection, each.installation_id, month)
        rows.append(row_of(each, budgets.get(each.installation_id), usage))
    everybody = await usage_of_all(connection, month)
    server = {"ceiling_minutes": ceiling, **_usage_fields(ceiling, everybody)}
    return {"month": month, "installations": rows, "server": server}


def row_of(installation: Installation, budget: Budget | None, usage: Usage) -> dict[str, Any]:
    """JSON values; null where there is no budget."""
    monthly = None if budget is None else budget.monthly_minutes
    return {
        "installation": installation.account_login,
        "installation_id": installation.installation_id,
        "monthly_minutes": monthly,
        "concurrency": None if budget is None else budget.concurrency,
        **_usage_fields(monthly, usage),
    }


def _usage_fields(most: float | None, usage: Usage) -> dict[str, float | None]:
    return {
        "spent": round(usage.spent, 2),
        "reserved": round(usage.reserved, 2),
        "left": None if most is None else round(max(0.0, most - usage.total), 2),
    }


def render(result: dict[str, Any]) -> RenderableType:
    """A line an installation, and one for all of them."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("installation", overflow="fold")
    for name in ("minutes a month", "at once", "spent", "reserved", "left"):
        table.add_column(name, justify="right")
    for row in result["installations"]:
        budget = "off" if row["monthly_minutes"] is None else _shown(row["monthly_minutes"])
        at_once = "–" if row["concurrency"] is None else str(row["concurrency"])
        usage = (_shown(row[name]) for name in ("spent", "reserved", "left"))
        table.add_row(Text(inert(row["installation"])), budget, at_once, *usage)
    server, month = result["server"], result["month"]
    used = f"{_shown(server['spent'])} GPU minutes spent and {_shown(server['reserved'])} reserved in {month} (UTC)"
    limit = "no limit for all together"
    if server["ceiling_minutes"] is not None:
        limit = f"at most {_shown(server['ceiling_minutes'])} for all together, {_shown(server['left'])} left"
    ending = Text(f"All installations: {used}; {limit}.")
    return Group(table, ending) if result["installations"] else Group(ending)


def _shown(minutes: float | None) -> str:
    return "–" if minutes is None else f"{minutes:,.1f}".removesuffix(".0")


def _do(question: Callable[[Any], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        async with existing_database(load_settings()) as database, database.write() as connection:
            return await question(connection)

    return asyncio.run(ask())


def _now() -> datetime:
    return datetime.now(UTC)
