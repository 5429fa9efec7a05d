"""`/healthz`: does the process answer? `/readyz`: could it do its work, and if not, what is missing?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

LIMIT_S: Final = 2.0  # for each check

Check = Callable[[], Awaitable[object]]  # False, or an exception: no


def health_routes(checks: Mapping[str, Check], limit_s: float = LIMIT_S) -> list[Route]:
    """`checks` by the name that `/readyz` gives to what is missing. Everybody may ask, so all who ask at once share
    one answer."""
    running: asyncio.Task[list[str]] | None = None

    async def healthz(request: Request) -> Response:
        return JSONResponse({"ok": True})

    async def readyz(request: Request) -> Response:
        nonlocal running
        if running is None or running.done():
            running = asyncio.create_task(_missing(checks, limit_s))
        missing = await asyncio.shield(running)
        return JSONResponse({"ok": not missing, "missing": missing}, 503 if missing else 200)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


async def _missing(checks: Mapping[str, Check], limit_s: float) -> list[str]:
    answers = await asyncio.gather(*(_passes(check, limit_s) for check in checks.values()))
    return [name for name, passes in zip(checks, answers, strict=True) if not passes]


async def _passes(check: Check, limit_s: float) -> bool:
    try:
        async with asyncio.timeout(limit_s):
            return await check() is not False
    except Exception:  # however it fails, it is not ready
        return False
