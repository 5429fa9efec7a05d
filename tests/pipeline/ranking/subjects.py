"""Subjects, and histories long enough to evaluate, for tests of ranking."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES
from pipeline.mining.miner import Miner
from pipeline.mining.process_metrics import ProcessMetrics
from pipeline.ranking.dataset import Dataset, build_dataset
from pipeline.ranking.scorer import Subject
from pipeline.records import PairMetrics
from tests.builders.history import History

QUIET = ProcessMetrics(0, 0, 0.0, None, None, 0, 0.0, 0, 0, 0.0, 0)


def subject(path: str = "a.py", name: str = "f", *, lines: int = 10, **known: Any) -> Subject:
    """Build a subject with the given structure and process metrics, by name; the others are 0 or unknown."""
    metrics = {"cyclomatic_complexity": 1, "nesting_depth": 0, "fan_out": 0, "exits": 0, "parameters": 0}
    metrics |= {key: known.pop(key) for key in metrics.keys() & known.keys()}
    process = {field: known.pop(field, getattr(QUIET, field)) for field in ProcessMetrics.__dataclass_fields__}
    assert not known, known
    return Subject(
        path, name, 0, "Python", 1, lines, "0" * 40, PairMetrics(lines, **metrics), ProcessMetrics(**process)
    )


FIRST_DAY, TRAIN_DAY, EVAL_DAY, HEAD_DAY = 0, 548, 1278, 1643
FILES, FUNCTIONS = 10, 8

Work = tuple[float, str, int, int]  # day, message, file, function


def long_history(work: Iterable[Work]) -> History:
    """Ten files of eight functions of different sizes over four and a half years; each work edits one function."""
    versions = {(file, function): 0 for file in range(FILES) for function in range(FUNCTIONS)}

    def text(file: int) -> str:
        return "\n".join(_function(file, number, versions[file, number]) for number in range(FUNCTIONS))

    history = History()
    history.commit("start", {f"m{file}.py": text(file) for file in range(FILES)}, day=FIRST_DAY)
    for day, message, file, function in sorted(work):
        versions[file, function] += 1
        history.commit(message, {f"m{file}.py": text(file)}, day=day)
    history.commit("end", {"README": "x"}, day=HEAD_DAY)
    return history


def _function(file: int, number: int, version: int) -> str:
    # Every name is another one in every function, so that none is a near-copy of another.
    body = "".join(f"    v{file}_{number}_{i} = call_{file}_{number}(value, {i})\n" for i in range(3 + number))
    return f"def f{number}(value):\n{body}    return v{file}_{number}_0 + {version}\n"


def dataset_of(history: History, as_of: int | None = None) -> Dataset:
    with tempfile.TemporaryDirectory() as folder:
        repository = open_repository(history.write(Path(folder) / "history.git"))
        with Miner(repository, MESSAGES) as miner, repository.reader() as reader:
            return build_dataset(miner, MESSAGES, lambda blob: reader.blob(bytes.fromhex(blob), 1 << 20), as_of=as_of)
