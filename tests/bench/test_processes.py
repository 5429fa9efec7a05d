"""Commands run to their end and measured; never tested against a clock."""

from __future__ import annotations

import sys

import pytest

from bench.processes import CommandFailed, run


def test_a_command_is_measured_with_its_children_and_its_output_kept() -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(3 * 10**6))']); print('done')"
    found = run([sys.executable, "-c", child])
    assert found.output == b"done\n"
    assert found.wall_s > 0
    assert found.cpu_s > 0
    assert found.peak_mb > 1


def test_a_command_reads_what_it_is_given() -> None:
    assert run([sys.executable, "-c", "print(len(input()))"], stdin=b"12345\n").output == b"5\n"


def test_a_command_that_fails_says_why_in_one_line() -> None:
    with pytest.raises(CommandFailed, match=r"ended with 3: no luck$"):
        run([sys.executable, "-c", "import sys; print('a\\nno luck', file=sys.stderr); sys.exit(3)"])
