from __future__ import annotations

from pathlib import Path

from bot.cli.pairs import rows
from pipeline.mining.repository import open_repository
from pipeline.recipe import MESSAGES
from pipeline.records import PairMetrics
from pipeline.screening.measure import measure
from tests.builders.history import History

BRANCHING = "def f(a, b):\n    if a and b:\n        return g({0})\n    return h(a)\n"


def test_every_row_carries_the_structure_of_its_own_code(tmp_path: Path) -> None:
    history = History()
    history.commit("start", {"a.py": BRANCHING.format(0)}, day=0)
    for day in range(30, 1_800, 30):
        body = BRANCHING.format(day) if day < 1_500 else BRANCHING.format("a or b")
        history.commit(f"fix: {day}", {"a.py": body}, day=day)
    repository = open_repository(history.write(tmp_path / "repo.git"))
    mined = measure(repository, MESSAGES, as_of=None, jobs=1, data_dir=tmp_path / "data").mined
    with repository.reader() as reader:
        found = list(rows(mined, MESSAGES, reader))
    assert {row.snapshot for row in found} == {"train", "holdout"}
    for row in found:
        complexity = 4 if "a or b" in row.code else 3
        assert row.metrics == PairMetrics(4, complexity, 1, 2, 1, 2)
