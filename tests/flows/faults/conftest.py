"""The stages that the tests of faults play on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.fast_assay import Pace
from tests.flows.faults.stage import Stage, set_parted_stage, set_stage

FACTOR = 120  # a minute of quiet takes half a second, an hour half a minute


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """For `assay up`, with a Redis of its own."""
    with set_stage(tmp_path) as stage:
        yield stage


@pytest.fixture
def parted(tmp_path: Path) -> Iterator[Stage]:
    """For `assay web` and `assay worker`."""
    with set_parted_stage(tmp_path) as stage:
        yield stage


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """An App that is up, under a fast clock. The tests of a module share it: each has an organization of its own."""
    with set_stage(tmp_path_factory.mktemp("fast"), pace=Pace(FACTOR)) as stage:
        stage.up()
        yield stage
