"""Nothing that lands after a cutoff affects what is known at it, and three deliberate leaks are detected."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from pipeline.mining.miner import Miner
from pipeline.ranking import dataset as dataset_module
from pipeline.ranking.baseline import Baseline
from pipeline.ranking.competitors import competitors
from pipeline.ranking.dataset import Dataset
from pipeline.ranking.evaluate import predictions
from tests.builders.history import DAY_S, START
from tests.pipeline.ranking.subjects import (
    EVAL_DAY,
    FILES,
    FUNCTIONS,
    HEAD_DAY,
    TRAIN_DAY,
    Work,
    dataset_of,
    long_history,
)

BEFORE: list[Work] = [(60 + 40 * i, "fix: early" if i % 2 else "work", i % FILES, i % FUNCTIONS) for i in range(11)]
TRAINING: list[Work] = [
    (570 + 20 * i, "fix: it" if i % 3 else "work", (3 * i) % FILES, (5 * i) % FUNCTIONS) for i in range(34)
]
HORIZON: list[Work] = [(1290 + 20 * i, "fix: late", (7 * i) % FILES, (3 * i) % FUNCTIONS) for i in range(16)]
OTHER_HORIZON: list[Work] = [
    (1285 + 11 * i, "fix: late" if i % 2 else "work", (i * i) % FILES, (5 * i + 1) % FUNCTIONS) for i in range(30)
]


def known_at_t_eval(dataset: Dataset) -> dict[str, object]:
    """Everything but the labels of the holdout, with what each scorer makes of it."""
    scores = predictions(dataset, (Baseline(), *competitors()))
    return {
        "train": dataset.train,
        "signals": dataset.train_signals.tolist(),
        "evaluated": dataset.evaluated,
        "lineages": dataset.lineages,
        "sides": (dataset.train_places, dataset.evaluated_places),
        "scores": {name: values.tolist() for name, values in scores.items()},
    }


def differing(one: Dataset, other: Dataset) -> set[str]:
    before, after = known_at_t_eval(one), known_at_t_eval(other)
    return {name for name in before if before[name] != after[name]}


def test_the_windows_are_where_these_tests_expect_them() -> None:
    windows = dataset_of(long_history(BEFORE)).mined.windows
    days = [(time - START) / DAY_S for time in (windows.train_start, windows.eval_start, windows.as_of)]
    assert days == pytest.approx([TRAIN_DAY, EVAL_DAY, HEAD_DAY], abs=1)


def test_landings_after_t_eval_change_only_the_labels() -> None:
    one = dataset_of(long_history([*BEFORE, *TRAINING, *HORIZON]))
    other = dataset_of(long_history([*BEFORE, *TRAINING, *OTHER_HORIZON]))
    assert one.labels.tolist() != other.labels.tolist()
    assert differing(one, other) == set()


def test_landings_after_t_train_change_only_the_labels_of_functions_at_t_train() -> None:
    one = dataset_of(long_history([*BEFORE, *TRAINING, *HORIZON]))
    other = dataset_of(long_history([*BEFORE, *OTHER_HORIZON]))
    assert one.train == other.train
    assert one.train_signals.any()
    assert not other.train_signals.any()


FIX = "fix: moved about"


def test_moving_a_commit_across_a_cutoff_changes_only_what_is_known_after_it(subtests: pytest.Subtests) -> None:
    cases: list[tuple[int, set[str]]] = [
        (TRAIN_DAY - 2, {"train"}),  # and 732 days before T_eval
        (TRAIN_DAY + 2, {"signals", "evaluated", "scores"}),
        (EVAL_DAY - 2, {"signals", "evaluated", "scores"}),
        (EVAL_DAY + 2, set()),
        (HEAD_DAY - 2, set()),
    ]
    for day, changes in cases:
        with subtests.test(day=day, changes=changes):
            rest = [*BEFORE, *TRAINING, *HORIZON]
            without, with_it = dataset_of(long_history(rest)), dataset_of(long_history([*rest, (day, FIX, 9, 7)]))
            found = differing(_without_blobs(without), _without_blobs(with_it)) - {"sides"}
            assert found == changes
            changed = [
                subject.path
                for subject, other in zip(without.train, with_it.train, strict=True)
                if subject.process != other.process
            ]
            assert set(changed) == ({"m9.py"} if day < TRAIN_DAY else set())
            labels = [i for i, (a, b) in enumerate(zip(without.labels, with_it.labels, strict=True)) if a != b]
            assert len(labels) == (1 if day > EVAL_DAY else 0)


def _without_blobs(dataset: Dataset) -> Dataset:
    """The text that a commit leaves behind stays, whenever it lands: what is asked here is when its past is known."""

    def bare(subjects):
        return tuple(dataclasses.replace(subject, blob="") for subject in subjects)

    return dataclasses.replace(dataset, train=bare(dataset.train), evaluated=bare(dataset.evaluated))


def labels_up_to_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Miner._attribution
    monkeypatch.setattr(
        Miner,
        "_attribution",
        lambda self, snapshot, upto, *rest: original(self, snapshot, len(self.history.chain) - 1, *rest),
    )


def a_split_by_labels_of_the_holdout(monkeypatch: pytest.MonkeyPatch) -> None:
    original: Callable = dataset_module._members

    def leaking(mined, *rest):
        members = original(mined, *rest)
        later = [*[None] * len(mined.train), *(f.credit for f in mined.holdout)]
        return [
            dataclasses.replace(m, credit=credit, lines=m.lines + 1) if credit else m
            for m, credit in zip(members, later, strict=True)
        ]

    monkeypatch.setattr(dataset_module, "_members", leaking)


def a_past_as_it_is_at_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Miner.process_metrics

    def leaking(self, position, now):
        head = len(self.history.chain) - 1

        def named(at):
            return [(f.path, f.qualified_name, f.ordinal) for f in self.functions(at)]

        later = dict(zip(named(head), original(self, head, now), strict=True))
        return tuple(
            later.get(name, process)
            for name, process in zip(named(position), original(self, position, now), strict=True)
        )

    monkeypatch.setattr(Miner, "process_metrics", leaking)


@pytest.mark.parametrize(
    ("leak", "noticed"),
    [
        (labels_up_to_the_head, {"signals", "scores", "sides"}),
        (a_split_by_labels_of_the_holdout, {"sides", "scores"}),
        (a_past_as_it_is_at_the_head, {"train", "evaluated", "scores"}),
    ],
)
def test_a_deliberate_leak_is_detected(
    leak: Callable[[pytest.MonkeyPatch], None], noticed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    leak(monkeypatch)
    one = dataset_of(long_history([*BEFORE, *TRAINING, *HORIZON]))
    other = dataset_of(long_history([*BEFORE, *TRAINING, *OTHER_HORIZON]))
    assert differing(one, other) == noticed
