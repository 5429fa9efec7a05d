"""Wakeups: arq jobs of one row id each, which only say that there may be something to do. The database is the truth.

A wake-up may be lost, doubled or forged without harm: whoever takes one asks the database what is to be done. Wakeups
are JSON; whatever else lies in Redis under the name of one is refused and counted, and never unpickled.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import structlog
from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from bot.jobs.lanes import Lane

log = structlog.get_logger(__name__)

Queue = Literal["deliver", "light", "screen", "gpu"]
QUEUES: Final[dict[Queue, str]] = {
    "deliver": "assay:deliver",
    "light": "assay:light",
    "screen": "assay:screen",
    "gpu": "assay:gpu",
}
FUNCTIONS: Final = ("deliver", "work", "train")

WAKEUP_LIVES_MS: Final = 3_600_000  # then it is worth nothing; the sweeper will have made another
LONGEST_WAKEUP_BYTES: Final = 256
LAST_ID: Final = 2**63 - 1
LAST_MS: Final = 2**53
CONNECT_TIMEOUT_S: Final = 1.0
ANSWER_TIMEOUT_S: Final = 5.0
PAUSE_AFTER_FAILURE_S: Final = 1.0  # without which every delivery would wait for the timeouts of a dead Redis

REDIS_IS_AWAY: Final = (RedisError, OSError, TimeoutError)


class RefusedWakeup(ValueError):
    """What lies in Redis is no wake-up of ours."""


def render_wakeup(function: str, row_id: int, at_ms: int) -> bytes:
    """The wake-up in the form in which arq reads its jobs."""
    return dump({"t": None, "f": function, "a": [row_id], "k": {}, "et": at_ms})


def dump(job: dict[str, Any]) -> bytes:
    """arq's serializer. It also asks for results, which are never kept: nothing of one is written."""
    return b"{}" if "s" in job else json.dumps(job, separators=(",", ":"), allow_nan=False).encode()


def parse_wakeup(raw: bytes, functions: Sequence[str] = FUNCTIONS) -> dict[str, Any]:
    """arq's deserializer. Raises RefusedWakeup for everything that `render_wakeup` does not write."""
    job = _parse_json(raw)
    if not isinstance(job, dict) or job.keys() != {"t", "f", "a", "k", "et"}:
        raise RefusedWakeup("not a wake-up")
    if job["f"] not in functions or job["t"] is not None or job["k"] != {}:
        raise RefusedWakeup("not a wake-up of ours")
    if type(job["a"]) is not list or len(job["a"]) != 1 or not _is_number(job["a"][0], 1, LAST_ID):
        raise RefusedWakeup("not a wake-up for one row")
    if not _is_number(job["et"], 0, LAST_MS):
        raise RefusedWakeup("a wake-up without a time")
    return job


def _parse_json(raw: bytes) -> object:
    if len(raw) > LONGEST_WAKEUP_BYTES:
        raise RefusedWakeup("too long for a wake-up")
    try:
        return json.loads(raw.decode("ascii"))
    except (ValueError, RecursionError):
        raise RefusedWakeup("not JSON") from None


def _is_number(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def counting(refused: Callable[[], None], function: str) -> Callable[[bytes], dict[str, Any]]:
    """`parse_wakeup` for one function alone, which calls `refused` for each wake-up that it refuses."""

    def parse(raw: bytes) -> dict[str, Any]:
        try:
            return parse_wakeup(raw, (function,))
        except RefusedWakeup:
            refused()
            raise

    return parse


def open_redis(
    url: str, queue: Queue | None = None, parse: Callable[[bytes], dict[str, Any]] = parse_wakeup
) -> ArqRedis:
    """A client that connects when it is first used. `url`: redis://, rediss:// or unix://."""
    pool: ConnectionPool = ConnectionPool.from_url(
        url, socket_connect_timeout=CONNECT_TIMEOUT_S, socket_timeout=ANSWER_TIMEOUT_S
    )
    return ArqRedis(
        pool,
        job_serializer=dump,
        job_deserializer=parse,
        default_queue_name=QUEUES[queue or "light"],
        expires_extra_ms=WAKEUP_LIVES_MS,
    )


class Wakeups:
    """Announces rows. Where Redis is away that is logged and nothing is raised: the sweeper announces them later."""

    def __init__(self, url: str) -> None:
        self._redis = open_redis(url)
        self._silent_until_s = 0.0

    async def announce_deliveries(self, delivery_ids: Sequence[int], *, unless_waiting: bool = False) -> None:
        """One wake-up for each; `unless_waiting`: none where as many wait already, which may be theirs."""
        await self._announce("deliver", "deliver", delivery_ids, only_missing=unless_waiting)

    async def announce_jobs(self, lane: Lane, job_ids: Sequence[int]) -> None:
        """See to it that at least as many wake-ups wait as there are `job_ids`: any wake-up of a lane does any job."""
        await self._announce(lane, "work", job_ids, only_missing=True)

    async def announce_runs(self, run_ids: Sequence[int]) -> None:
        """The same for GPU workers: whoever takes a wake-up asks the database whose turn it is."""
        await self._announce("gpu", "train", run_ids, only_missing=True)

    async def waiting(self, queue: Queue) -> int:
        """How many wake-ups wait. Raises one of REDIS_IS_AWAY."""
        return int(await self._redis.zcount(QUEUES[queue], "-inf", time.time_ns() // 1_000_000))

    async def ping(self) -> bool:
        """Whether Redis answers."""
        try:
            return bool(await self._redis.ping())
        except REDIS_IS_AWAY:
            return False

    async def close(self) -> None:
        await self._redis.aclose(close_connection_pool=True)

    async def _announce(
        self, queue: Queue, function: str, row_ids: Sequence[int], *, only_missing: bool = False
    ) -> None:
        if not row_ids or time.monotonic() < self._silent_until_s:
            return
        try:
            if only_missing:
                row_ids = row_ids[: max(0, len(row_ids) - await self.waiting(queue))]
            await self._put(queue, function, row_ids)
        except REDIS_IS_AWAY as error:
            self._silent_until_s = time.monotonic() + PAUSE_AFTER_FAILURE_S
            log.warning("redis_is_away", problem=type(error).__name__, wakeups=len(row_ids))

    async def _put(self, queue: Queue, function: str, row_ids: Sequence[int]) -> None:
        """All in one round trip. The random end keeps a wake-up apart from an older one that is being worked on."""
        if not row_ids:
            return
        now_ms = time.time_ns() // 1_000_000
        names = {f"{function[0]}:{row_id}:{secrets.token_hex(4)}": row_id for row_id in row_ids}
        async with self._redis.pipeline(transaction=True) as pipe:
            for name, row_id in names.items():
                pipe.psetex(job_key_prefix + name, WAKEUP_LIVES_MS, render_wakeup(function, row_id, now_ms))
            pipe.zadd(QUEUES[queue], dict.fromkeys(names, now_ms))
            await pipe.execute()
