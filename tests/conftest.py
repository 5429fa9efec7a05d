"""What holds for every test."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def settings_of_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the settings of the person who runs it, or writes to that person's data folder."""
    for name in list(os.environ):
        if name.startswith("ASSAY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ASSAY_DATA_DIR", str(Path(tmp_path_factory.getbasetemp(), "assay-data")))
