from __future__ import annotations

import dataclasses
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.finetuning.pair_set import PairSet, build_pair_set, validation_start
from pipeline.finetuning.prompts import Prompted, render_prompt
from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES
from pipeline.mining.miner import Miner
from pipeline.ranking.competitors import competitors
from pipeline.ranking.dataset import build_dataset
from pipeline.records import DAY_S, PairMetrics
from pipeline.screening.windows import place_windows
from tests.builders.history import START, History
from tests.pipeline.finetuning.pair_sets import pair_set, pair_set_of, prompted
from tests.pipeline.ranking.subjects import EVAL_DAY, HEAD_DAY, TRAIN_DAY, Work, long_history
from tests.pipeline.ranking.test_dataset import BEFORE, HORIZON, TRAINING

VALIDATION_DAY = EVAL_DAY - (EVAL_DAY - TRAIN_DAY) / 4  # 1,095.5
BASE = [*BEFORE, *TRAINING, *HORIZON]

Key = tuple[str, str]


@cache
def with_works(*works: Work) -> PairSet:
    return pair_set_of(long_history([*BASE, *works]))


def by_function(functions: tuple[Prompted, ...], values: Any) -> dict[Key, float]:
    keys = ((f.path, f.qualified_name) for f in functions)
    return dict(zip(keys, values.tolist(), strict=True))


def labels_of(pairs: PairSet) -> dict[str, dict[Key, float]]:
    return {
        "signals": by_function(pairs.train, pairs.signals),
        "early": by_function(pairs.train, pairs.early_signals),
        "late": by_function(pairs.train, pairs.late_credits),
        "labels": by_function(pairs.holdout, pairs.labels),
    }


def changes(one: PairSet, other: PairSet) -> dict[str, set[Key]]:
    """Which functions have another label, of those that are on the same side in both."""
    before, after = labels_of(one), labels_of(other)
    differing = {
        kind: {key for key in before[kind].keys() & after[kind].keys() if before[kind][key] != after[kind][key]}
        for kind in before
    }
    return {kind: keys for kind, keys in differing.items() if keys}


def test_a_pair_set_holds_the_train_groups_at_their_snapshot_and_the_held_out_functions() -> None:
    pairs = with_works()
    assert (len(pairs.train), len(pairs.holdout)) == (48, 32)
    assert {(f.path, f.qualified_name) for f in pairs.train} & {
        (f.path, f.qualified_name) for f in pairs.holdout
    } == set()
    assert (pairs.repo, pairs.label_recipe_id, pairs.config_hash) == ("shop", MESSAGES.id, "")
    assert [round((t - START) / DAY_S) for t in (pairs.train_start, pairs.eval_start, pairs.as_of)] == [
        TRAIN_DAY,
        EVAL_DAY,
        HEAD_DAY,
    ]
    assert pairs.scores["size"].tolist() == list(pairs.lines) == [f.metrics.lines for f in pairs.holdout]


def test_the_baseline_and_every_cheap_scorer_are_included_by_default(tmp_path: Path) -> None:
    repository = open_repository(long_history(BEFORE).write(tmp_path / "shop.git"))
    with Miner(repository, MESSAGES) as miner, repository.reader() as reader:

        def read(blob: str) -> bytes:
            return reader.blob(bytes.fromhex(blob), 1 << 20)

        pairs = build_pair_set(miner, build_dataset(miner, MESSAGES, read), MESSAGES, read)
    assert list(pairs.scores) == ["baseline", *(scorer.name for scorer in competitors())]


def test_code_is_that_of_the_snapshot() -> None:
    pairs = with_works((EVAL_DAY - 30, "work", 5, 6), (EVAL_DAY + 30, "work", 5, 6))
    (held_out,) = (f.code for f in pairs.holdout if (f.path, f.qualified_name) == ("m5.py", "f6"))
    lines = held_out.split("\n")
    assert lines[0] == "def f6(value):"
    assert len(lines) == 11
    works = [w for w in [*BASE, (EVAL_DAY - 30, "work", 5, 6)] if w[0] <= EVAL_DAY and w[2:] == (5, 6)]
    assert lines[-1] == f"    return v5_6_0 + {len(works)}"


