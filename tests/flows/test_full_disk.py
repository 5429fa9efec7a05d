"""A data directory that takes nothing more: what is on this machine is judged all the same or told in one line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.builders.broken import HEALTHY_DENSITY, healthy
from tests.flows.command import Assay, in_child, json_of, line_of
from tests.simulator.git_server import serve_git

FULL = "free some"


@pytest.mark.parametrize("file_bytes", [0, 500, 9_000, 40_000])
def test_a_full_disk_costs_no_verdict_or_one_line(assay: Assay, good: Path, file_bytes: int) -> None:
    """No file can grow beyond so many bytes: the system then answers as a full disk does."""
    for answer in in_child(assay.data_dir, [good, good], file_bytes=file_bytes):
        print(answer)
        if answer.code:
            assert FULL in line_of(answer, 1)
        else:
            assert json_of(answer)["density"] == HEALTHY_DENSITY
    assay.is_usable()
