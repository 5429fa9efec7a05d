"""`assay COMMAND` as a process of its own, under a clock that a test shares with the local GitHub.

python -m tests.builders.fast_assay SINCE FACTOR REQUEST_S COMMAND...

Everything is as an operator runs it, but for the clock and for how long one request to GitHub may take. Leases and
the time between two sweeps are real time: they are shortened by the settings that operators have.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bot.clock import FastClock
from tests.builders.app_processes import AppProcess, Deployment

IMPATIENT = {"ASSAY_LEASE_S": "2", "ASSAY_SWEEP_S": "0.2"}


@dataclass(frozen=True)
class Pace:
    """How fast time goes, and how long GitHub may take, in real seconds."""

    factor: float = 60.0
    request_s: float = 60.0
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def clock(self) -> FastClock:
        return FastClock(self.since, self.factor)


def start(assay: Deployment, pace: Pace, *command: str, **settings: str) -> AppProcess:
    """`assay COMMAND` of a deployment; `up` and `web` listen on its port. `settings` stand beside the deployment's."""
    if command[0] in ("up", "web"):
        command = (*command, "--port", str(assay.port))
    program = (sys.executable, "-m", __name__, pace.since.isoformat(), str(pace.factor), str(pace.request_s))
    log = assay.folder / f"{command[0]}-{len(assay.processes)}.log"
    process = AppProcess(command, assay.environment | settings, log, program)
    process.start()
    assay.processes.append(process)
    return process


def main(since: datetime, factor: float, request_s: float, command: Sequence[str]) -> int:
    import bot.cli.server.serve
    import bot.github.request
    from bot.cli.main import run

    vars(bot.cli.server.serve)["SystemClock"] = lambda: FastClock(since, factor)
    vars(bot.github.request)["WHOLE_REQUEST_S"] = request_s
    return run(list(command))


if __name__ == "__main__":
    sys.exit(main(datetime.fromisoformat(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]))
