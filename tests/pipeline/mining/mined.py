"""Mine a test history in one call."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES, LabelRecipe
from pipeline.records import Mined
from pipeline.screening.measure import Measured, measure
from tests.builders.history import History


def measure_history(
    history: History,
    *,
    recipe: LabelRecipe = MESSAGES,
    as_of: int | None = None,
    jobs: int = 1,
    data_dir: Path | None = None,
) -> Measured:
    """Write the history to a temporary bare repository and measure it."""
    with tempfile.TemporaryDirectory() as folder:
        path = history.write(Path(folder) / "history.git")
        return measure(open_repository(path), recipe, as_of=as_of, jobs=jobs, data_dir=data_dir)


def credits_of(mined: Mined) -> dict[str, float]:
    """Return the credit in the training window by "path::name", where it is not 0."""
    return {f"{f.path}::{f.qualified_name}": f.credit for f in mined.train if f.credit}


def reasons_of(mined: Mined) -> dict[str, int]:
    return {group.reason: group.commits for group in mined.excluded}
