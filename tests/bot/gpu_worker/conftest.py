from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.gpu_bench import Bench, bench


@pytest.fixture
def gpu(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as one:
        yield one
