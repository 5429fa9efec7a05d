"""GitHub's own example deliveries, all of them, sent to the receiver as it is in production."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.clock import SystemClock
from bot.receiver.dispatch import EVENTS
from bot.store.database import Database
from bot.store.migrate import migrate
from bot.web_process import create_app
from tests.builders.credentials import credentials
from tests.contract.published import example_deliveries
from tests.simulator.webhooks import signatures

pytestmark = pytest.mark.contract

SECRET = "the secret of the webhook"
TELLING = {"body", "title", "message", "email", "description", "name", "login", "text", "html_url"}  # keys of a payload
SHORTEST = 12  # characters of a text that cannot be in the database by chance


class Nobody:
    """Redis as the receiver needs it, with no worker behind it."""

    def __init__(self) -> None:
        self.announced: list[int] = []

    async def ping(self) -> bool:
        return True

    async def announce_deliveries(self, delivery_ids: Sequence[int]) -> None:
        self.announced += delivery_ids


@asynccontextmanager
async def receiver(folder: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Nobody]]:
    url = f"sqlite:///{folder / 'assay.db'}"
    await asyncio.to_thread(migrate, url)
    database, redis = await Database.open(url), Nobody()
    app = create_app(
        database=database,
        redis=redis,
        clock=SystemClock(),
        credentials=lambda: credentials(webhook_secret=SECRET),
        on_loopback=False,
    )
    try:
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://receiver") as client,
        ):
            yield client, redis
    finally:
        await database.close()


def headers(event: str, content: bytes, secret: str = SECRET) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/abc1234",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": str(uuid.uuid4()),
        **signatures(secret, content),
    }


def as_an_app_gets_it(payload: dict[str, Any]) -> dict[str, Any]:
    """Most examples are those of a repository's own webhook: an App's name the installation, and ours hold commands."""
    ours = {**payload, "installation": payload.get("installation") or {"id": 957_387, "node_id": "x"}}
    if isinstance(payload.get("comment"), dict):
        ours["comment"] = {**payload["comment"], "body": f"/screen\n{payload['comment'].get('body')}"}
    return ours


async def send_all(folder: Path) -> dict[tuple[int, str], list[str]]:
    """Every example as it is and as an App gets it, correctly signed: what was answered, and to which events."""
    answers: dict[tuple[int, str], list[str]] = {}
    examples = [(event, payload) for _, event, payload in example_deliveries()]
    examples += [(event, as_an_app_gets_it(payload)) for event, payload in examples]
    async with receiver(folder) as (client, _):
        for event, payload in examples:
            content = json.dumps(payload).encode()
            answer = await client.post("/webhook", content=content, headers=headers(event, content))
            answers.setdefault((answer.status_code, answer.json()["result"]), []).append(event)
    return answers


def rows(folder: Path) -> list[Any]:
    with sqlite3.connect(folder / "assay.db") as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = [row for table in tables for row in connection.execute(f'SELECT * FROM "{table}"')]
    connection.close()
    return found


def texts(value: Any, key: str = "") -> Iterator[str]:
    """Everything in a payload that somebody wrote."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from texts(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each, key)
    elif isinstance(value, str) and key in TELLING:
        yield from (line.strip() for line in value.splitlines() if len(line.strip()) >= SHORTEST)


def forms(text: str) -> tuple[bytes, ...]:
    """How a text may stand in a file: as it is, in a repr, or in JSON."""
    return text.encode(), repr(text)[1:-1].encode(), json.dumps(text)[1:-1].encode()


def test_a_text_that_was_kept_would_be_found() -> None:
    for text in ("a plain sentence", 'with "quotes" and umläuts'):
        assert any(form in json.dumps({"facts": text}).encode() for form in forms(text))
        assert any(form in repr((1, text)).encode() for form in forms(text))


def test_there_are_examples_of_github_and_of_every_ghes():
    folders = [folder for folder, _, _ in example_deliveries()]
    assert folders.count("api.github.com") > 300
    assert len(set(folders)) == 6


def test_every_example_is_accepted_and_nothing_that_anybody_wrote_is_kept(tmp_path):
    answers = asyncio.run(send_all(tmp_path))
    assert {status: set(events) for (status, _), events in answers.items() if status != 202} == {}
    stored = answers[202, "stored"]
    assert set(stored) <= set(EVENTS)
    assert {"installation", "installation_repositories", "push", "repository", "check_suite", "issue_comment"} <= set(
        stored
    )

    kept = repr(rows(tmp_path)).encode() + b"".join(path.read_bytes() for path in tmp_path.glob("assay.db*"))
    written = {text for _, _, payload in example_deliveries() for text in texts(payload)}
    assert len(written) > 200
    assert [text for text in sorted(written) if any(form in kept for form in forms(text))] == []


def test_every_forged_example_is_refused_and_nothing_is_stored(tmp_path):
    async def send() -> set[int]:
        statuses = set()
        async with receiver(tmp_path) as (client, redis):
            for _, event, payload in example_deliveries():
                content = json.dumps(payload).encode()
                for forged in forgeries(event, content):
                    statuses.add((await client.post("/webhook", content=content, headers=forged)).status_code)
            assert redis.announced == []
        return statuses

    before = tmp_path / "before"
    before.mkdir()
    migrate(f"sqlite:///{before / 'assay.db'}")
    assert asyncio.run(send()) == {401}
    assert rows(tmp_path) == rows(before)


def forgeries(event: str, content: bytes) -> Iterator[dict[str, str]]:
    """The headers of somebody who does not know the secret."""
    true = headers(event, content)
    yield headers(event, content, "another secret")
    yield headers(event, content + b" ")
    yield {name: value for name, value in true.items() if not name.startswith("X-Hub")}
    yield {name: value for name, value in true.items() if name != "X-Hub-Signature-256"}  # SHA-1 alone
    yield true | {"X-Hub-Signature-256": true["X-Hub-Signature-256"][:-1]}
    yield true | {"X-Hub-Signature-256": true["X-Hub-Signature-256"].replace("sha256=", "")}
    yield true | {"X-Hub-Signature-256": "sha256="}