def test_labels_are_those_of_the_dataset() -> None:
    measured = labels_of(with_works())
    fixed: dict[Key, list[float]] = {}
    for day, message, file, function in TRAINING:
        if message.startswith("fix"):
            fixed.setdefault((f"m{file}.py", f"f{function}"), []).append(day)
    for key in measured["signals"]:
        early = [day for day in fixed.get(key, []) if day <= VALIDATION_DAY]
        late = [day for day in fixed.get(key, []) if day > VALIDATION_DAY]
        assert measured["signals"][key] == pytest.approx(min(1, 0.7 * (len(early) + len(late))))
        assert measured["early"][key] == pytest.approx(min(1, 0.7 * len(early)))
        assert measured["late"][key] == pytest.approx(0.7 * len(late))
    assert any(measured["late"].values())


def test_the_last_quarter_of_the_training_window_is_for_validation() -> None:
    windows = place_windows(0, 2_000 * DAY_S, MESSAGES)
    assert validation_start(dataclasses.replace(windows, train_start=1_000, eval_start=1_800)) == 1_600


TRAINED, HELD = ("m9.py", "f7"), ("m5.py", "f6")


def test_moving_a_fix_across_a_cutoff_changes_the_labels_next_to_it_only(subtests: pytest.Subtests) -> None:
    cases: list[tuple[float, float, tuple[int, int], dict[str, set[Key]]]] = [
        (TRAIN_DAY - 2, TRAIN_DAY + 2, (9, 7), {"signals": {TRAINED}, "early": {TRAINED}}),
        (VALIDATION_DAY - 2, VALIDATION_DAY + 2, (9, 7), {"early": {TRAINED}, "late": {TRAINED}}),
        (EVAL_DAY - 2, EVAL_DAY + 2, (9, 7), {"signals": {TRAINED}, "late": {TRAINED}}),
        (EVAL_DAY - 2, EVAL_DAY + 2, (5, 6), {"labels": {HELD}}),
        (VALIDATION_DAY - 2, VALIDATION_DAY + 2, (5, 6), {}),
    ]
    for before, after, function, expected in cases:
        with subtests.test(before=before, after=after, function=function, expected=expected):
            one, other = (with_works((day, "fix: moved", *function)) for day in (before, after))
            assert changes(one, other) == expected


def test_a_fix_that_is_reverted_late_stays_in_the_early_labels() -> None:
    works: list[Work] = [(700, "fix: the sum", 9, 7), (VALIDATION_DAY + 50, 'Revert "fix: the sum"', 9, 7)]
    measured = labels_of(pair_set_of(long_history([*BEFORE, *works, *HORIZON])))
    assert (measured["signals"][TRAINED], measured["early"][TRAINED], measured["late"][TRAINED]) == (0.0, 0.7, 0.0)


def another_past(history: History) -> History:
    """The same code at the same snapshots and the same fixes in the same windows: all else of the past is another."""
    for number, commit in enumerate(history.commits[1:-1]):
        commit.author = f"Person {number % 5} <p{number % 5}@example.org>"
        commit.committer = "Carol <carol@example.org>"
        commit.committed_at += 3 * DAY_S
        commit.authored_at += DAY_S * (number % 3)
        words = b"fix: something else, reported by Dora" if commit.message.startswith(b"fix") else b"tidy up for Erik"
        commit.message = words + b"\n\n%d touches since January" % number
    start = history.commits[0].files
    there, back = history.commits[2].files, history.commits[3].files  # both long before T_train
    assert "m9.py" not in {*there, *back}
    there["m9.py"], back["m9.py"] = str(start["m9.py"]).replace("value, 0", "value, 10"), start["m9.py"]
    return history


def test_different_histories_give_the_same_prompts_byte_for_byte() -> None:
    one, other = with_works(), pair_set_of(another_past(long_history(BASE)))
    assert one.head_sha != other.head_sha
    assert one.scores["decayed touches"].tolist() != other.scores["decayed touches"].tolist()  # the past did differ
    assert changes(one, other) == {}
    for part in ("train", "holdout"):
        for ablation in ("none", "names", "code"):
            texts = [[render_prompt(f, ablation).encode() for f in getattr(pairs, part)] for pairs in (one, other)]
            assert texts[0] == texts[1]


def test_another_miner_is_refused(tmp_path: Path) -> None:
    repository = open_repository(long_history(BASE).write(tmp_path / "shop.git"))
    another = History()
    another.commit("start", {"a.py": "def f(x):\n    y = x\n    return y\n"}, day=0)
    elsewhere = open_repository(another.write(tmp_path / "other.git"))
    with Miner(repository, MESSAGES) as miner, repository.reader() as reader:

        def read(blob: str) -> bytes:
            return reader.blob(bytes.fromhex(blob), 1 << 20)

        dataset = build_dataset(miner, MESSAGES, read)
        with Miner(elsewhere, MESSAGES) as stranger, pytest.raises(ValueError, match="another miner"):
            build_pair_set(stranger, dataset, MESSAGES, read)


