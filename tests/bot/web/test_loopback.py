import asyncio

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bot.web.loopback import is_from_here, is_loopback_name, only_from_here
from tests.bot.receiver.asgi import get

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


@pytest.mark.parametrize("host", HERE)
def test_a_name_of_this_machine_is_from_here(host: str) -> None:
    assert is_from_here([host], forwarded=False)
    assert not is_from_here([host], forwarded=True)


@pytest.mark.parametrize("host", ELSEWHERE, ids=ascii)
def test_any_other_name_is_not(host: str) -> None:
    assert not is_from_here([host], forwarded=False)


def test_neither_is_none_nor_two() -> None:
    assert not is_from_here([], forwarded=False)
    assert not is_from_here(["localhost", "localhost"], forwarded=False)


def test_a_name_is_the_loopbacks_without_a_port() -> None:
    assert is_loopback_name("::1")
    assert not is_loopback_name("localhost:80")


@pytest.mark.parametrize("header", ["Forwarded", "Via", "X_Forwarded_For", "X_Forwarded_Host", "X_Real_Ip"])
def test_what_a_proxy_hands_on_is_not_from_here(header: str) -> None:
    async def page(request: Request) -> Response:
        return PlainTextResponse("secret")

    app = Starlette(routes=[Route("/", only_from_here(page))])
    assert asyncio.run(get(app, "/")).status == 200
    assert asyncio.run(get(app, "/", **{header: "127.0.0.1"})).status == 404
    assert asyncio.run(get(app, "/", host="rebound.example")).text == "Not Found"
