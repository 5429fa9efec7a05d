"""Check that every statement names the installation whose rows it touches, with exceptions per function."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

import greenlet  # type: ignore[import-untyped]
from sqlalchemy import BindParameter, Delete, Insert, Select, Table, Update
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression

from bot.store import SERVER_WIDE
from bot.store.tables import metadata

KEYED = frozenset(table for table in metadata.tables.values() if "installation_id" in table.c)


def refuse_unkeyed(statement: Any, parameters: list[Mapping[str, Any]]) -> str:
    """Return why the current statement is not allowed; empty if it is."""
    caller = calling_function(frames())
    if not caller or caller in SERVER_WIDE or caller.partition(".")[0] in SERVER_WIDE:
        return ""
    missing = unkeyed_tables(statement, parameters)
    return f"{caller} touches {', '.join(missing)} without naming the installation: {statement}" if missing else ""


def unkeyed_tables(statement: Any, parameters: list[Mapping[str, Any]]) -> list[str]:
    if not isinstance(statement, Select | Update | Delete | Insert):
        return []
    parts = list(visitors.iterate(statement))
    named: set[Any] = {table for part in parts for table in _named(part)}
    if isinstance(statement, Insert) and _is_given(statement, parameters):
        named.add(statement.table)
    return sorted(table.name for table in KEYED & set(parts) - named)


def _is_given(statement: Insert, parameters: list[Mapping[str, Any]]) -> bool:
    """Return whether every inserted row names its installation."""
    rows = [row for row in parameters if row] or [{}]
    for_all = {getattr(name, "name", name) for name in statement._values or ()}
    return all("installation_id" in {*row, *for_all} for row in rows)


def _named(part: Any) -> Iterator[Table]:
    """The table of `table.installation_id = :value`."""
    if isinstance(part, BinaryExpression) and part.operator is operators.eq:
        for column, value in ((part.left, part.right), (part.right, part.left)):
            if getattr(column, "name", "") == "installation_id" and isinstance(value, BindParameter):
                yield from (table for table in KEYED if column.table.name == table.name)


def calling_function(chain: Iterator[FrameType]) -> str:
    """`module.function` of the outermost function of bot.store that is on the stack; empty where none is."""
    found = ""
    for frame in chain:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("bot.store.") and name not in ("bot.store.database", "bot.store.migrate"):
            found = f"{name.removeprefix('bot.store.')}.{frame.f_code.co_name}"
    return found


def frames() -> Iterator[FrameType]:
    """From here outwards, and on through the greenlet in which SQLAlchemy was awaited."""
    frame: FrameType | None = sys._getframe(1)
    running: Any = greenlet.getcurrent()
    while frame is not None:
        yield frame
        frame = frame.f_back
        while frame is None and running is not None:
            running = running.parent
            frame = running.gr_frame if running is not None else None
