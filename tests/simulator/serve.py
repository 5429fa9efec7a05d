"""Run the simulator as a process, for benchmarks and the demo; `tests.simulator.control` controls it.

    python -m tests.simulator.serve FOLDER [--port N] [--description ghes-3.19] [--faster 60 --since 2026-01-01T00:00Z]

Prints one line of JSON with `url` and `api_url`, then serves until it is interrupted or terminated. Exits with 1 if
a request or a response violated GitHub's description.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from bot.clock import Clock, FastClock, SystemClock
from tests.simulator.github import serve_github


def main() -> int:
    options = _parser().parse_args()
    clock: Clock = SystemClock()
    if options.faster != 1:
        clock = FastClock(options.since or datetime.now(UTC), options.faster)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with serve_github(options.root, clock, options.description, port=options.port) as github:
            github.controllable = True
            print(json.dumps({"url": github.url, "api_url": github.api_url}), flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
    except AssertionError as violations:
        print(violations, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator.serve", description=__doc__)
    parser.add_argument("root", type=Path, help="folder for repositories created empty")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--description", default="api.github.com", choices=["api.github.com", "ghes-3.19"])
    parser.add_argument("--faster", type=float, default=1.0, help="speed of the clock, relative to real time")
    parser.add_argument("--since", type=datetime.fromisoformat, help="start time of the fast clock, with its zone")
    return parser


if __name__ == "__main__":
    sys.exit(main())
