"""What the tests of whole commands share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.broken import healthy
from tests.flows.command import Assay
from tests.simulator.git_server import GitServer, serve_git


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return healthy().write(tmp_path_factory.mktemp("good") / "good.git")


@pytest.fixture
def assay(settings_of_nobody: None, good: Path, capsys: pytest.CaptureFixture[str]) -> Assay:
    return Assay(Path(os.environ["ASSAY_DATA_DIR"]), good, capsys)


@pytest.fixture
def forge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitServer]:
    """A server of the repositories in `tmp_path/forge`, the healthy one among them as ada/code.git."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    healthy().write(tmp_path / "forge" / "ada" / "code.git")
    with serve_git(tmp_path / "forge") as server:
        yield server
