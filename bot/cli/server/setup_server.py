"""Serve the setup page until the App is registered."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import sys
from collections.abc import Callable
from functools import partial

from bot.cli.app_settings import github_server
from bot.clock import SystemClock
from bot.github.credentials import require_private_folder
from bot.records import AppCredentials
from bot.settings import Settings
from bot.setup.manifest_exchange import register
from bot.setup.page import SetupState, setup_app
from bot.web_process import make_server
from pipeline.records import AssayError

BACKLOG = 2_048  # pending connections


def serve_setup(settings: Settings, host: str, port: int) -> AppCredentials:
    """Print the page's address, wait until the App is registered, and return the credentials, which are then stored.

    Raises AssayError if the page cannot be served.
    """
    with listen(host, port) as listening:
        return asyncio.run(_serve(settings, listening))


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0: any free port. Raises AssayError, for example if the port is in use."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
        # With an explicit protocol: otherwise asyncio leaves Nagle's algorithm on, which delays responses by 40 ms.
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
        return listening
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None) or 0
        why = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or str(error)
        raise AssayError(
            f"cannot listen on {host}, port {port} ({why}): choose another with --host and --port"
        ) from None


def local_address(listening: socket.socket) -> str:
    """Return the URL for a browser on this machine."""
    host, port = listening.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


def make_setup_state(
    settings: Settings,
    local_url: str,
    on_registered: Callable[[AppCredentials], None],
    afterwards: str,
    is_known: Callable[[], bool] = lambda: False,
) -> SetupState:
    """Create the setup page, reachable at the public URL of the settings, else at `local_url`.

    The page closes once `is_known` returns that there are credentials. Raises AssayError if they could not be stored.
    """
    require_private_folder(settings.data_dir)
    return SetupState(
        base_url=settings.public_url or local_url,
        github_url=settings.github_url,
        register=partial(register, server=github_server(settings), clock=SystemClock(), data_dir=settings.data_dir),
        on_registered=on_registered,
        next_step=afterwards,
        is_registered_elsewhere=is_known,
    )


def print_address(state: SetupState, local_url: str) -> None:
    """Print the address with its token, which is never logged."""
    other = f"\n   (on this machine: {local_url}{state.path})" if state.base_url != local_url else ""
    print(f"Open {state.base_url}{state.path}{other}", file=sys.stderr, flush=True)


async def _serve(settings: Settings, listening: socket.socket) -> AppCredentials:
    registered: list[AppCredentials] = []

    def on_registered(credentials: AppCredentials) -> None:
        registered.append(credentials)
        server.should_exit = True

    local_url = local_address(listening)
    state = make_setup_state(settings, local_url, on_registered, "Start Assay with assay up.")
    server = make_server(setup_app(state), *listening.getsockname()[:2])
    print_address(state, local_url)
    await server.serve(sockets=[listening])
    if not registered:
        raise KeyboardInterrupt  # the server was stopped before the App was registered
    return registered[0]
