"""Our comments, one per command: a row is saved before GitHub is called and gets GitHub's id afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.records import Reply
from bot.store.tables import replies
from bot.store.upsert import insert_into

_c = replies.c
GIVEN_UP: Final = "given up"  # instead of a digest: GitHub refused it, or somebody deleted it


async def create_reply(
    connection: AsyncConnection,
    installation_id: int,
    repository_id: int,
    comment_id: int,
    issue_number: int,
    now: datetime,
    *,
    run_id: int = 0,
    text: str = "",
) -> Reply:
    """Return the one reply to a comment, creating it if there is none."""
    values = {
        "installation_id": installation_id,
        "repository_id": repository_id,
        "comment_id": comment_id,
        "issue_number": issue_number,
        "run_id": run_id,
        "text": text,
        "made_at": now,
    }
    keys = ["installation_id", "repository_id", "comment_id"]
    await connection.execute(
        insert_into(connection, replies).values(**values).on_conflict_do_nothing(index_elements=keys)
    )
    mine = _c.installation_id == installation_id, _c.repository_id == repository_id, _c.comment_id == comment_id
    return _reply((await connection.execute(select(replies).where(*mine))).one())


async def load_reply(connection: AsyncConnection, installation_id: int, reply_id: int) -> Reply | None:
    row = (await connection.execute(select(replies).where(_is(installation_id, reply_id)))).one_or_none()
    return None if row is None else _reply(row)


async def replies_of_run(connection: AsyncConnection, installation_id: int, run_id: int) -> list[Reply]:
    """Return the replies that follow a run, oldest first."""
    mine = _c.installation_id == installation_id, _c.run_id == run_id
    return [_reply(row) for row in await connection.execute(select(replies).where(*mine).order_by(_c.reply_id))]


async def note_reply_tried(connection: AsyncConnection, installation_id: int, reply_id: int, now: datetime) -> None:
    """Note a first attempt: from now on GitHub may have the comment."""
    await _change(connection, installation_id, reply_id, {"posted_at": now})


async def note_reply_posted(
    connection: AsyncConnection, installation_id: int, reply_id: int, posted_id: int, digest: str, now: datetime
) -> None:
    """Note GitHub's id and the digest of the comment's text; an empty digest means that the text is unknown."""
    changes = {"posted_id": posted_id, "posted_digest": digest, "posted_at": now}
    await _change(connection, installation_id, reply_id, changes)


async def give_up_reply(connection: AsyncConnection, installation_id: int, reply_id: int) -> None:
    """Stop updating the comment."""
    await _change(connection, installation_id, reply_id, {"posted_digest": GIVEN_UP})


async def _change(connection: AsyncConnection, installation_id: int, reply_id: int, changes: Mapping[str, Any]) -> None:
    await connection.execute(update(replies).where(_is(installation_id, reply_id)).values(**changes))


def _is(installation_id: int, reply_id: int) -> ColumnElement[bool]:
    return and_(_c.installation_id == installation_id, _c.reply_id == reply_id)


def _reply(row: Row[Any]) -> Reply:
    return Reply(**row._mapping)
