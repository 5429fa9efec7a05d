from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.ranking.holdout import Member, Place, split


def born(number: int, lines: int = 10, clones: int | None = None) -> Member:
    """A function that stands at T_eval only."""
    return Member("holdout", f"b{number:05}.py::f::0", lines, None, None, clones)


def lived(number: int, credit: float = 0.0, lines: int = 10, clones: int | None = None) -> list[Member]:
    """A function that stands at both snapshots, and was renamed in between."""
    return [
        Member("train", f"a{number:05}.py::f::0", lines, credit, number, clones),
        Member("holdout", f"c{number:05}.py::f::0", lines, None, number, clones),
    ]


def history(count: int = 400) -> list[Member]:
    """Functions of every kind, with a copy here and there."""
    random = np.random.default_rng(5)
    members: list[Member] = []
    for i in range(count):
        lines, clones = int(random.integers(3, 80)), int(random.integers(0, 60)) if random.random() < 0.2 else None
        credit = float(random.choice([0, 0, 0, 0.35, 0.7, 1.4]))
        members += lived(i, credit, lines, clones) if i % 4 else [born(i, lines, clones)]
    return members


def held_out(members: list[Member], places: list[Place]) -> list[str]:
    return [m.id for m, p in zip(members, places, strict=True) if p.side == "holdout" and m.snapshot == "holdout"]


members_of = st.lists(
    st.builds(
        Member,
        st.sampled_from(["train", "holdout"]),
        st.integers(0, 60).map(lambda i: f"{i % 9}.py::f{i}::0"),
        st.integers(3, 60),
        st.sampled_from([0.0, 0.35, 0.7, 1.4]),
        st.none() | st.integers(0, 20),
        st.none() | st.integers(0, 6),
    ).map(lambda m: m if m.snapshot == "train" else replace(m, credit=None)),
    max_size=50,
    unique_by=lambda m: (m.snapshot, m.id),
)


@settings(max_examples=40, deadline=None)
@given(members_of)
def test_no_lineage_name_or_near_clone_is_on_both_sides(members: list[Member]) -> None:
    places = split(members)
    for key in ("id", "lineage", "clones"):
        sides: dict[object, set[str]] = {}
        for member, place in zip(members, places, strict=True):
            if getattr(member, key) is not None:
                sides.setdefault(getattr(member, key), set()).add(place.side)
        assert all(len(found) == 1 for found in sides.values())
    groups = {p.group: p.side for p in places}
    assert all(groups[p.group] == p.side for p in places)


@settings(max_examples=40, deadline=None)
@given(members_of, st.randoms())
def test_the_order_of_the_functions_does_not_matter(members: list[Member], random) -> None:
    order = random.sample(range(len(members)), len(members))
    assert split([members[i] for i in order]) == [split(members)[i] for i in order]


@settings(max_examples=40, deadline=None)
@given(members_of)
def test_groups_are_numbered_from_zero(members: list[Member]) -> None:
    places = split(members)
    assert sorted({p.group for p in places}) == list(range(len({p.group for p in places})))


def test_four_in_ten_functions_are_held_out_in_every_stratum() -> None:
    members = history(2_000)
    places = split(members)
    alive = [m for m in members if m.snapshot == "holdout"]
    assert len(held_out(members, places)) == pytest.approx(0.4 * len(alive), rel=0.03)
    credit = {m.lineage: m.credit for m in members if m.snapshot == "train"}
    positives = Counter(
        p.side for m, p in zip(members, places, strict=True) if m.snapshot == "holdout" and credit.get(m.lineage)
    )
    assert positives["holdout"] / positives.total() == pytest.approx(0.4, abs=0.05)
    large = Counter(p.side for m, p in zip(members, places, strict=True) if m.snapshot == "holdout" and m.lines > 60)
    assert large["holdout"] / large.total() == pytest.approx(0.4, abs=0.05)
    new = Counter(p.side for m, p in zip(members, places, strict=True) if m.id.startswith("b"))
    assert new["holdout"] / new.total() == pytest.approx(0.4, abs=0.05)


def test_the_split_is_determined_by_the_seed() -> None:
    members = history()
    one, again, other = (held_out(members, split(members, seed)) for seed in (1, 1, 2))
    assert one == again
    assert 0.2 < len(set(one) & set(other)) / len(one) < 0.6


def test_adding_a_function_moves_few_others() -> None:
    members = history()
    before = set(held_out(members, split(members)))
    more = [*members, born(99_999, lines=12)]
    after = set(held_out(more, split(more)))
    assert len(before ^ after) <= 4


def test_a_group_that_is_too_large_is_never_held_out() -> None:
    copies = [born(i, clones=1) for i in range(30)]
    others = [born(i) for i in range(100, 400)]
    for seed in range(20):
        assert not set(held_out([*copies, *others], split([*copies, *others], seed))) & {m.id for m in copies}


def test_a_group_of_five_percent_may_be_held_out() -> None:
    copies = [born(i, clones=1) for i in range(10)]
    others = [born(i) for i in range(100, 290)]
    assert any(
        set(held_out([*copies, *others], split([*copies, *others], seed))) & {m.id for m in copies}
        for seed in range(20)
    )


def test_functions_gone_by_t_eval_are_in_training() -> None:
    gone = [Member("train", f"gone{i}.py::f::0", 10, 0.7, 1_000 + i) for i in range(50)]
    members = [*gone, *history()]
    assert {p.side for p in split(members)[:50]} == {"train"}


def test_strata_use_training_labels_and_nothing_later() -> None:
    """Two strata: who was fixed in training and who was not; each is split 60:40 on its own."""
    members = [m for i in range(200) for m in lived(i, credit=0.7 if i < 20 else 0.0)]
    held = held_out(members, split(members))
    fixed = {f"c{i:05}.py::f::0" for i in range(20)}
    assert len(fixed & set(held)) == 8
    assert len(held) == 80


def test_a_group_is_in_the_stratum_of_its_largest_member() -> None:
    """Ten pairs of near-copies, one fixed and large, one small and not: all are in the stratum of the fixed."""
    pairs = [m for i in range(10) for m in (*lived(i, 0.7, 50, i), *lived(100 + i, 0.0, 5, i))]
    rest = [m for i in range(200, 600) for m in lived(i, 0.0, 50)]
    held = held_out([*pairs, *rest], split([*pairs, *rest]))
    assert sum(id < "c00100" for id in held) == 4
    assert sum("c00100" <= id < "c00200" for id in held) == 4


@pytest.mark.parametrize("members", [[], [born(1)], lived(1, 0.7)])
def test_a_tiny_set_can_be_split(members: list[Member]) -> None:
    assert [p.group for p in split(members)] == [0] * len(members)
