from __future__ import annotations

import dataclasses
import hashlib
from functools import cache
from typing import Any, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.finetuning.prompts import Prompted, render_prompt
from pipeline.finetuning.ranking_set import RankingSet
from pipeline.label_recipe import MESSAGES
from pipeline.ranking.scorer import Subject
from pipeline.records import AssayError, PairMetrics
from tests.builders.history import DAY_S, START, History
from tests.pipeline.finetuning.pair_sets import prompted
from tests.pipeline.finetuning.ranking_sets import ranking_set, ranking_set_of, subjects_of
from tests.pipeline.finetuning.test_pair_set import another_past
from tests.pipeline.ranking.subjects import HEAD_DAY, QUIET, Work, long_history
from tests.pipeline.ranking.test_dataset import BEFORE, HORIZON, TRAINING

BASE = [*BEFORE, *TRAINING, *HORIZON]
LATEST_DAY = HEAD_DAY - 730  # T_train' = 913
FUNCTION = ("m9.py", "f7")


@cache
def with_works(*works: Work) -> RankingSet:
    return ranking_set_of(long_history([*BASE, *works]))


def signals_of(ranking: RankingSet) -> dict[tuple[str, str], float]:
    keys = ((f.path, f.qualified_name) for f in ranking.train)
    return dict(zip(keys, ranking.signals.tolist(), strict=True))


def test_a_ranking_set_trains_on_all_functions_at_the_window_s_start_and_ranks_those_of_the_head() -> None:
    ranking = with_works()
    assert (len(ranking.train), len(ranking.head), len(ranking.subjects)) == (80, 80, 80)
    assert (ranking.repo, ranking.label_recipe_id, ranking.config_hash) == ("shop", MESSAGES.id, "")
    assert [(t - START) / DAY_S for t in (ranking.train_start, ranking.as_of)] == [LATEST_DAY, HEAD_DAY]


def test_the_signals_are_the_credit_of_the_whole_window_up_to_the_head() -> None:
    fixed: dict[tuple[str, str], int] = {}
    for day, message, file, function in BASE:
        if message.startswith("fix") and day > LATEST_DAY:
            key = (f"m{file}.py", f"f{function}")
            fixed[key] = fixed.get(key, 0) + 1
    scale = 0.7 * sum(sorted(fixed.values())[-10:]) / 10
    measured = signals_of(with_works())
    assert measured == {key: pytest.approx(min(1, 0.7 * fixed.get(key, 0) / scale)) for key in measured}
    assert scale > 1
    assert {key for key, signal in measured.items() if signal} == fixed.keys()


def test_a_fix_counts_from_the_window_s_start_to_the_head_whatever_the_winning_run_held_out(
    subtests: pytest.Subtests,
) -> None:
    cases: list[tuple[float, bool]] = [
        (LATEST_DAY - 2, False),
        (LATEST_DAY + 2, True),
        (1_276, True),
        (1_280, True),
        (HEAD_DAY - 2, True),
    ]
    for day, counts in cases:
        with subtests.test(day=day, counts=counts):
            assert signals_of(with_works())[FUNCTION] == 0.0
            assert (signals_of(with_works((day, "fix: moved", 9, 7)))[FUNCTION] > 0) == counts


def test_code_is_from_the_window_s_start_for_training_and_from_the_head_for_ranking() -> None:
    ranking = with_works((LATEST_DAY - 30, "work", 9, 7), (LATEST_DAY + 30, "work", 9, 7))
    (before,) = (f.code for f in ranking.train if (f.path, f.qualified_name) == FUNCTION)
    (after,) = (f.code for f in ranking.head if (f.path, f.qualified_name) == FUNCTION)
    earlier = sum(work[2:] == (9, 7) and work[0] < LATEST_DAY for work in BASE) + 1
    last_lines = [code.split("\n")[-1] for code in (before, after)]
    assert last_lines == [f"    return v9_7_0 + {earlier}", f"    return v9_7_0 + {earlier + 1}"]


def test_without_a_window_there_is_only_the_head() -> None:
    whole, head = with_works(), ranking_set_of(long_history(BASE), window_days=0)
    assert (head.train, len(head.signals), head.train_start) == ((), 0, head.as_of)
    assert (head.head, head.subjects, head.head_sha) == (whole.head, whole.subjects, whole.head_sha)


def test_a_past_state_of_the_repository_has_a_ranking_set_of_its_own() -> None:
    day = 1_400
    cut = ranking_set_of(long_history(BASE), as_of=START + day * DAY_S)
    there = ranking_set_of(long_history([work for work in BASE if work[0] <= day]), as_of=START + day * DAY_S)
    assert (cut.head, cut.signals.tolist()) == (there.head, there.signals.tolist())
    assert cut.as_of <= START + day * DAY_S
    with pytest.raises(AssayError, match="has no commits before that date"):
        ranking_set_of(long_history(BASE), as_of=START - DAY_S)


