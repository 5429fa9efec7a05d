"""`assay up`, `assay web`, `assay worker`: the App, whole on one machine or in parts."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from bot.logs import set_up_logs
from bot.settings import Settings, load_settings

# The event loop and the thread that writes hand the interpreter to each other for every batch of deliveries; Python's
# 5 ms of politeness in between would be most of what a delivery takes.
SWITCH_EVERY_S = 0.0005

Host = Annotated[str, typer.Option("--host", help="Where to listen; on a loopback address it also shows pages.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout as soon as it is up.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65_535, help="0: any that is free.")]


def up(host: Host = "127.0.0.1", port: Port = 8_000, as_json: AsJson = False) -> None:
    """Run the whole App on this machine: receiver, pages, worker, a database and a Redis of its own.

    Without credentials it prints the address of a setup page that registers the App on GitHub, and goes on with them.
    """
    from bot.cli.server.serve import Roles, serve
    from bot.cli.server.setup_server import listen

    settings = _begin()
    with listen(host, port) as listening:
        run(serve(settings, Roles(listening, work=True, all_in_one=True, tell=_teller(as_json))))


def web(host: Host = "127.0.0.1", port: Port = 8_000, as_json: AsJson = False) -> None:
    """Receive deliveries and serve pages; `assay worker` does the work.

    Needs ASSAY_REDIS_URL, and ASSAY_DATABASE_URL where the parts run on several machines.
    """
    from bot.cli.server.serve import Roles, serve
    from bot.cli.server.setup_server import listen

    settings = _begin()
    with listen(host, port) as listening:
        run(serve(settings, Roles(listening, tell=_teller(as_json))))


def worker(as_json: AsJson = False) -> None:
    """Do the work that deliveries ask for.

    Screens repositories, posts check runs, follows what happens to them.
    Run as many as you like, on as many machines. Needs ASSAY_REDIS_URL.
    """
    from bot.cli.server.serve import Roles, serve

    run(serve(_begin(), Roles(work=True, tell=_teller(as_json))))


def _begin() -> Settings:
    settings = load_settings()
    set_up_logs(settings.log_format)
    sys.setswitchinterval(SWITCH_EVERY_S)
    return settings


def _teller(as_json: bool) -> Callable[[dict[str, object]], None]:
    return _print_line if as_json else lambda ready: None


def _print_line(ready: dict[str, object]) -> None:
    print(json.dumps(ready), flush=True)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's event loop where the `prod` extra brings it, for it does the same in half the time; else Python's."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return factory


def run(serving: Coroutine[Any, Any, None]) -> None:
    """Raises the first error of a group of tasks as itself, so that a user's mistake stays one line."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serving)
    except BaseExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
