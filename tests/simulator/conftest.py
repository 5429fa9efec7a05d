from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulator.world import World, make_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with make_world(tmp_path) as made:
        yield made


@pytest.fixture
def ghes(tmp_path: Path) -> Iterator[World]:
    with make_world(tmp_path, "ghes-3.19") as made:
        yield made
