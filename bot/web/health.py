"""Health endpoints: `/healthz` (is the process up?) and `/readyz` (are its dependencies available?)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

CHECK_TIMEOUT_S: Final = 2.0  # per check

Check = Callable[[], Awaitable[object]]  # fails by returning False or raising


def health_routes(checks: Mapping[str, Check], timeout_s: float = CHECK_TIMEOUT_S) -> list[Route]:
    """Return the routes. `checks` are keyed by the name that `/readyz` reports as missing.

    The endpoint is public, so concurrent requests share one round of checks.
    """
    running: asyncio.Task[list[str]] | None = None

    async def healthz(request: Request) -> Response:
        return JSONResponse({"ok": True})

    async def readyz(request: Request) -> Response:
        nonlocal running
        if running is None or running.done():
            running = asyncio.create_task(_run_checks(checks, timeout_s))
        missing = await asyncio.shield(running)
        return JSONResponse({"ok": not missing, "missing": missing}, 503 if missing else 200)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


async def _run_checks(checks: Mapping[str, Check], timeout_s: float) -> list[str]:
    results = await asyncio.gather(*(_passes(check, timeout_s) for check in checks.values()))
    return [name for name, passes in zip(checks, results, strict=True) if not passes]


async def _passes(check: Check, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            return await check() is not False
    except Exception:  # any failure means not ready
        return False