def test_the_window_of_a_head_from_the_future_ends_when_it_was_first_seen() -> None:
    seen_at = START + (HEAD_DAY - 100) * DAY_S
    ranking = ranking_set_of(long_history(BASE), seen_at=seen_at)
    assert (ranking.as_of, ranking.train_start) == (seen_at, seen_at - 730 * DAY_S)
    assert ranking.head == with_works().head


def test_different_histories_give_the_same_prompts_byte_for_byte() -> None:
    one, other = with_works(), ranking_set_of(another_past(long_history(BASE)))
    assert [s.process for s in one.subjects] != [s.process for s in other.subjects]  # the past did differ
    assert one.signals.tolist() == other.signals.tolist()
    for part in ("train", "head"):
        for ablation in ("none", "names", "code"):
            texts = [[render_prompt(f, ablation).encode() for f in getattr(each, part)] for each in (one, other)]
            assert texts[0] == texts[1]


def test_prompts_have_no_field_for_history() -> None:
    """What `Prompted` can hold is an allow-list of its own: test_prompts.py."""
    hints = get_type_hints(RankingSet)
    assert hints["train"] == hints["head"] == tuple[Prompted, ...]
    assert [name for name, hint in hints.items() if hint == tuple[Subject, ...]] == ["subjects"]


def test_a_repository_without_code_has_a_ranking_set_without_functions() -> None:
    history = History()
    history.commit("start", {"README": "x"}, day=0)
    ranking = ranking_set_of(history)
    assert (ranking.train, ranking.head, ranking.subjects, len(ranking.signals)) == ((), (), (), 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"signals": np.zeros(2)},
        {"subjects": ()},
        {"subjects": subjects_of((prompted("h"), prompted("g")))},
        {"subjects": subjects_of((prompted("g"), prompted("h", metrics=PairMetrics(3))))},
    ],
)
def test_mismatched_parts_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not one signal|not the functions"):
        ranking_set(**wrong)


# The id


def test_the_id_is_the_hash_of_the_lines_that_its_docstring_describes() -> None:
    small = ranking_set(
        train=(prompted(code="é\n"),),
        signals=np.array([0.5]),
        head=(prompted("g", "x"),),
        subjects=subjects_of((prompted("g", "x"),), [dataclasses.replace(QUIET, touches=2, days_since_touch=0.25)]),
    )
    lines = (
        '{"as_of":1694608000,"config_hash":"","head":1,"head_sha":"%s","label_recipe_id":"abc123abc123",'
        '"repo":"example/shop","train":1,"train_start":1631536000}\n' % ("a" * 40),
        '[["src/shop.py","f","Python",[2,1,0,0,0,1],"\\u00e9\\n"],0.5]\n',
        '[["src/shop.py","g","Python",[2,1,0,0,0,1],"x"],[0,1,9,"%s"],'
        "[2.0,0.0,0.0,0.25,null,0.0,0.0,0.0,0.0,0.0,0.0]]\n" % ("0" * 40),
    )
    assert small.id == hashlib.sha256("".join(lines).encode()).hexdigest()


WHAT_COUNTS: list[dict[str, Any]] = [
    {"repo": "example/other"},
    {"head_sha": "b" * 40},
    {"train_start": 1_631_536_001},
    {"as_of": 1_694_608_001},
    {"label_recipe_id": "abc123abc124"},
    {"config_hash": "x"},
    {"train": tuple(reversed(ranking_set().train))},
    {"signals": np.array([0.0, 0.7, np.nextafter(1.0, 0.0)])},
    {"head": (prompted("g"), prompted("i"))},
    {"subjects": subjects_of(ranking_set().head)},
    {"subjects": tuple(dataclasses.replace(s, end_line=s.end_line + 1) for s in ranking_set().subjects)},
]


def test_other_code_labels_history_or_order_change_the_id(subtests: pytest.Subtests) -> None:
    for change in WHAT_COUNTS:
        with subtests.test(change=change):
            assert ranking_set(**change).id != ranking_set().id


def test_every_field_affects_the_id() -> None:
    assert {name for change in WHAT_COUNTS for name in change} == {f.name for f in dataclasses.fields(RankingSet)}


@given(st.text(), st.text(), st.text(), st.text())
def test_different_functions_are_written_differently(name: str, code: str, other_name: str, other_code: str) -> None:
    one, other = (
        ranking_set(head=(prompted(n, c), prompted("h"))) for n, c in ((name, code), (other_name, other_code))
    )
    assert (one.id == other.id) == ((name, code) == (other_name, other_code))
