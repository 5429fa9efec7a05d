import asyncio

from starlette.applications import Starlette

from bot.store.errors import StoreUnavailable
from bot.web.health import Check, health_routes
from tests.bot.receiver.asgi import Exchange, get


async def answers() -> bool:
    return True


async def says_no() -> bool:
    return False


async def raises() -> None:
    raise StoreUnavailable("no such server")


async def hangs() -> None:
    await asyncio.sleep(3600)


def ask(path: str, **checks: Check) -> Exchange:
    return asyncio.run(get(Starlette(routes=health_routes(checks, timeout_s=0.1)), path, host="assay.example"))


def test_healthz_succeeds_whatever_is_missing() -> None:
    assert (ask("/healthz", database=hangs).status, ask("/healthz").json) == (200, {"ok": True})


def test_readyz_succeeds_when_nothing_is_missing() -> None:
    answer = ask("/readyz", database=answers, redis=answers)
    assert (answer.status, answer.json) == (200, {"ok": True, "missing": []})


def test_readyz_names_what_is_missing() -> None:
    answer = ask("/readyz", database=raises, redis=answers, disk=says_no, clock=hangs)
    assert (answer.status, answer.json) == (503, {"ok": False, "missing": ["database", "disk", "clock"]})


def test_concurrent_requests_share_one_round_of_checks() -> None:
    asked = 0

    async def counted() -> bool:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.01)
        return True

    async def scene() -> None:
        app = Starlette(routes=health_routes({"database": counted}))
        assert {
            (await answer).status for answer in [asyncio.ensure_future(get(app, "/readyz")) for _ in range(20)]
        } == {200}
        assert asked == 1
        await get(app, "/readyz")
        assert asked == 2

    asyncio.run(scene())


def test_a_cancelled_request_does_not_affect_the_others() -> None:
    async def slow() -> bool:
        await asyncio.sleep(0.05)
        return True

    async def scene() -> None:
        app = Starlette(routes=health_routes({"database": slow}))
        first, second = (asyncio.create_task(get(app, "/readyz")) for _ in range(2))
        await asyncio.sleep(0.01)
        first.cancel()
        assert (await second).status == 200

    asyncio.run(scene())
