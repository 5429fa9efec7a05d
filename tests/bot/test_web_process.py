"""The composed web process: its responses, its footprint, and what it must never import."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bot.clock import SystemClock
from bot.receiver.signature import sign
from bot.records import AppCredentials
from bot.store.database import Database
from bot.web_process import create_app, create_metrics_app, create_pages_app, make_server
from tests.bot.receiver.asgi import Exchange, ask, get
from tests.bot.receiver.payloads import encode, push
from tests.builders.databases import create_database
from tests.builders.patience import PATIENCE_S

MAX_MB = 120
MAX_CPU_S = 2.0
NEVER_IMPORTED = (
    "torch",
    "transformers",
    "peft",
    "numpy",
    "pyarrow",
    "dulwich",
    "tree_sitter",
    "githubkit",
    "arq",
    "alembic",
)


class Redis:
    def __init__(self, up: bool = True) -> None:
        self.up = up
        self.ids: list[int] = []

    async def ping(self) -> bool:
        return self.up

    async def announce_deliveries(self, delivery_ids: Sequence[int]) -> None:
        self.ids += delivery_ids


class Server:
    """A web process inside this one."""

    def __init__(self, url: str, **how: object) -> None:
        self.url = url
        self.redis = Redis()
        self.credentials: AppCredentials | None = None
        self.how = {"on_loopback": True, **how}

    async def _asked(self, path: str, **how: str) -> Exchange:
        database = await Database.open(self.url)
        try:
            app = create_app(
                database=database,
                redis=self.redis,
                clock=SystemClock(),
                credentials=lambda: self.credentials,
                **self.how,  # type: ignore[arg-type]
            )
            async with app.router.lifespan_context(app):
                if path != "/webhook":
                    return await get(app, path, **how)
                body = encode(push())
                headers = {"X-Hub-Signature-256": sign(body, "s3cret"), "X-GitHub-Event": "push"}
                return await ask(app, path, headers=[*headers.items(), ("X-GitHub-Delivery", "g")], chunks=[body])
        finally:
            await database.close()

    def ask(self, path: str, **how: str) -> Exchange:
        return asyncio.run(self._asked(path, **how))


@pytest.fixture
def url(tmp_path: object) -> str:
    made = f"sqlite:///{tmp_path}/assay.db"
    create_database(made)
    return made


def test_the_webhook_works_as_soon_as_there_are_credentials(url: str) -> None:
    server = Server(url)
    assert server.ask("/webhook").status == 503
    server.credentials = AppCredentials(7, "PEM", ("s3cret",))
    assert server.ask("/webhook").status == 202
    assert len(server.redis.ids) == 1


def test_the_process_is_ready_when_database_and_redis_are(url: str) -> None:
    server = Server(url)
    assert server.ask("/readyz", host="assay.example").status == 200
    server.redis.up = False
    assert server.ask("/readyz").json == {"ok": False, "missing": ["redis"]}
    assert server.ask("/healthz").status == 200


def test_pages_exist_on_the_loopback_only(url: str) -> None:
    assert Server(url).ask("/").status == 200
    for path in ("/", "/repos/a/b", "/calibration", "/runs/1", "/metrics"):
        assert Server(url, on_loopback=False).ask(path).status == 404


def test_pages_with_an_address_of_their_own_are_there_and_nowhere_else(url: str) -> None:
    server = Server(url, on_loopback=False, pages_url="http://127.0.0.1:8001")
    for path in ("/", "/?page=2", "/repos/a/b%3C", "/calibration"):
        answer = server.ask(path)
        assert (answer.status, answer.headers["location"]) == (307, f"http://127.0.0.1:8001{path}")
    assert server.ask("/", host="assay.example").status == 404
    assert server.ask("/", X_Forwarded_For="203.0.113.9").status == 404

    async def pages() -> list[int]:
        database = await Database.open(url)
        try:
            app = create_pages_app(database)
            paths = ("/", "/calibration", "/healthz")
            return [(await get(app, path, host)).status for host in ("localhost", "evil.example") for path in paths]
        finally:
            await database.close()

    assert asyncio.run(pages()) == [200, 200, 404, 404, 404, 404]


def test_extra_routes_take_precedence(url: str) -> None:
    async def setup(request: Request) -> Response:
        return PlainTextResponse("set me up")

    assert Server(url, extra_routes=[Route("/", setup)]).ask("/").text == "set me up"


def test_missing_tables_are_a_server_error(tmp_path: object) -> None:
    with pytest.raises(Exception, match="no such table"):  # a mistake of ours: the server answers 500 and logs it
        Server(f"sqlite:///{tmp_path}/empty.db").ask("/")


def test_queue_metrics_are_read_at_each_scrape(url: str) -> None:
    async def scrape() -> str:
        database = await Database.open(url)
        try:
            return (await get(create_metrics_app(database, SystemClock()), "/metrics")).text
        finally:
            await database.close()

    assert "assay_store_up 1.0" in asyncio.run(scrape())


def test_the_server_logs_no_requests_and_trusts_no_proxy(url: str) -> None:
    config = make_server(None, "127.0.0.1", 0).config  # type: ignore[arg-type]
    assert (config.access_log, config.log_config, config.proxy_headers) == (False, None, False)


MEASURED = """
import asyncio, json, sys, time
began = time.process_time()
from bot.clock import SystemClock
from bot.logs import set_up_logs
from bot.store.database import Database
from bot.web_process import create_app, create_metrics_app, make_server

class Redis:
    async def ping(self): return True
    async def announce_deliveries(self, ids): pass

async def main():
    set_up_logs("json")
    database = await Database.open(sys.argv[1])
    app = create_app(database=database, redis=Redis(), clock=SystemClock(), credentials=lambda: None, on_loopback=True)
    create_metrics_app(database, SystemClock())
    server = make_server(app, "127.0.0.1", 0)
    server.config.load()
    seconds = time.process_time() - began
    pages = int(open("/proc/self/statm").read().split()[1]) if sys.platform == "linux" else 0
    await database.close()
    print(json.dumps({"seconds": seconds, "mb": pages * 4096 / 1e6, "modules": list(sys.modules)}))

asyncio.run(main())
"""


def test_the_web_process_is_light_and_imports_no_heavy_libraries(url: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED, url], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    found = json.loads(ran.stdout)
    assert not {name.partition(".")[0] for name in found["modules"]} & set(NEVER_IMPORTED)
    assert found["mb"] < MAX_MB
    assert found["seconds"] < MAX_CPU_S
