"""The peak is this process's own, not that of the process that started it."""

from __future__ import annotations

import subprocess
import sys

from bot.peak_memory import own_peak_rss_mb, peak_rss_mb

GROWS = """
from bot.peak_memory import own_peak_rss_mb
before = own_peak_rss_mb()
much = b"x" * (80 << 20)
print(before, own_peak_rss_mb())
"""


def test_a_growing_process_has_a_larger_peak_and_its_parent_does_not() -> None:
    before = own_peak_rss_mb()
    done = subprocess.run([sys.executable, "-c", GROWS], capture_output=True, text=True, check=True)
    small, large = map(float, done.stdout.split())
    assert 1 < small < 60
    assert large - small > 70
    assert own_peak_rss_mb() < before + 40
    assert peak_rss_mb() > large - 10
