"""Wake-ups: arq jobs of one row id each, which hint that there may be work. The database is the source of truth.

A lost, duplicated or forged wake-up does no harm, because its receiver asks the database what to do. Wake-ups are JSON;
anything else in Redis under the name of one is refused and counted, and never unpickled.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import structlog
from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import parse_url
from redis.exceptions import RedisError

from bot.jobs.lanes import Lane
from pipeline.records import AssayError

log = structlog.get_logger(__name__)

Queue = Literal["deliver", "light", "screen", "gpu"]
QUEUES: Final[dict[Queue, str]] = {
    "deliver": "assay:deliver",
    "light": "assay:light",
    "screen": "assay:screen",
    "gpu": "assay:gpu",
}
FUNCTIONS: Final = ("deliver", "work", "train")

WAKEUP_LIVES_MS: Final = 3_600_000  # by then the sweeper has created another
MAX_WAKEUP_BYTES: Final = 256
MAX_ID: Final = 2**63 - 1
MAX_MS: Final = 2**53
REDIS_SCHEMES: Final = ("redis://", "rediss://", "unix://")
CONNECT_TIMEOUT_S: Final = 1.0
RESPONSE_TIMEOUT_S: Final = 5.0
PAUSE_AFTER_FAILURE_S: Final = 1.0  # or every delivery would wait for the timeouts of a dead Redis

REDIS_ERRORS: Final = (RedisError, OSError, TimeoutError)


class RefusedWakeup(ValueError):
    """An entry in Redis is not one of our wake-ups."""


def render_wakeup(function: str, row_id: int, at_ms: int) -> bytes:
    """Render a wake-up as arq reads its jobs."""
    return dump({"t": None, "f": function, "a": [row_id], "k": {}, "et": at_ms})


def dump(job: dict[str, Any]) -> bytes:
    """Serialize for arq. It also serializes results, which are never kept, so those become empty."""
    return b"{}" if "s" in job else json.dumps(job, separators=(",", ":"), allow_nan=False).encode()


def parse_wakeup(raw: bytes, functions: Sequence[str] = FUNCTIONS) -> dict[str, Any]:
    """Deserialize for arq. Raises RefusedWakeup for anything that `render_wakeup` does not produce."""
    job = _parse_json(raw)
    if not isinstance(job, dict) or job.keys() != {"t", "f", "a", "k", "et"}:
        raise RefusedWakeup("not a wake-up")
    if job["f"] not in functions or job["t"] is not None or job["k"] != {}:
        raise RefusedWakeup("not a wake-up of ours")
    if type(job["a"]) is not list or len(job["a"]) != 1 or not _is_number(job["a"][0], 1, MAX_ID):
        raise RefusedWakeup("not a wake-up for one row")
    if not _is_number(job["et"], 0, MAX_MS):
        raise RefusedWakeup("a wake-up without a time")
    return job


def _parse_json(raw: bytes) -> object:
    if len(raw) > MAX_WAKEUP_BYTES:
        raise RefusedWakeup("too long for a wake-up")
    try:
        return json.loads(raw.decode("ascii"))
    except (ValueError, RecursionError):
        raise RefusedWakeup("not JSON") from None


def _is_number(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def parse_counting(refused: Callable[[], None], function: str) -> Callable[[bytes], dict[str, Any]]:
    """Return a `parse_wakeup` for a single function that calls `refused` for each refused wake-up."""

    def parse(raw: bytes) -> dict[str, Any]:
        try:
            return parse_wakeup(raw, (function,))
        except RefusedWakeup:
            refused()
            raise

    return parse


def require_redis_url(url: str) -> str:
    """Return the URL. Raises AssayError, without quoting it, unless it is one of a Redis."""
    try:
        parts = urlsplit(url)
        known = url.startswith(REDIS_SCHEMES) and (parts.path if parts.scheme == "unix" else parts.hostname)
        if known and (parts.scheme == "unix" or parts.port != 0):
            parse_url(url)
            return url
        why = "is not the URL of a Redis"
    except ValueError:  # an invalid port, or an invalid value in the query
        why = "holds an invalid port or option"
    raise AssayError(f"ASSAY_REDIS_URL {why}: write redis://HOST:PORT, rediss://HOST:PORT or unix:///PATH")


def open_redis(
    url: str, queue: Queue | None = None, parse: Callable[[bytes], dict[str, Any]] = parse_wakeup
) -> ArqRedis:
    """Return a client that connects on first use. `url`: redis://, rediss:// or unix://. Raises AssayError."""
    pool: ConnectionPool = ConnectionPool.from_url(
        require_redis_url(url), socket_connect_timeout=CONNECT_TIMEOUT_S, socket_timeout=RESPONSE_TIMEOUT_S
    )
    return ArqRedis(
        pool,
        job_serializer=dump,
        job_deserializer=parse,
        default_queue_name=QUEUES[queue or "light"],
        expires_extra_ms=WAKEUP_LIVES_MS,
    )


