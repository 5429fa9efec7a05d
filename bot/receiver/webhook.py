"""`POST /webhook`: verify, reduce, store, answer 202. All the rest is the workers'.

What is not signed is turned away before anything is read of it, stored or written to a log.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from bot.metrics import DELIVERIES, RECEIVER_SECONDS
from bot.receiver.dispatch import EVENTS, job_for
from bot.receiver.events import NotAPayload, parse_event
from bot.receiver.intake import Intake
from bot.receiver.memory import give_back
from bot.receiver.signature import SIGNATURE_HEADER, is_signed, parse_signature
from bot.records import AppCredentials
from bot.store.errors import StoreUnavailable

MOST_BYTES: Final = 25 * 1024 * 1024  # GitHub delivers nothing larger
SMALL_BYTES: Final = 64 * 1024  # nearly all of them; so much of each may be held whatever else is
HUGE_BYTES: Final = 1024 * 1024
MOST_BYTES_AT_ONCE: Final = 2 * MOST_BYTES  # beyond that, of all requests that are being answered
READ_TIMEOUT_S: Final = 30.0  # the longest that any GitHub waits for an answer

_GUID: Final = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)
_EVENT: Final = re.compile(r"[a-z0-9_]{1,64}", re.ASCII)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered, and what it is counted as."""

    status: int
    result: str
    says: str = ""


_UNSIGNED: Final = Answer(401, "unsigned", "not signed with this App's webhook secret")
_TOO_LARGE: Final = Answer(413, "too large", f"a delivery has at most {MOST_BYTES} bytes")
_BUSY: Final = Answer(503, "busy", "too many large deliveries at once")
_SLOW: Final = Answer(408, "slow", f"the body did not arrive within {READ_TIMEOUT_S:.0f} s")
_NOT_SET_UP: Final = Answer(503, "not set up", "this server has no App yet: open its setup page")
_FORM: Final = Answer(415, "form", "set the content type of the App's webhook to application/json")
_ODD_HEADERS: Final = Answer(400, "malformed", "X-GitHub-Delivery or X-GitHub-Event is missing or odd")
_NO_PAYLOAD: Final = Answer(400, "malformed", "the body is not one JSON object")
_NOT_STORED: Final = Answer(503, "unavailable", "the delivery could not be stored")
_IGNORED: Final = Answer(202, "ignored")


class Refused(Exception):
    """The request goes no further than this."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.result)
        self.answer = answer


class Receiver:
    """The endpoint, and how many bytes of large bodies it holds at the moment."""

    def __init__(self, credentials: Callable[[], AppCredentials | None], intake: Intake) -> None:
        self._credentials = credentials
        self._intake = intake
        self._held_bytes = 0

    async def receive(self, request: Request) -> Response:
        began = time.perf_counter()
        try:
            answer = await self._receive(request)
        except Refused as refusal:
            answer = refusal.answer
        event = request.headers.get("x-github-event", "")
        DELIVERIES.labels(event if event in EVENTS else "other", answer.result).inc()
        RECEIVER_SECONDS.observe(time.perf_counter() - began)
        return JSONResponse({"result": answer.result, **({"says": answer.says} if answer.says else {})}, answer.status)

    async def _receive(self, request: Request) -> Answer:
        credentials = self._credentials()
        if credentials is None:
            raise Refused(_NOT_SET_UP)
        digest = parse_signature(request.headers.getlist(SIGNATURE_HEADER))
        if digest is None:
            raise Refused(_UNSIGNED)
        body = bytearray()
        try:
            await self._read(request, body)
            if not is_signed(body, digest, credentials.webhook_secrets):
                raise Refused(_UNSIGNED)
            return await self._take(request, body)
        finally:
            self._held_bytes -= _large(len(body))
            if len(body) > HUGE_BYTES:
                body.clear()
                give_back()

    async def _read(self, request: Request, body: bytearray) -> None:
        """Collect the body, and never more of it than may be."""
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > MOST_BYTES:
            raise Refused(_TOO_LARGE)
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                async for chunk in request.stream():
                    grown = len(body) + len(chunk)
                    if grown > MOST_BYTES:
                        raise Refused(_TOO_LARGE)
                    more = _large(grown) - _large(len(body))
                    if more and self._held_bytes + more > MOST_BYTES_AT_ONCE:
                        raise Refused(_BUSY)
                    body += chunk
                    self._held_bytes += more
        except TimeoutError:
            raise Refused(_SLOW) from None
        except ClientDisconnect:
            raise Refused(_NO_PAYLOAD) from None

    async def _take(self, request: Request, body: bytearray) -> Answer:
        """Reduce and store what is signed."""
        headers = request.headers
        if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return _FORM
        guid, name = headers.get("x-github-delivery", ""), headers.get("x-github-event", "")
        if not _GUID.fullmatch(guid) or not _EVENT.fullmatch(name):
            return _ODD_HEADERS
        if name not in EVENTS:
            return _IGNORED
        try:
            event = parse_event(name, body)
        except NotAPayload:
            return _NO_PAYLOAD
        if job_for(event) is None:
            return _IGNORED
        try:
            taken = await self._intake.take(guid, event)
        except StoreUnavailable as error:
            log.error("a delivery could not be stored", delivery=guid, github_event=name, error=str(error))
            return _NOT_STORED
        log.debug("delivery", delivery=guid, github_event=name, installation=event.installation_id, result=taken)
        return Answer(202, taken)


def _large(size: int) -> int:
    """How much of a body of so many bytes is counted."""
    return max(0, size - SMALL_BYTES)
