"""Outcomes that installations share: density and Δρ to three decimals and the month, under a random contributor id."""

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
    """All that is shared of an outcome."""

    label_recipe_id: str
    base_model_family: str
    density: float
    delta: float
    month: str  # 2026-11


@dataclass(frozen=True)
class SharedRow:
    shared_id: int
    contributor: str
    own: bool  # shared by the requesting installation
    repository_id: int  # if it is its own; 0 if that is gone
    figures: SharedFigures


async def shared_rows(connection: AsyncConnection, installation_id: int) -> list[SharedRow]:
    """Return the rows of all installations, oldest first, marking those of this one.

    Rows of its deleted repositories are marked too, as long as another row reveals its contributor id.
    """
    rows = (await connection.execute(select(shared_outcomes).order_by(_c.shared_id))).all()
    mine = {row.contributor for row in rows if row.origin_installation_id == installation_id}
    return [_row(row, row.contributor in mine, installation_id) for row in rows]


async def share(connection: AsyncConnection, installation_id: int, repository_id: int, figures: SharedFigures) -> int:
    """Share an outcome and return its id. Hold the ledger's lock, so that an installation is one contributor."""
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
    """Delete rows that are known to be this installation's, and return their number."""
    mine = _c.origin_installation_id == installation_id, _c.shared_id.in_(sorted(shared_ids))
    return (await connection.execute(delete(shared_outcomes).where(*mine))).rowcount


async def disown(connection: AsyncConnection, installation_id: int, repository_id: int | None = None) -> None:
    """Anonymize what was shared."""
    mine = [_c.origin_installation_id == installation_id]
    if repository_id is not None:
        mine.append(_c.origin_repository_id == repository_id)
    anonymous = {"origin_installation_id": null(), "origin_repository_id": null()}
    await connection.execute(update(shared_outcomes).where(*mine).values(**anonymous))


def _row(row: Row[Any], own: bool, installation_id: int) -> SharedRow:
    repository_id = row.origin_repository_id if row.origin_installation_id == installation_id else None
    figures = SharedFigures(row.label_recipe_id, row.base_model_family, row.density, row.delta, row.month)
    return SharedRow(row.shared_id, row.contributor, own, repository_id or 0, figures)
