import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bot.web.loopback import is_loopback_name, is_loopback_request, loopback_only
from tests.bot.receiver.asgi import get
from tests.rows import each_row

HERE = ["localhost", "LocalHost:8000", "127.0.0.1", "127.0.0.1:80", "127.9.9.9:1", "[::1]", "[::1]:8000", "localhost."]
ELSEWHERE = [
    "",
    ":80",
    "assay.example",
    "localhost.evil.example",
    "127.0.0.1.nip.io",
    "evil.example#localhost",
    "localhost@evil.example",
    "evil@localhost",
    "localhost:x",
    "localhost:99999",
    "localhost/",
    "localhost localhost",
    "[localhost]",
    "::1",
    "[::1",
    "[::2]",
    "10.0.0.1",
    "0.0.0.0",
    "169.254.169.254",
    "2130706433",
    "０.localhost",
    "ｌocalhost",
]


@each_row("host", HERE)
def test_loopback_hosts_are_accepted(host: str) -> None:
    assert is_loopback_request([host], forwarded=False)
    assert not is_loopback_request([host], forwarded=True)


@each_row("host", ELSEWHERE)
def test_other_hosts_are_rejected(host: str) -> None:
    assert not is_loopback_request([host], forwarded=False)


def test_a_request_needs_exactly_one_host() -> None:
    assert not is_loopback_request([], forwarded=False)
    assert not is_loopback_request(["localhost", "localhost"], forwarded=False)


def test_loopback_names_have_no_port() -> None:
    assert is_loopback_name("::1")
    assert not is_loopback_name("localhost:80")


@each_row("header", ["Forwarded", "Via", "X_Forwarded_For", "X_Forwarded_Host", "X_Real_Ip"])
def test_forwarded_requests_are_rejected(header: str) -> None:
    async def page(request: Request) -> Response:
        return PlainTextResponse("secret")

    app = Starlette(routes=[Route("/", loopback_only(page))])
    assert asyncio.run(get(app, "/")).status == 200
    assert asyncio.run(get(app, "/", **{header: "127.0.0.1"})).status == 404
    assert asyncio.run(get(app, "/", host="rebound.example")).text == "Not Found"
