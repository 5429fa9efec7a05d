"""The worker as a process: it starts from its settings, and stops on a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot.settings import Settings
from bot.worker_process import MB, clones_of, policy_of
from tests.builders.patience import PATIENCE_S

WORKER = """
import asyncio, sys
from bot.clock import SystemClock
from bot.github.endpoints import GitHubServer
from bot.jobs.embedded_redis import EmbeddedRedis
from bot.settings import load_settings
from bot.store.database import Database
from bot.store.migrate import migrate
from bot.worker_process import run_worker, worker_parts


async def main() -> None:
    settings = load_settings()
    url = f"sqlite:///{settings.data_dir / 'assay.sqlite'}"
    redis = EmbeddedRedis(settings.data_dir / "redis")
    parts = worker_parts(
        settings,
        database=await Database.open(url),
        redis_url=await redis.start(),
        credentials=lambda: None,
        server=GitHubServer(settings.github_url, settings.api_url, settings.github_api_version),
        clock=SystemClock(),
        calibrations=None,
    )
    await run_worker(parts, on_start=lambda worker: print("started", flush=True))
    await parts.database.close()
    await redis.stop()
    print("stopped", *sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "transformers"}))


migrate(f"sqlite:///{load_settings().data_dir / 'assay.sqlite'}")
asyncio.run(main())
"""


@contextmanager
def worker(folder: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "ASSAY_DATA_DIR": str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_without_credentials_starts_and_stops_on_a_signal(tmp_path: Path, number: int) -> None:
    with worker(tmp_path) as process:
        assert process.stdout is not None
        while (line := process.stdout.readline()) != "started\n":
            assert line, "it ended before it started"
        process.send_signal(number)
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said
        assert said.endswith("stopped\n")


def test_the_settings_become_the_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://user:secret@proxy:8080")
    settings = Settings(data_dir=tmp_path, screening_minutes=5, pack_limit_mb=100, installation_quota_mb=30)
    policy = policy_of(settings)
    assert (policy.screening_s, policy.pack_limit_bytes) == (300, 30 * MB)
    assert policy.proxies["https_proxy"].endswith("proxy:8080")
    assert "secret" not in repr(policy)
    assert not policy.publish_ranking
    assert policy_of(Settings(data_dir=tmp_path, publish_ranking=True)).publish_ranking
    assert clones_of(settings).folder(1, 2).is_relative_to(tmp_path)
