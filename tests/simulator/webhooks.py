"""Webhook deliveries: signed, sent in the background, listed, and redelivered with the same guid."""

from __future__ import annotations

import asyncio
import concurrent.futures
import hashlib
import hmac
import json
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from tests.simulator.apps import App
    from tests.simulator.github import GitHub

KEPT_FOR = timedelta(days=3)
TIMEOUT_S, ENTERPRISE_TIMEOUT_S = 10.0, 30.0
_AT_ONCE = 20


@dataclass
class Delivery:
    """One attempt to deliver an event. Redeliveries share its `guid`."""

    delivery_id: int
    guid: str  # X-GitHub-Delivery
    app: App = field(repr=False)
    event: str
    action: str
    installation_id: int
    repository_id: int
    payload: dict[str, Any] = field(repr=False)
    url: str
    delivered_at: datetime
    redelivery: bool = False
    status: str = ""  # "OK" where it was taken
    status_code: int = 0
    duration_s: float = 0.0
    request_headers: dict[str, str] = field(default_factory=dict, repr=False)
    response_headers: dict[str, str] = field(default_factory=dict, repr=False)
    response_text: str = field(default="", repr=False)
    done: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def content(self) -> bytes:
        """The body, as sent and signed."""
        return json.dumps(self.payload, separators=(",", ":")).encode()

    @property
    def was_taken(self) -> bool:
        return 200 <= self.status_code < 300

    def wait(self, timeout_s: float = 15.0) -> Delivery:
        """Wait for the response. Raises AssertionError after the timeout."""
        assert self.done.wait(timeout_s), f"{self.event} {self.action} was never answered"
        return self


def signatures(secret: str, content: bytes) -> dict[str, str]:
    """Return the two signature headers for a body."""
    return {
        f"X-Hub-Signature{suffix}": f"{name}={hmac.new(secret.encode(), content, name).hexdigest()}"
        for suffix, name in (("", "sha1"), ("-256", "sha256"))
    }


class Webhooks:
    """Sends deliveries on the server's event loop, concurrently and in no guaranteed order."""

    def __init__(self, github: GitHub) -> None:
        self._github = github
        self.sent: list[Delivery] = []
        self.held: list[Delivery] = []
        self.deliver_now = True
        self.outage = False  # GitHub's own: events are noted as failed and never reach the App
        self.timeout_s = ENTERPRISE_TIMEOUT_S if github.description.is_enterprise else TIMEOUT_S
        self._running: set[concurrent.futures.Future[None]] = set()
        self._client: httpx.AsyncClient | None = None

    def deliver(
        self, app: App, event: str, action: str, payload: Mapping[str, Any], installation_id: int, repository_id: int
    ) -> Delivery:
        """Create a delivery and send it, or hold it while `deliver_now` is off."""
        body = {**({"action": action} if action else {}), **payload}
        delivery = Delivery(
            delivery_id=self._github.ids.next("delivery"),
            guid=str(uuid.uuid4()),
            app=app,
            event=event,
            action=action,
            installation_id=installation_id,
            repository_id=repository_id,
            payload=body,
            url=app.webhook_url,
            delivered_at=self._github.clock.now(),
        )
        if self.deliver_now:
            self._start(delivery)
        else:
            self.held.append(delivery)
        return delivery

    def release(self) -> list[Delivery]:
        """Send all held deliveries."""
        held, self.held = self.held, []
        for delivery in held:
            self._start(delivery)
        return held

    def redeliver(self, delivery: Delivery, times: int = 1) -> list[Delivery]:
        """Redeliver with the same guid, `times` times concurrently."""
        return [self._again(delivery) for _ in range(times)]

    def _again(self, delivery: Delivery) -> Delivery:
        again = replace(
            delivery,
            delivery_id=self._github.ids.next("delivery"),
            url=delivery.app.webhook_url,
            delivered_at=self._github.clock.now(),
            redelivery=True,
            status="",
            status_code=0,
            duration_s=0.0,
            request_headers={},
            response_headers={},
            response_text="",
            done=threading.Event(),
        )
        self._start(again)
        return again

    def kept(self, app: App) -> list[Delivery]:
        """Return an App's finished deliveries of the last three days, newest first, as the API lists them."""
        since = self._github.clock.now() - KEPT_FOR
        return [
            each
            for each in reversed(self.sent)
            if each.app is app and each.delivered_at >= since and each.done.is_set()
        ]

    def settle(self, timeout_s: float = 15.0) -> None:
        """Wait for the responses to all deliveries. Raises AssertionError after the timeout."""
        deadline = time.monotonic() + timeout_s
        for delivery in list(self.sent):
            delivery.wait(max(0.0, deadline - time.monotonic()))

    def _start(self, delivery: Delivery) -> None:
        self.sent.append(delivery)
        if not delivery.url:  # an App without a webhook
            self.sent.remove(delivery)
            delivery.done.set()
        elif self.outage:
            delivery.status, delivery.status_code = "Service Unavailable", 503
            delivery.done.set()
        else:
            future = asyncio.run_coroutine_threadsafe(self._send(delivery), self._github.loop)
            self._running.add(future)
            future.add_done_callback(self._running.discard)

    def headers(self, delivery: Delivery, content: bytes) -> dict[str, str]:
        app = delivery.app
        headers = {
            "Accept": "*/*",
            "Content-Type": "application/json",
            "User-Agent": f"GitHub-Hookshot/{hashlib.sha1(content).hexdigest()[:7]}",
            "X-GitHub-Delivery": delivery.guid,
            "X-GitHub-Event": delivery.event,
            "X-GitHub-Hook-ID": str(app.hook_id),
            "X-GitHub-Hook-Installation-Target-ID": str(app.app_id),
            "X-GitHub-Hook-Installation-Target-Type": "integration",
            **signatures(app.webhook_secret, content),
        }
        if self._github.description.is_enterprise:
            headers["X-GitHub-Enterprise-Host"] = self._github.url.partition("://")[2]
            headers["X-GitHub-Enterprise-Version"] = self._github.enterprise_version
        return headers

    async def _send(self, delivery: Delivery) -> None:
        if self._client is None:
            limits = httpx.Limits(max_connections=_AT_ONCE, keepalive_expiry=2.0)
            self._client = httpx.AsyncClient(limits=limits, trust_env=False, verify=False)
        content = delivery.content
        delivery.request_headers = self.headers(delivery, content)
        started = time.monotonic()
        timeout = httpx.Timeout(self.timeout_s, pool=None)
        try:
            response = await self._client.post(
                delivery.url, content=content, headers=delivery.request_headers, timeout=timeout
            )
        except httpx.TimeoutException:
            delivery.status, delivery.status_code = "timed out", 504
        except httpx.TransportError:
            delivery.status, delivery.status_code = "failed to connect to host", 502
        else:
            delivery.status_code = response.status_code
            delivery.status = "OK" if response.is_success else f"Invalid HTTP Response: {response.status_code}"
            delivery.response_headers, delivery.response_text = dict(response.headers), response.text
        finally:
            delivery.duration_s = time.monotonic() - started
            delivery.done.set()

    async def close(self) -> None:
        for future in list(self._running):
            future.cancel()
        await asyncio.sleep(0)
        if self._client is not None:
            await self._client.aclose()
