"""`assay up` under a clock that runs so many times as fast: `python -m bench.fast_app PORT SINCE FACTOR`."""

from __future__ import annotations

import sys
from datetime import datetime

from bot.cli.server.serve import Roles, serve
from bot.cli.server.setup_server import listen
from bot.cli.server.up import run
from bot.clock import FastClock
from bot.logs import set_up_logs
from bot.settings import load_settings


def main(port: int, since: datetime, factor: float) -> None:
    settings = load_settings()
    set_up_logs(settings.log_format)
    with listen("127.0.0.1", port) as listening:
        clock = FastClock(since, factor)
        run(serve(settings, Roles(listening, work=True, all_in_one=True), clock))


if __name__ == "__main__":
    main(int(sys.argv[1]), datetime.fromisoformat(sys.argv[2]), float(sys.argv[3]))
