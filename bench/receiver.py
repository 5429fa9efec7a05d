"""How fast deliveries are taken, beside a bare handler in the same run, and what a SIGKILL in the middle costs.

1. the bare handler and `assay web`, in turn: the same load from the same sender      rate, p50, p99
2. SIGKILL of every process under load: is every accepted delivery in the database?   lost deliveries
3. one long load: memory of the web process before and after                          growth
4. start of the web process: time to the first answer, memory                         seconds, MiB
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.figures import Spread
from bench.load import SECRET, Load, send
from tests.builders.app_processes import ASSAY, Deployment, deployment, free_port, settings_for, until
from tests.builders.credentials import credentials

CONNECTIONS = (1, 8, 32)  # deliveries that arrive at once
BUSY = 32


@dataclass(frozen=True)
class Plan:
    rounds: int
    seconds: float  # of each load
    long_deliveries: int


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.receiver", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="pairs of loads")
    parser.add_argument("--seconds", type=float, default=5, help="of each load")
    parser.add_argument("--long", type=int, default=50_000, help="deliveries of the long load")
    options = parser.parse_args(arguments)
    plan = Plan(options.rounds, options.seconds, options.long)
    for line in measure(plan):
        print(line, flush=True)
    return 0


def measure(plan: Plan) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        root = Path(folder)
        yield from starting(root / "starting")
        yield from side_by_side(root, plan)
        yield from killed(root / "killed", plan.seconds)
        yield from long_run(root / "long", plan.long_deliveries)


@contextlib.contextmanager
def web(folder: Path) -> Iterator[Deployment]:
    """`assay web` and the Redis it announces to; nobody works on what arrives."""
    key = credentials(webhook_secret=SECRET)
    environment = settings_for(key, folder, "http://127.0.0.1:9", "http://127.0.0.1:9")
    with deployment(folder, environment) as assay, redis(folder) as url:
        assay.environment["ASSAY_REDIS_URL"] = url
        subprocess.run([ASSAY, "migrate"], env=assay.environment, check=True, capture_output=True)
        yield assay


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    program = shutil.which("redis-server", path=f"{Path(sys.executable).parent}:{'/usr/bin:/usr/local/bin'}")
    assert program, "the benchmark needs a redis-server"
    port = free_port()
    process = subprocess.Popen(
        [
            program,
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(folder),
            "--appendonly",
            "yes",
            "--save",
            "",
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def bare(folder: Path) -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.bare_receiver", str(port), str(folder / "bare.sqlite")])
    try:
        time.sleep(1.5)
        yield port
    finally:
        process.kill()
        process.wait()


def starting(folder: Path) -> Iterator[str]:
    with web(folder) as assay:
        began = time.perf_counter()
        process = assay.start("web")
        until("the first answer", lambda: assay.status("/healthz") == 200, every_s=0.01)
        yield f"web process: first answer after {time.perf_counter() - began:.2f} s, {_mb(process.process.pid):.0f} MiB"
        load = asyncio.run(send("127.0.0.1", assay.port, connections=BUSY, seconds=3))
        yield f"web process: {_mb(process.process.pid):.0f} MiB after {len(load.accepted):,} deliveries"


def side_by_side(root: Path, plan: Plan) -> Iterator[str]:
    for connections in CONNECTIONS:
        ours, theirs = [], []
        for number in range(plan.rounds):
            folder = root / f"{connections}-{number}"
            folder.mkdir(parents=True)
            with bare(folder) as port:
                theirs.append(asyncio.run(send("127.0.0.1", port, connections=connections, seconds=plan.seconds)))
            with web(folder) as assay:
                assay.start("web")
                assay.ready()
                ours.append(asyncio.run(send("127.0.0.1", assay.port, connections=connections, seconds=plan.seconds)))
        yield f"{connections} at once: bare handler  {_loads(theirs)}"
        yield f"{connections} at once: assay web     {_loads(ours)}"
        ratio = Spread.of([mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True)])
        spread = f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
        yield f"{connections} at once: assay / bare  {spread} over {plan.rounds} pairs (target 0.5)"


def killed(folder: Path, seconds: float) -> Iterator[str]:
    """SIGKILL everything in the middle of a load, then look for what was accepted."""

    async def load_and_kill(assay: Deployment) -> Load:
        sending = asyncio.create_task(send("127.0.0.1", assay.port, connections=BUSY, seconds=seconds))
        await asyncio.sleep(seconds / 2)
        assay.kill_everything()
        return await sending

    with web(folder) as assay:
        assay.start("web")
        assay.ready()
        load = asyncio.run(load_and_kill(assay))
        with contextlib.closing(
            sqlite3.connect(next(Path(assay.environment["ASSAY_DATA_DIR"]).glob("*.sqlite")))
        ) as database:
            stored = {row[0] for row in database.execute("SELECT guid FROM deliveries")}
    lost = sum(guid not in stored for guid in load.accepted)
    yield f"SIGKILL: {len(load.accepted):,} deliveries accepted before it, {lost} lost (target 0)"


def long_run(folder: Path, deliveries: int) -> Iterator[str]:
    with web(folder) as assay:
        process = assay.start("web")
        assay.ready()
        figures = []
        for _ in range(4):
            part = send("127.0.0.1", assay.port, connections=BUSY, seconds=600, most=deliveries // 4)
            asyncio.run(part)
            figures.append(_mb(process.process.pid))
        yield (
            f"memory after each quarter of {deliveries:,} deliveries: "
            + ", ".join(f"{mb:.0f}" for mb in figures)
            + " MiB"
        )


def _loads(loads: Sequence[Load]) -> str:
    rate = Spread.of([load.rate for load in loads])
    p50, p99 = (Spread.of([load.quantile_ms(share) for load in loads]).median for share in (0.5, 0.99))
    other = {status: n for load in loads for status, n in load.other.items()}
    return (
        f"{rate.median:,.0f}/s ({rate.low:,.0f} to {rate.high:,.0f}), p50 {p50:.1f} ms, p99 {p99:.1f} ms {other or ''}"
    )


def _mb(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / (1 << 20)


if __name__ == "__main__":
    sys.exit(main())
