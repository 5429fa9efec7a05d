"""What holds for every test."""

import os
from itertools import count

import pytest

_NUMBERS = count()


@pytest.fixture(autouse=True)
def settings_of_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the settings of the person who runs it, or writes to that person's data folder or another test's."""
    for name in list(os.environ):
        if name.startswith("ASSAY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path_factory.getbasetemp() / f"assay-data-{next(_NUMBERS)}"))
