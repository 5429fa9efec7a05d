from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.cli.local.pairs import pairs, rows
from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES
from pipeline.mining.miner import Miner
from pipeline.ranking.dataset import Dataset, build_dataset
from pipeline.records import AssayError, PairMetrics, PairRow
from pipeline.reports.pairs_parquet import read_pairs
from tests.builders.history import History
from tests.pipeline.ranking.subjects import long_history
from tests.pipeline.ranking.test_dataset import BEFORE, HORIZON, TRAINING

BRANCHING = "def f(a, b):\n    if a and b:\n        return g({0})\n    return h(a)\n"


def rows_of(history: History, folder: Path) -> tuple[Dataset, list[PairRow]]:
    repository = open_repository(history.write(folder / "repo.git"))
    with Miner(repository, MESSAGES) as miner, repository.reader() as reader:

        def read(blob: str) -> bytes:
            return reader.blob(bytes.fromhex(blob), 1 << 20)

        dataset = build_dataset(miner, MESSAGES, read)
        return dataset, list(rows(dataset, read))


def written(history: History, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[dict, list[PairRow]]:
    source = history.write(folder / "shop.git")
    pairs(str(source), folder / "pairs.parquet", jobs=1, as_json=True)
    return json.loads(capsys.readouterr().out), read_pairs(folder / "pairs.parquet")[0]


def part(found: Sequence[PairRow], snapshot: str) -> list[PairRow]:
    return [row for row in found if row.snapshot == snapshot]


def test_every_row_carries_the_structure_of_its_own_code(tmp_path: Path) -> None:
    history = History()
    history.commit("start", {"a.py": BRANCHING.format(0)}, day=0)
    for day in range(30, 1_800, 30):
        body = BRANCHING.format(day) if day < 1_500 else BRANCHING.format("a or b")
        history.commit(f"fix: {day}", {"a.py": body}, day=day)
    _, found = rows_of(history, tmp_path)
    assert {row.snapshot for row in found} == {"train", "holdout"}
    for row in found:
        complexity = 4 if "a or b" in row.code else 3
        assert row.metrics == PairMetrics(4, complexity, 1, 2, 1, 2)


def test_every_row_has_its_place_in_the_split(tmp_path: Path) -> None:
    dataset, found = rows_of(long_history([*BEFORE, *TRAINING, *HORIZON]), tmp_path)
    train, holdout = part(found, "train"), part(found, "holdout")
    assert [(row.group, row.split) for row in train] == [(p.group, p.side) for p in dataset.train_places]
    assert [(row.group, row.split) for row in holdout] == [(p.group, p.side) for p in dataset.evaluated_places]
    assert [row.signal for row in train] == dataset.train_signals.tolist()
    assert [row.credit for row in holdout] == dataset.labels.tolist()
    assert sum(row.split == "holdout" for row in holdout) == 32


def test_a_function_has_one_lineage_and_one_side_in_both_snapshots(tmp_path: Path) -> None:
    history = long_history([*BEFORE, *TRAINING])
    history.commits[-2].files |= {"m4.py": None, "later.py": "def born_later(x):\n    y = x\n    return y\n"}
    _, found = rows_of(history, tmp_path)
    train = {row.lineage: row for row in part(found, "train")}
    assert list(train) == list(range(80))
    later = {row.qualified_name: row for row in part(found, "holdout") if row.lineage is None}
    assert list(later) == ["born_later"]
    for row in part(found, "holdout"):
        if row.lineage is not None:
            then = train[row.lineage]
            assert (row.path, row.qualified_name) == (then.path, then.qualified_name)
            assert (row.group, row.split) == (then.group, then.split)


def test_a_function_that_moved_keeps_its_lineage(tmp_path: Path) -> None:
    history = History()
    history.commit("start", {"a.py": BRANCHING.format(1)}, day=0)
    history.commit("move", {"a.py": None, "b.py": BRANCHING.format(1)}, day=900)
    history.commit("end", {"README": "x"}, day=1_643)
    _, (train, holdout) = rows_of(history, tmp_path)
    assert (train.path, holdout.path) == ("a.py", "b.py")
    assert (train.lineage, train.group, train.split) == (holdout.lineage, holdout.group, holdout.split)


def test_the_command_prints_training_and_holdout_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result, found = written(long_history([*BEFORE, *TRAINING, *HORIZON]), tmp_path, capsys)
    assert (result["repo"], result["pairs"], result["holdout"]) == ("shop", 80, 80)
    assert (result["learned_from"], result["held_out"], result["too_little_history"]) == (48, 32, False)
    assert len(found) == 160
    assert None not in {row.split for row in found} | {row.group for row in found}


def test_a_repository_with_too_little_history_is_written_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = History()
    history.commit("start", {"a.py": BRANCHING.format(0)}, day=0)
    history.commit("fix: f", {"a.py": BRANCHING.format(1)}, day=90)
    result, found = written(history, tmp_path, capsys)
    assert (result["pairs"], result["holdout"], result["too_little_history"]) == (1, 1, True)
    assert [(row.snapshot, row.lineage) for row in found] == [("train", 0), ("holdout", 0)]
    pairs(str(tmp_path / "shop.git"), tmp_path / "pairs.parquet", jobs=1)
    assert "too little history for a fine-tuning run" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("files", [{"a.py": BRANCHING.format(0)}, {"README": "no code"}])
def test_a_single_commit_does_not_crash(files: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history = History()
    history.commit("start", files, day=0)
    result, found = written(history, tmp_path, capsys)
    assert result["too_little_history"]
    assert len(found) == result["pairs"] + result["holdout"] == 2 * ("a.py" in files)


def test_a_date_before_the_first_commit_is_one_line(tmp_path: Path) -> None:
    history = History()
    history.commit("start", {"a.py": BRANCHING.format(0)}, day=0)
    source = history.write(tmp_path / "shop.git")
    with pytest.raises(AssayError, match=r"has no commits before that date: choose a later --as-of$"):
        pairs(str(source), tmp_path / "pairs.parquet", "2001-01-01", jobs=1, as_json=True)
    assert not (tmp_path / "pairs.parquet").exists()
