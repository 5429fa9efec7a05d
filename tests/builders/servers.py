"""PostgreSQL and Redis servers of a test's own, to be killed and restarted. Fails where the programs are missing."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.builders.app_processes import free_port
from tests.builders.patience import PATIENCE_S

_ANSWERS_EVERY_S = 0.05


@dataclass
class Server:
    """A server program with its data in a folder, which outlives its process."""

    url: str
    command: Sequence[str]
    ping: Sequence[str]  # a command that ends with 0 once the server answers
    folder: Path
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        give_up_at_s = time.monotonic() + PATIENCE_S
        while subprocess.run(self.ping, capture_output=True, check=False).returncode:
            assert self.process.poll() is None, f"{self.command[0]} ended:\n{self.log.read_text(errors='replace')}"
            assert time.monotonic() < give_up_at_s, f"{self.command[0]} does not answer"
            time.sleep(_ANSWERS_EVERY_S)

    def kill(self) -> None:
        """SIGKILL, in the middle of whatever it is doing; the processes that it started die with it."""
        if self.process.poll() is None:
            family = psutil.Process(self.process.pid).children(recursive=True)
            self.process.kill()
            for each in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            psutil.wait_procs(family, PATIENCE_S)
        self.process.wait()


@contextlib.contextmanager
def redis_server(program: Path | None = None) -> Iterator[Server]:
    """A Redis that remembers its queue on disk; the one on PATH unless another program is named."""
    program = program or Path(shutil.which("redis-server") or "")
    assert program.is_file(), "make test-services needs redis-server (Debian: apt install redis-server)"
    port = str(free_port())
    with tempfile.TemporaryDirectory(prefix="assay-redis-") as folder:
        server = Server(
            f"redis://127.0.0.1:{port}/0",
            (str(program), "--bind", "127.0.0.1", "--port", port, "--dir", folder, "--save", "", "--appendonly", "yes"),
            (str(program.with_name("redis-cli")), "-p", port, "ping"),
            Path(folder),
        )
        with _running(server):
            yield server


@contextlib.contextmanager
def postgres_server() -> Iterator[Server]:
    """A PostgreSQL cluster of its own, with an empty database `assay`."""
    programs = _postgres_programs()
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    as_user = ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups") if os.geteuid() == 0 else ()
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="assay-postgres-"))
    try:
        if as_user:
            shutil.chown(folder, user, user)
        data = folder / "data"
        subprocess.run(
            (*as_user, programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "--no-locale"),
            check=True, capture_output=True, cwd="/",
        )  # fmt: skip
        address = ("-h", "127.0.0.1", "-p", str(port), "-U", "postgres")
        server = Server(
            f"postgresql://postgres@127.0.0.1:{port}/assay",
            (*as_user, str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", "", "-h", "127.0.0.1"),
            (str(programs / "pg_isready"), *address),
            folder,
        )
        with _running(server):
            subprocess.run((programs / "createdb", *address, "assay"), check=True, capture_output=True)
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _running(server: Server) -> Iterator[None]:
    try:
        server.start()
        yield
    finally:
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGQUIT if "postgres" in server.url else signal.SIGTERM)
        try:
            server.process.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


def _postgres_programs() -> Path:
    found = shutil.which("initdb")
    places = [*([str(Path(found).resolve().parent)] if found else []), *sorted(glob.glob("/usr/lib/postgresql/*/bin"))]
    assert places, "make test-services needs PostgreSQL's programs (Debian: apt install postgresql)"
    return Path(places[-1])
