"""What the tests of whole commands share."""

import os
from pathlib import Path

import pytest

from tests.builders.broken import healthy
from tests.flows.command import Assay


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return healthy().write(tmp_path_factory.mktemp("good") / "good.git")


@pytest.fixture
def assay(settings_of_nobody: None, good: Path, capsys: pytest.CaptureFixture[str]) -> Assay:
    return Assay(Path(os.environ["ASSAY_DATA_DIR"]), good, capsys)
