"""`POST /webhook`: verify, reduce and store a delivery, then respond with 202. Workers do the rest.

Unsigned requests are rejected before anything of them is parsed, stored or logged.
"""

from __future__ import annotations

import ctypes
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bot.metrics import DELIVERIES, RECEIVER_SECONDS
from bot.receiver.body import HUGE_BYTES, MAX_BYTES, Bodies, BodyRefused, Reason
from bot.receiver.dispatch import EVENTS, job_for
from bot.receiver.events import MalformedPayload, parse_event
from bot.receiver.intake import Intake
from bot.receiver.signature import SIGNATURE_HEADER, is_signed, parse_signature
from bot.records import AppCredentials
from bot.store.errors import StoreUnavailable
from bot.web.peers import FORWARDED_FOR, Network, peer_of

_GUID: Final = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)
_EVENT: Final = re.compile(r"[a-z0-9_]{1,64}", re.ASCII)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The response to a delivery: its status, the result it is counted as, and an explanation."""

    status: int
    result: str
    says: str = ""


_UNSIGNED: Final = Outcome(401, "unsigned", "not signed with this App's webhook secret")
_TOO_LARGE: Final = Outcome(413, "too large", f"the delivery is larger than {MAX_BYTES} bytes")
_BUSY: Final = Outcome(503, "busy", "too many large deliveries at the same time")
_SLOW: Final = Outcome(408, "slow", "the body did not arrive in time")
_NOT_SET_UP: Final = Outcome(503, "not set up", "no App is registered yet: open the setup page of this server")
_FORM: Final = Outcome(415, "form", "set the content type of the App's webhook to application/json")
_BAD_HEADERS: Final = Outcome(400, "malformed", "X-GitHub-Delivery or X-GitHub-Event is missing or invalid")
_BAD_PAYLOAD: Final = Outcome(400, "malformed", "the body is not a JSON object")
_NOT_STORED: Final = Outcome(503, "unavailable", "the delivery could not be stored")
_IGNORED: Final = Outcome(202, "ignored")
_UNREAD: Final[Mapping[Reason, Outcome]] = {
    "too large": _TOO_LARGE,
    "busy": _BUSY,
    "slow": _SLOW,
    "cut off": _BAD_PAYLOAD,
}
WARN_EVERY_S: Final = 60.0  # of deliveries that are not signed with the App's secret


class Refused(Exception):
    """Raised to reject a request with `outcome`."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.result)
        self.outcome = outcome


class Receiver:
    """The webhook endpoint. Bounds the memory that concurrent large bodies take."""

    def __init__(
        self,
        credentials: Callable[[], AppCredentials | None],
        intake: Intake,
        trusted_proxies: Sequence[Network] = (),
    ) -> None:
        self._credentials = credentials
        self._intake = intake
        self._trusted_proxies = trusted_proxies
        self._bodies = Bodies()
        self._unsigned = 0  # since the last warning
        self._warned_at_s = -WARN_EVERY_S

    async def receive(self, request: Request) -> Response:
        began = time.perf_counter()
        try:
            outcome = await self._receive(request)
        except Refused as refusal:
            outcome = refusal.outcome
        event = request.headers.get("x-github-event", "")
        if outcome is _UNSIGNED and event in EVENTS:
            self._warn(began)
        DELIVERIES.labels(event if event in EVENTS else "other", outcome.result).inc()
        RECEIVER_SECONDS.observe(time.perf_counter() - began)
        body = {"result": outcome.result, **({"says": outcome.says} if outcome.says else {})}
        return JSONResponse(body, outcome.status)

    async def _receive(self, request: Request) -> Outcome:
        credentials = self._credentials()
        if credentials is None:
            raise Refused(_NOT_SET_UP)
        digest = parse_signature(request.headers.getlist(SIGNATURE_HEADER))
        if digest is None:
            raise Refused(_UNSIGNED)
        with self._bodies.hold(self._peer(request)) as body:
            try:
                await self._bodies.read(request, body)
                if not is_signed(body.data, digest, credentials.webhook_secrets):
                    raise Refused(_UNSIGNED)
                return await self._take(request, body.data)
            except BodyRefused as refusal:
                raise Refused(_UNREAD[refusal.reason]) from None
            finally:
                if len(body.data) > HUGE_BYTES:
                    body.data.clear()
                    release_memory()

    def _peer(self, request: Request) -> str:
        address = request.client.host if request.client else ""
        return peer_of(address, request.headers.getlist(FORWARDED_FOR), self._trusted_proxies)

    def _warn(self, now_s: float) -> None:
        """Log, at most once a minute, what a wrong secret and a forger have in common."""
        self._unsigned += 1
        if now_s - self._warned_at_s < WARN_EVERY_S:
            return
        to_do = "if they are GitHub's, the webhook secret on the App's page is not Assay's: assay doctor tells"
        log.warning("deliveries_with_a_wrong_signature", count=self._unsigned, to_do=to_do)
        self._unsigned, self._warned_at_s = 0, now_s

    async def _take(self, request: Request, body: bytearray) -> Outcome:
        """Reduce and store a signed delivery."""
        headers = request.headers
        if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return _FORM
        guid, name = headers.get("x-github-delivery", ""), headers.get("x-github-event", "")
        if not _GUID.fullmatch(guid) or not _EVENT.fullmatch(name):
            return _BAD_HEADERS
        if name not in EVENTS:
            return _IGNORED
        try:
            event = parse_event(name, body)
        except MalformedPayload:
            return _BAD_PAYLOAD
        if job_for(event) is None:
            return _IGNORED
        try:
            result = await self._intake.take(guid, event)
        except StoreUnavailable as error:
            log.error("a delivery could not be stored", delivery=guid, github_event=name, error=str(error))
            return _NOT_STORED
        log.debug("delivery", delivery=guid, github_event=name, installation=event.installation_id, result=result)
        return Outcome(202, result)


def release_memory() -> None:
    """Return freed memory to the system: glibc would keep what parsing a payload of 25 MB took.

    Takes less than a millisecond; does nothing with other C libraries.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, or, as on Windows, none to look up
        return None
    return trim
