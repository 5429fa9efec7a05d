import io
import json
import logging
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from bot.logs import set_up_logs

TOKEN = "ghs_16C7e42F292c6912E7710c838347Ae178B4a"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOjd9.c2lnbmF0dXJl"

Format = Literal["console", "json"]


class Log:
    """What was said, in one of the two forms."""

    def __init__(self, log_format: Format) -> None:
        self.stream = io.StringIO()
        set_up_logs(log_format, stream=self.stream)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def loggers_as_they_were() -> Iterator[None]:
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    structlog.reset_defaults()
    for name in ("httpx", "httpcore", "hishel", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.NOTSET)


pytestmark = pytest.mark.usefixtures("loggers_as_they_were")
each_format = pytest.mark.parametrize("log_format", ["console", "json"])


def test_a_line_includes_bound_values_and_its_logger() -> None:
    log = Log("json")
    with bound_contextvars(delivery="72d3162e", installation=10):
        structlog.get_logger("bot.x").info("delivery", result="stored")
    (line,) = log.lines
    del line["timestamp"]
    assert line == {
        "event": "delivery",
        "result": "stored",
        "delivery": "72d3162e",
        "installation": 10,
        "level": "info",
        "logger": "bot.x",
    }


def test_the_standard_library_logs_in_the_same_format() -> None:
    log = Log("json")
    with bound_contextvars(delivery="72d3162e"):
        logging.getLogger("uvicorn.error").info("Started server process [%d]", 3)
    assert (log.lines[0]["event"], log.lines[0]["delivery"]) == ("Started server process [3]", "72d3162e")


@each_format
def test_urls_statements_and_requests_are_not_logged(log_format: Format) -> None:
    log = Log(log_format)
    for name in ("httpx", "httpcore.http11", "hishel", "uvicorn.access"):
        logging.getLogger(name).error("GET %s", "https://api.github.com/repos/acme/shop")
    for name in ("sqlalchemy.engine.Engine", "arq.worker", "aiosqlite"):
        logging.getLogger(name).info("INSERT INTO deliveries")
    structlog.get_logger().debug("acme/shop")
    assert log.text == ""


@each_format
def test_a_library_with_its_own_handler_logs_once(log_format: Format) -> None:
    own = io.StringIO()
    logger = logging.getLogger("uvicorn")
    logger.addHandler(logging.StreamHandler(own))
    logger.propagate = False
    log = Log(log_format)
    set_up_logs(log_format, stream=log.stream)
    logger.warning("slow")
    assert own.getvalue() == ""
    assert log.text.count("slow") == 1


@each_format
def test_a_traceback_shows_no_local_variables(log_format: Format) -> None:
    log = Log(log_format)

    def fail(value: str) -> None:
        inner = value * 2
        raise ValueError(f"{len(inner)} characters")

    try:
        fail("hunter2")
    except ValueError:
        structlog.get_logger().exception("broke")
        logging.getLogger("asyncio").exception("broke")
    assert log.text.count("14 characters") >= 2
    assert "hunter2hunter2" not in log.text
    assert '"locals"' not in log.text


@each_format
@pytest.mark.parametrize("secret", [TOKEN, PEM, JWT, "github_pat_11ABCDEFG0123456789", "hunter2"])
def test_secrets_are_redacted(log_format: Format, secret: str) -> None:
    log = Log(log_format)
    said = f"https://x:{secret}@github.com/acme/shop.git" if secret == "hunter2" else f"got {secret}, gave up"
    structlog.get_logger().warning(said, detail=said, inner={"deep": [said]})
    try:
        raise RuntimeError(said)
    except RuntimeError:
        logging.getLogger("uvicorn.error").exception("%s", said)
    telling = max(secret.splitlines(), key=lambda line: len(line) * ("-" not in line)) if secret == PEM else secret
    assert telling not in without_source(log.text)
    assert "[secret]" in log.text


def without_source(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if "said" not in line or "secret" not in line)


@each_format
def test_control_characters_are_escaped(log_format: Format) -> None:
    log = Log(log_format)
    hostile = "acme/\x1b[2Jshop\r\n2026-11-22 [info] all is well\u202e"
    structlog.get_logger().warning(hostile, name=hostile)
    logging.getLogger("uvicorn.error").warning("%s", hostile)
    assert len(log.text.splitlines()) == 2
    assert not {"\x1b", "\r", "\u202e"} & set(log.text)
    try:
        raise ValueError(hostile)
    except ValueError:
        structlog.get_logger().exception("broke")
    assert not {"\x1b", "\r", "\u202e"} & set(log.text)


def test_objects_are_rendered_by_type() -> None:
    class Key:
        def __repr__(self) -> str:
            return "hunter2"

    log = Log("json")
    structlog.get_logger().info("made", key=Key())
    assert log.lines[0]["key"] == "<Key>"
