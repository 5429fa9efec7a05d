"""The least that a receiver must do, to compare with: check a signature, insert one durable row, answer 202.

`python -m bench.bare_receiver PORT FILE.sqlite`
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import sys
from collections.abc import AsyncIterator

import aiosqlite
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.load import SECRET


def bare_app(path: str) -> Starlette:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with aiosqlite.connect(path) as app.state.database:
            for pragma in ("journal_mode=WAL", "synchronous=FULL"):
                await app.state.database.execute(f"PRAGMA {pragma}")
            await app.state.database.execute("CREATE TABLE deliveries (guid TEXT PRIMARY KEY, body BLOB)")
            yield

    async def webhook(request: Request) -> Response:
        body = await request.body()
        expected = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, request.headers.get("x-hub-signature-256", "")):
            return Response(status_code=401)
        database = request.app.state.database
        await database.execute(
            "INSERT INTO deliveries VALUES (?, ?)", (request.headers["x-github-delivery"], body[:500])
        )
        await database.commit()
        return Response(status_code=202)

    return Starlette(routes=[Route("/webhook", webhook, methods=["POST"])], lifespan=lifespan)


if __name__ == "__main__":
    uvicorn.run(bare_app(sys.argv[2]), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
