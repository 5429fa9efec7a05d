"""Assay as an operator runs it: real processes with a data directory of their own, started, watched and killed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bot.records import AppCredentials
from tests.builders.patience import PATIENCE_S

ASSAY = Path(sys.executable).with_name("assay")
ROOT = Path(__file__).parents[2]
PORTS = range(20_000, 32_000)  # which no system gives to a connection, so that one stays free between two starts


def free_port() -> int:
    """A port that nobody listens on, also for a server that is killed and started again."""
    while True:
        with contextlib.suppress(OSError), socket.socket() as probe:
            port = random.choice(PORTS)
            probe.bind(("127.0.0.1", port))
            return port


def until(what: str, is_so: Callable[[], object], within_s: float = PATIENCE_S, every_s: float = 0.05) -> None:
    """Wait until something is so. Raises AssertionError that says what was waited for."""
    give_up_at_s = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < give_up_at_s, f"not within {within_s:.0f} s: {what}"
        time.sleep(every_s)


@dataclass
class AppProcess:
    """One process of `assay`, and what it says."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    program: tuple[str, ...] = (str(ASSAY),)
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.program, *self.command],
                env=dict(self.environment),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """SIGKILL: no chance to clean up."""
        self.process.kill()
        self.process.wait()

    def family(self) -> list[psutil.Process]:
        """It and every process below it; nothing once it has ended."""
        try:
            own = psutil.Process(self.process.pid)
            return [own, *own.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def stop(self, within_s: float = PATIENCE_S) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{' '.join(self.command)} did not stop; it said:\n{self.said()[-4_000:]}") from None

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""


@dataclass
class Deployment:
    """The settings of one App, and the processes that share them."""

    folder: Path
    environment: dict[str, str]
    port: int
    processes: list[AppProcess] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def webhook_url(self) -> str:
        return f"{self.url}/webhook"

    def start(self, *command: str) -> AppProcess:
        """`assay COMMAND`; `up` and `web` listen on this deployment's port."""
        if command[0] in ("up", "web"):
            command = (*command, "--port", str(self.port))
        process = AppProcess(command, self.environment, self.folder / f"{command[0]}-{len(self.processes)}.log")
        process.start()
        self.processes.append(process)
        return process

    def ready(self, within_s: float = PATIENCE_S) -> None:
        """Wait until the web process answers that it can work."""

        def is_ready() -> bool:
            running = [process for process in self.processes if process.running]
            assert running, f"nothing runs; it said:\n{self.processes[-1].said()[-4_000:]}"
            return self.status("/readyz") == 200

        until(f"{self.url}/readyz", is_ready, within_s)

    def status(self, path: str) -> int:
        """The HTTP status of a GET; 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return 0

    def kill_everything(self) -> None:
        for process in self.processes:
            if process.running:
                process.kill()

    def said(self) -> str:
        return "".join(process.said() for process in self.processes)


def settings_for(credentials: AppCredentials, folder: Path, github_url: str, api_url: str) -> dict[str, str]:
    """The environment of an App that knows these credentials and this GitHub: nothing of the person who runs it."""
    folder.mkdir(parents=True, exist_ok=True)
    key, secret = folder / "app.pem", folder / "webhook.secret"
    for path, content in ((key, credentials.private_key), (secret, credentials.webhook_secrets[0])):
        path.touch(mode=0o600)
        path.write_text(content, encoding="ascii")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return kept | {
        "ASSAY_DATA_DIR": str(folder / "data"),
        "ASSAY_APP_ID": str(credentials.app_id),
        "ASSAY_PRIVATE_KEY_FILE": str(key),
        "ASSAY_WEBHOOK_SECRET_FILE": str(secret),
        "ASSAY_GITHUB_URL": github_url,
        "ASSAY_GITHUB_API_URL": api_url,
        "ASSAY_METRICS_ADDRESS": "off",
        "ASSAY_LOG_FORMAT": "json",
    }


@contextlib.contextmanager
def deployment(folder: Path, environment: Mapping[str, str]) -> Iterator[Deployment]:
    """A deployment without processes yet; whatever was started is gone at the end, and its children with it."""
    folder.mkdir(parents=True, exist_ok=True)
    one = Deployment(folder, dict(environment), free_port())
    try:
        yield one
    finally:
        one.kill_everything()