class Wakeups:
    """Announce rows. Redis errors are logged and not raised: the sweeper announces the rows later."""

    def __init__(self, url: str) -> None:
        self._redis = open_redis(url)
        self._quiet_until_s = 0.0

    async def announce_deliveries(self, delivery_ids: Sequence[int], *, unless_waiting: bool = False) -> None:
        """Send a wake-up for each; with `unless_waiting`, only as many as are missing from the queue."""
        await self._announce("deliver", "deliver", delivery_ids, only_missing=unless_waiting)

    async def announce_jobs(self, lane: Lane, job_ids: Sequence[int]) -> None:
        """Top up the queue to one wake-up per job; any wake-up of a lane runs any of its jobs."""
        await self._announce(lane, "work", job_ids, only_missing=True)

    async def announce_runs(self, run_ids: Sequence[int]) -> None:
        """Top up the GPU workers' queue to one wake-up per run; the database decides whose turn it is."""
        await self._announce("gpu", "train", run_ids, only_missing=True)

    async def waiting(self, queue: Queue) -> int:
        """Count the waiting wake-ups. Raises one of REDIS_ERRORS."""
        return int(await self._redis.zcount(QUEUES[queue], "-inf", time.time_ns() // 1_000_000))

    async def ping(self) -> bool:
        """Return whether Redis responds."""
        try:
            return bool(await self._redis.ping())
        except REDIS_ERRORS:
            return False

    async def close(self) -> None:
        await self._redis.aclose(close_connection_pool=True)

    async def _announce(
        self, queue: Queue, function: str, row_ids: Sequence[int], *, only_missing: bool = False
    ) -> None:
        if not row_ids or time.monotonic() < self._quiet_until_s:
            return
        try:
            if only_missing:
                row_ids = row_ids[: max(0, len(row_ids) - await self.waiting(queue))]
            await self._put(queue, function, row_ids)
        except REDIS_ERRORS as error:
            self._quiet_until_s = time.monotonic() + PAUSE_AFTER_FAILURE_S
            log.warning("redis_unavailable", problem=type(error).__name__, wakeups=len(row_ids))

    async def _put(self, queue: Queue, function: str, row_ids: Sequence[int]) -> None:
        """Enqueue in one round trip. The random suffix tells a wake-up from an older one that is in progress."""
        if not row_ids:
            return
        now_ms = time.time_ns() // 1_000_000
        names = {f"{function[0]}:{row_id}:{secrets.token_hex(4)}": row_id for row_id in row_ids}
        async with self._redis.pipeline(transaction=True) as pipe:
            for name, row_id in names.items():
                pipe.psetex(job_key_prefix + name, WAKEUP_LIVES_MS, render_wakeup(function, row_id, now_ms))
            pipe.zadd(QUEUES[queue], dict.fromkeys(names, now_ms))
            await pipe.execute()
