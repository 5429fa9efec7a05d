"""What holds for every test."""

import os
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import pytest

_NUMBERS = count()
_HAS_TORCH = find_spec("torch") is not None


def pytest_configure(config: pytest.Config) -> None:
    if not _HAS_TORCH and config.getoption("-m") == "finetune":
        raise pytest.UsageError("torch is missing: `make test-finetune` installs it")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """A module of tests that imports torch cannot even be read where there is none."""
    if not _HAS_TORCH and collection_path.suffix == ".py" and collection_path.name.startswith("test_"):
        text = collection_path.read_text(encoding="utf-8")
        return "\npytestmark = pytest.mark.finetune\n" in text or None
    return None


@pytest.fixture(autouse=True)
def settings_of_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the settings of the person who runs it, or writes to that person's data folder or another test's."""
    for name in list(os.environ):
        if name.startswith("ASSAY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path_factory.getbasetemp() / f"assay-data-{next(_NUMBERS)}"))
