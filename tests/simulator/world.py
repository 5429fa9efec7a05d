"""A small setup for the simulator's own tests: an App on acme/shop, its token, and a webhook receiver."""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt

from tests.builders.history import History
from tests.simulator.apps import App, Installation
from tests.simulator.clocks import SettableClock
from tests.simulator.github import GitHub, serve_github
from tests.simulator.repositories import Repository
from tests.simulator.state import Account


@dataclass
class Receiver:
    """Records deliveries as (headers in lower case, body) and responds with `status`."""

    url: str = ""
    status: int = 202
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    before: threading.Event | None = None  # each response waits for it


class _Server(ThreadingHTTPServer):
    request_queue_size = 64  # deliveries arrive concurrently


@contextlib.contextmanager
def receive() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if receiver.before is not None:
                receiver.before.wait(5)
            receiver.taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
            with contextlib.suppress(ConnectionError):
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/webhook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class World:
    github: GitHub
    clock: SettableClock
    receiver: Receiver
    app: App
    acme: Account
    shop: Repository
    installation: Installation
    http: httpx.Client
    token: str = ""

    @property
    def head(self) -> str:
        head = self.shop.head()
        assert head is not None
        return head

    def as_app(self, **claims: object) -> str:
        """Return a JWT of the App, by default valid for five minutes."""
        now = int(self.clock.now().timestamp())
        defaults = {"iss": str(self.app.app_id), "iat": now - 10, "exp": now + 300}
        return jwt.encode({**defaults, **claims}, self.app.private_key, "RS256")

    def ask(self, method: str, path: str, body: object = None, token: str | None = None, **more: Any) -> httpx.Response:
        """Send a request with the installation's token, another one, or none ("")."""
        token = self.token if token is None else token
        headers: Mapping[str, str] = {"authorization": f"Bearer {token}"} if token else {}
        headers = {**headers, **more.pop("headers", {})}
        return self.http.request(method, self.github.api_url + path, json=body, headers=headers, **more)

    def clear_violations(self) -> list[str]:
        """Clear and return the violations so far, which the test expected."""
        violations = list(self.github.violations)
        self.github.violations.clear()
        return violations


def shop_history() -> History:
    history = History()
    first = history.commit("start", {"a.py": "x = 1\n", ".github/assay.yml": "quiet: true\n"})
    history.commit("fix: two", {"a.py": "x = 2\n"})
    history.commit("side", {"b.py": "y = 1\n"}, parents=[first], branch="feature/x")
    return history


@functools.cache
def _written_shop() -> Path:
    """Write the repository, once per process: git takes longer than a whole test."""
    folder = Path(tempfile.mkdtemp(prefix="assay-shop-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return shop_history().write(folder / "shop.git")


@contextlib.contextmanager
def make_world(tmp_path: Path, description: str = "api.github.com") -> Iterator[World]:
    git_dir = tmp_path / "shop.git"
    shutil.copytree(_written_shop(), git_dir)
    clock = SettableClock()
    with (
        receive() as receiver,
        serve_github(tmp_path, clock, description) as github,
        httpx.Client(trust_env=False, timeout=20, verify=False) as http,
    ):
        app = github.register_app(receiver.url)
        acme = github.account("acme", "Organization")
        shop = acme.repository("shop", git_dir, private=True)
        installation = app.install(acme, [shop])
        github.settle()
        receiver.taken.clear()
        yield World(github, clock, receiver, app, acme, shop, installation, http, installation.token())
