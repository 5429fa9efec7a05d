"""What holds for every test."""

import os
import re
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("assay", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("assay")

# Two suites' worth of threads on two cores wait for each other more than they compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_NUMBERS = count()
_HAS_TORCH = find_spec("torch") is not None
_SUITES = ("services", "contract", "browser", "finetune", "faults")
_WHOLE_MODULE = re.compile(rf"^pytestmark = pytest\.mark\.({'|'.join(_SUITES)})$", re.MULTILINE)


def pytest_configure(config: pytest.Config) -> None:
    if not _HAS_TORCH and config.getoption("-m") == "finetune":
        raise pytest.UsageError("torch is missing: `make test-finetune` installs it")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import modules of which the chosen suite runs nothing.

    Importing all of them takes half a minute, and those that need torch cannot be imported where there is none.
    """
    if collection_path.suffix != ".py" or not collection_path.name.startswith("test_"):
        return None
    text = collection_path.read_text(encoding="utf-8")
    marked = _WHOLE_MODULE.search(text)
    mark = marked[1] if marked else ""
    chosen = config.getoption("-m")
    suite = chosen.partition(" ")[0]
    if mark == "finetune" and not _HAS_TORCH:
        return True
    if suite in _SUITES and suite != "services":  # a fixture marks the tests that it runs on PostgreSQL as well
        return f"pytest.mark.{suite}" not in text or None
    return (bool(mark) and f"not {mark}" in chosen) or None


@pytest.fixture(autouse=True)
def settings_of_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the settings of the person who runs it, or writes to that person's data folder or another test's."""
    for name in list(os.environ):
        if name.startswith("ASSAY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path_factory.getbasetemp() / f"assay-data-{next(_NUMBERS)}"))
