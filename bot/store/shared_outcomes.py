"""Outcomes that installations share: density and Δρ to three decimals and the month, under a number drawn at random."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, insert, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.store.tables import shared_outcomes

_c = shared_outcomes.c


@dataclass(frozen=True)
class SharedFigures:
    """All that is told of an outcome."""

    label_recipe_id: str
    base_model_family: str
    density: float
    delta: float
    month: str  # 2026-11


@dataclass(frozen=True)
class SharedRow:
    shared_id: int
    contributor: str
    own: bool  # shared by the installation that asks
    repository_id: int  # of its own ones; 0 where it is gone
    figures: SharedFigures


async def shared_rows(connection: AsyncConnection, installation_id: int) -> list[SharedRow]:
    """Of all installations, oldest first, and which of them are this one's: those of its gone repositories too, as
    long as others of its rows say which number is its own."""
    rows = (await connection.execute(select(shared_outcomes).order_by(_c.shared_id))).all()
    mine = {row.contributor for row in rows if row.origin_installation_id == installation_id}
    return [_row(row, row.contributor in mine, installation_id) for row in rows]


async def share(connection: AsyncConnection, installation_id: int, repository_id: int, figures: SharedFigures) -> int:
    """Its number. Hold the ledger's lock, so that the installation is one contributor and not two."""
    own = select(_c.contributor).where(_c.origin_installation_id == installation_id).limit(1)
    contributor = (await connection.execute(own)).scalar_one_or_none() or secrets.token_hex(16)
    values = {
        "contributor": contributor,
        "origin_installation_id": installation_id,
        "origin_repository_id": repository_id,
        "label_recipe_id": figures.label_recipe_id,
        "base_model_family": figures.base_model_family,
        "density": figures.density,
        "delta": figures.delta,
        "month": figures.month,
    }
    made = insert(shared_outcomes).values(**values).returning(_c.shared_id)
    return int((await connection.execute(made)).scalar_one())


async def take_back(connection: AsyncConnection, installation_id: int, shared_ids: Collection[int]) -> int:
    """Delete rows that are known to be this installation's; return how many that were."""
    mine = _c.origin_installation_id == installation_id, _c.shared_id.in_(sorted(shared_ids))
    return (await connection.execute(delete(shared_outcomes).where(*mine))).rowcount


async def disown(connection: AsyncConnection, installation_id: int, repository_id: int | None = None) -> None:
    """What was shared stays, and nobody can tell any more whose it was."""
    mine = [_c.origin_installation_id == installation_id]
    if repository_id is not None:
        mine.append(_c.origin_repository_id == repository_id)
    nobody = {"origin_installation_id": null(), "origin_repository_id": null()}
    await connection.execute(update(shared_outcomes).where(*mine).values(**nobody))


def _row(row: Row[Any], own: bool, installation_id: int) -> SharedRow:
    repository_id = row.origin_repository_id if row.origin_installation_id == installation_id else None
    figures = SharedFigures(row.label_recipe_id, row.base_model_family, row.density, row.delta, row.month)
    return SharedRow(row.shared_id, row.contributor, own, repository_id or 0, figures)
