"""Stratified split of functions into training and holdout by groups (docs/development/design.md, "Holdout"). Pure.

A group holds all functions of both snapshots that are connected by lineage, by name or as near-clones; it goes to one
side as a whole. The side depends only on what is known at T_eval: training labels, sizes and a seeded hash.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.label_recipe import HOLDOUT_SHARE
from pipeline.ranking.components import Components

Side = Literal["train", "holdout"]

SPLIT_SEED = 20_260_101
MAX_GROUP_SHARE = 0.05  # of the functions alive at T_eval; a larger group goes to train


@dataclass(frozen=True, slots=True)
class Member:
    """A function at one snapshot."""

    snapshot: Literal["train", "holdout"]  # taken at T_train or T_eval
    id: str  # path, qualified name, ordinal: unique within a snapshot
    lines: int
    credit: float | None  # in the training window, for a function at T_train; None at T_eval
    lineage: int | None = None  # equal for the same function in both snapshots
    clones: int | None = None  # equal for near-clones


@dataclass(frozen=True, slots=True)
class Place:
    """The group and side of a function."""

    group: int  # 0-based, in the order of the groups' smallest ids
    side: Side


@dataclass(frozen=True, slots=True)
class _Group:
    name: str  # smallest id of its members, unique
    alive: int  # members alive at T_eval
    lines: int  # of its largest member
    credit: float | None  # of its largest member in the training window; None if born later


def split(members: Sequence[Member], seed: int = SPLIT_SEED) -> list[Place]:
    """Return the group and side of each function, independently of their order.

    Within each stratum (label × size), groups in the order of a seeded hash of their smallest id go to train until it
    has 60 % of the functions alive at T_eval, the rest to holdout. Groups without such a function, and groups with more
    than 5 % of all of them, go to train.
    """
    components = Components(len(members))
    components.join_equal(m.id for m in members)
    components.join_equal(m.lineage for m in members)
    components.join_equal(m.clones for m in members)
    labels = components.labels()
    by_label: dict[int, list[Member]] = defaultdict(list)
    for member, label in zip(members, labels, strict=True):
        by_label[label].append(member)
    credits = _credits(members)
    groups = {label: _summarize(part, credits) for label, part in by_label.items()}
    sides = _assign_sides(list(groups.values()), [m.credit for m in members if m.credit], seed)
    numbers = {name: number for number, name in enumerate(sorted(group.name for group in groups.values()))}
    names = [groups[label].name for label in labels]
    return [Place(numbers[name], sides[name]) for name in names]


def _credits(members: Sequence[Member]) -> dict[int | str, float]:
    """Return credit in the training window by lineage and by id."""
    credits: dict[int | str, float] = {}
    for member in members:
        if member.credit is not None:
            for key in (member.id, member.lineage):
                if key is not None:
                    credits[key] = max(credits.get(key, 0.0), member.credit)
    return credits


def _summarize(part: list[Member], credits: dict[int | str, float]) -> _Group:
    largest = max(part, key=lambda m: (m.lines, m.snapshot == "train", m.id))
    credit = largest.credit
    if credit is None and largest.lineage is not None:
        credit = credits.get(largest.lineage)
    if credit is None:
        credit = credits.get(largest.id)
    alive = sum(m.snapshot == "holdout" for m in part)
    return _Group(min(m.id for m in part), alive, largest.lines, credit)


def _assign_sides(groups: list[_Group], positives: list[float], seed: int) -> dict[str, Side]:
    alive = sum(group.alive for group in groups)
    sides: dict[str, Side] = {group.name: "train" for group in groups}
    free = [group for group in groups if 0 < group.alive <= MAX_GROUP_SHARE * alive]
    median = float(np.median(positives)) if positives else 0.0
    terciles = [float(q) for q in np.quantile([g.lines for g in free], [1 / 3, 2 / 3])] if free else []
    strata: dict[tuple[str, int], list[_Group]] = defaultdict(list)
    for group in free:
        strata[_label_stratum(group.credit, median), sum(group.lines > cut for cut in terciles)].append(group)
    for stratum in strata.values():
        stratum.sort(key=lambda group: _hash(seed, group.name))
        train_size = (1 - HOLDOUT_SHARE) * sum(group.alive for group in stratum)
        before = 0
        for group in stratum:
            if before + group.alive / 2 > train_size:
                sides[group.name] = "holdout"
            before += group.alive
    return sides


def _label_stratum(credit: float | None, median: float) -> str:
    if credit is None:
        return "born later"
    if credit == 0:
        return "zero"
    return "up to the median" if credit <= median else "above"


def _hash(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
