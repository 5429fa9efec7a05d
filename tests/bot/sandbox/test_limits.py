"""Why a process ended, in words; that the limits hold is tested with real children in test_supervisor."""

from __future__ import annotations

import signal

from bot.sandbox.limits import OUT_OF_MEMORY, Ending, Limits, explain, too_large_file, too_much_time

LIMITS = Limits(memory_mb=4_096, cpu_s=3_600, wall_s=3_600, file_bytes=8_000_000_000)
MEMORY = ("memory", "ran out of memory (limit 4,096 MB)")
PROCESSOR = ("time", "used more than 60 minutes of processor time")


def test_an_ending_is_explained() -> None:
    cases: list[tuple[Ending, tuple[str, str]]] = [
        (Ending(-signal.SIGXCPU, 3_600, 100), PROCESSOR),
        (Ending(-signal.SIGKILL, 3_605, 100), PROCESSOR),
        (Ending(-signal.SIGKILL, 10, 100), ("killed", "was killed: the machine is short of memory")),
        (Ending(-signal.SIGKILL, 10, 4_000), ("killed", "was killed: the machine is short of memory")),
        (Ending(-signal.SIGTERM, 10, 100), ("killed", "was stopped from outside (signal 15)")),
        (Ending(-signal.SIGHUP, 10, 4_000), ("killed", "was stopped from outside (signal 1)")),
        (Ending(-signal.SIGABRT, 10, 3_000), MEMORY),
        (Ending(-signal.SIGSEGV, 10, 1_500), MEMORY),
        (Ending(-signal.SIGABRT, 10, 100), ("crash", "crashed (signal 6)")),
        (Ending(-signal.SIGSEGV, 10, 100), ("crash", "crashed (signal 11)")),
        (Ending(-signal.SIGILL, 10, 4_000), ("crash", "crashed (signal 4)")),
        (Ending(OUT_OF_MEMORY, 10, 100), MEMORY),
        (Ending(1, 10, 100), ("crash", "ended without a reply (exit status 1)")),
        (Ending(0, 10, 100), ("crash", "ended without a reply (exit status 0)")),
    ]
    wrong = [(ending, got, expected) for ending, expected in cases if (got := explain(ending, LIMITS)) != expected]
    assert wrong == []


def test_limits_are_rendered_in_readable_units() -> None:
    assert too_much_time(LIMITS) == "took longer than 60 minutes"
    assert too_much_time(Limits(1, 1, 45, 1)) == "took longer than 45 s"
    assert too_large_file(LIMITS) == "needed a file larger than the limit of 8,000 MB"