def test_a_repository_without_code_has_a_pair_set_without_functions() -> None:
    history = History()
    history.commit("start", {"README": "x"}, day=0)
    pairs = pair_set_of(history)
    assert (pairs.train, pairs.holdout, len(pairs.signals), len(pairs.scores["baseline"])) == ((), (), 0, 0)


def test_arrays_of_the_wrong_length_are_refused(subtests: pytest.Subtests) -> None:
    cases: list[dict[str, Any]] = [
        {"signals": np.zeros(2)},
        {"late_credits": np.zeros(4)},
        {"labels": np.zeros(3)},
        {"lines": (1,)},
        {"scores": {"baseline": np.zeros(3)}},
    ]
    for wrong in cases:
        with subtests.test(wrong=wrong), pytest.raises(ValueError, match="there is not one"):
            pair_set(**wrong)


# The id


def test_the_id_is_the_hash_of_the_lines_that_its_docstring_describes() -> None:
    small = pair_set(
        train=(prompted(code="é\n"),),
        signals=np.array([0.5]),
        early_signals=np.array([-0.0]),
        late_credits=np.array([np.nan]),
        holdout=(),
        labels=np.array([]),
        lines=(),
        scores={},
    )
    header = (
        '{"as_of":1694608000,"config_hash":"","eval_start":1663072000,"head_sha":"%s","holdout":0,'
        '"label_recipe_id":"abc123abc123","repo":"example/shop","train":1,"train_start":1600000000}\n' % ("a" * 40)
    )
    line = '[["src/shop.py","f","Python",[2,1,0,0,0,1],"\\u00e9\\n"],"0x1.0000000000000p-1","0x0.0p+0","nan"]\n'
    assert json.loads(line)[0][4] == "é\n"
    assert small.id == hashlib.sha256((header + line).encode()).hexdigest()


WHAT_COUNTS: list[dict[str, Any]] = [
    {"repo": "example/other"},
    {"head_sha": "b" * 40},
    {"train_start": 1_600_000_001},
    {"eval_start": 1_663_072_001},
    {"as_of": 1_694_608_001},
    {"label_recipe_id": "abc123abc124"},
    {"config_hash": "x"},
    {"train": tuple(reversed(pair_set().train))},
    {"train": (*pair_set().train[:2], prompted("f2", "def f2(x):\n    return 3\n"))},
    {"train": (*pair_set().train[:2], dataclasses.replace(pair_set().train[2], metrics=PairMetrics(2, 1, 0, 0, 0, 2)))},
    {"signals": np.array([0.0, 0.7, np.nextafter(1.0, 0.0)])},
    {"early_signals": np.array([0.0, 0.7, 0.6])},
    {"late_credits": np.array([0.0, 0.7, 0.0])},
    {"holdout": (prompted("g"), prompted("h", language="Go", metrics=PairMetrics(2)))},
    {"labels": np.array([0.0, np.nan])},
    {"lines": (2, 3)},
]


def test_other_code_labels_or_order_change_the_id(subtests: pytest.Subtests) -> None:
    for change in WHAT_COUNTS:
        with subtests.test(change=change):
            assert pair_set(**change).id != pair_set().id


def test_every_field_but_the_scores_affects_the_id() -> None:
    changed = {name for change in WHAT_COUNTS for name in change}
    assert changed | {"scores"} == {field.name for field in dataclasses.fields(PairSet)}


def test_scores_and_the_sign_of_zero_do_not_affect_the_id() -> None:
    backwards = dict(reversed(list(pair_set().scores.items())))
    same = pair_set(scores=backwards, signals=np.array([-0.0, 0.7, 1.0]))
    assert same.id == pair_set().id
    assert same.scores_digest == pair_set().scores_digest
    other = pair_set(scores={"baseline": np.array([0.25, 0.5]), "size": np.array([2.0, 2.0])})
    assert other.id == pair_set().id
    assert other.scores_digest != pair_set().scores_digest


@given(st.text(), st.text(), st.text(), st.text())
def test_different_functions_are_written_differently(name: str, code: str, other_name: str, other_code: str) -> None:
    one = pair_set(holdout=(prompted(name, code), prompted("h")))
    other = pair_set(holdout=(prompted(other_name, other_code), prompted("h")))
    assert (one.id == other.id) == ((name, code) == (other_name, other_code))
