"""`assay up`, `assay web`, `assay worker`: run the App on one machine, or its parts separately."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import structlog
import typer

from bot.cli.variables import require_known, unknown_variables
from bot.logs import set_up_logs
from bot.settings import Settings, load_settings

log = structlog.get_logger(__name__)

# The event loop and the writer thread alternate for every batch of deliveries; Python's default switch interval of 5 ms
# would be most of the time of a delivery.
SWITCH_EVERY_S = 0.0005

Host = Annotated[str, typer.Option("--host", help="Address to listen on; pages are shown only on a loopback address.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object when ready.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65_535, help="Port to listen on; 0: any free port.")]


def up(host: Host = "127.0.0.1", port: Port = 8_000, as_json: AsJson = False) -> None:
    """Run the whole App on this machine: web server, worker, and its own database and Redis.

    Without credentials it first prints the address of a setup page that registers the App on GitHub.
    """
    from bot.cli.server.serve import Roles, serve
    from bot.cli.server.setup_server import listen

    settings = _prepare()
    with listen(host, port) as listening:
        run(serve(settings, Roles(listening, work=True, all_in_one=True, on_ready=_on_ready(as_json))))


def web(host: Host = "127.0.0.1", port: Port = 8_000, as_json: AsJson = False) -> None:
    """Receive webhook deliveries and serve pages. Needs `assay worker`.

    Needs ASSAY_REDIS_URL, and ASSAY_DATABASE_URL if web and worker run on different machines.
    """
    from bot.cli.server.serve import Roles, serve
    from bot.cli.server.setup_server import listen

    settings = _prepare()
    with listen(host, port) as listening:
        run(serve(settings, Roles(listening, on_ready=_on_ready(as_json))))


def worker(as_json: AsJson = False) -> None:
    """Process deliveries: screen repositories and post check runs.

    Start any number of workers, on any number of machines. Needs ASSAY_REDIS_URL.
    """
    from bot.cli.server.serve import Roles, serve

    run(serve(_prepare(), Roles(work=True, on_ready=_on_ready(as_json))))


def _prepare() -> Settings:
    settings = start_settings()
    sys.setswitchinterval(SWITCH_EVERY_S)
    return settings


def start_settings() -> Settings:
    """Load the settings, set up the logs, and name unknown variables. Raises AssayError for a misspelt setting."""
    settings = load_settings()
    set_up_logs(settings.log_format)
    unknown = unknown_variables(os.environ)
    require_known(unknown)
    if unknown:
        log.warning("unknown_settings_ignored", variables=list(unknown))
    return settings


def _on_ready(as_json: bool) -> Callable[[dict[str, object]], None]:
    return _print_line if as_json else lambda ready: None


def _print_line(ready: dict[str, object]) -> None:
    print(json.dumps(ready), flush=True)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's event loop if the `prod` extra is installed, since it takes half the time; else None."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return factory


def run(serving: Coroutine[Any, Any, None]) -> None:
    """Run in a new event loop. Unwraps the first error of an exception group, so that a user error stays one line."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serving)
    except BaseExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
