"""Which functions are held out: the stratified split by groups of DESIGN.md section 2, "Holdout". Pure.

A group is what hangs together by lineage, by name or by near-copies over both snapshots; it falls on one side whole.
What picks the side is known at T_eval: labels of the training window, sizes, and a seeded hash.
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
LARGEST_GROUP_SHARE = 0.05  # of the functions alive at T_eval; a larger group goes to train


@dataclass(frozen=True, slots=True)
class Member:
    """A function at one snapshot."""

    snapshot: Literal["train", "holdout"]  # at T_train, or at T_eval
    id: str  # path, qualified name, ordinal: unique within a snapshot
    lines: int
    credit: float | None  # of the training window, for a function at T_train; none at T_eval
    lineage: int | None = None  # equal for the same function in both snapshots
    clones: int | None = None  # equal for near-copies


@dataclass(frozen=True, slots=True)
class Place:
    group: int  # numbered by smallest id, from 0
    side: Side


@dataclass(frozen=True, slots=True)
class _Group:
    name: str  # its smallest id, which no other group has
    held: int  # members that could be held out
    lines: int  # of its largest member
    credit: float | None  # of its largest member in the training window; none: born later


def split(members: Sequence[Member], seed: int = SPLIT_SEED) -> list[Place]:
    """The group and the side of each function, whatever the order they come in.

    Within a stratum (label × size) groups are taken in the order of a seeded hash of their smallest id: to train until
    60 % of the functions alive at T_eval are there. Groups with none of them, and groups with more than 5 % of all,
    go to train.
    """
    components = Components(len(members))
    components.join_equal(m.id for m in members)
    components.join_equal(m.lineage for m in members)
    components.join_equal(m.clones for m in members)
    labels = components.labels()
    together: dict[int, list[Member]] = defaultdict(list)
    for member, label in zip(members, labels, strict=True):
        together[label].append(member)
    credits = _credits(members)
    groups = {label: _described(part, credits) for label, part in together.items()}
    sides = _sides(list(groups.values()), [m.credit for m in members if m.credit], seed)
    numbers = {name: number for number, name in enumerate(sorted(group.name for group in groups.values()))}
    names = [groups[label].name for label in labels]
    return [Place(numbers[name], sides[name]) for name in names]


def _credits(members: Sequence[Member]) -> dict[int | str, float]:
    """Credit in the training window by lineage and by id."""
    credits: dict[int | str, float] = {}
    for member in members:
        if member.credit is not None:
            for key in (member.id, member.lineage):
                if key is not None:
                    credits[key] = max(credits.get(key, 0.0), member.credit)
    return credits


def _described(part: list[Member], credits: dict[int | str, float]) -> _Group:
    largest = max(part, key=lambda m: (m.lines, m.snapshot == "train", m.id))
    credit = largest.credit
    if credit is None and largest.lineage is not None:
        credit = credits.get(largest.lineage)
    if credit is None:
        credit = credits.get(largest.id)
    held = sum(m.snapshot == "holdout" for m in part)
    return _Group(min(m.id for m in part), held, largest.lines, credit)


def _sides(groups: list[_Group], positives: list[float], seed: int) -> dict[str, Side]:
    alive = sum(group.held for group in groups)
    sides: dict[str, Side] = {group.name: "train" for group in groups}
    free = [group for group in groups if 0 < group.held <= LARGEST_GROUP_SHARE * alive]
    median = float(np.median(positives)) if positives else 0.0
    terciles = [float(q) for q in np.quantile([g.lines for g in free], [1 / 3, 2 / 3])] if free else []
    strata: dict[tuple[str, int], list[_Group]] = defaultdict(list)
    for group in free:
        strata[_label_stratum(group.credit, median), sum(group.lines > cut for cut in terciles)].append(group)
    for stratum in strata.values():
        stratum.sort(key=lambda group: _hashed(seed, group.name))
        wanted = (1 - HOLDOUT_SHARE) * sum(group.held for group in stratum)
        before = 0
        for group in stratum:
            if before + group.held / 2 > wanted:
                sides[group.name] = "holdout"
            before += group.held
    return sides


def _label_stratum(credit: float | None, median: float) -> str:
    if credit is None:
        return "born later"
    if credit == 0:
        return "zero"
    return "up to the median" if credit <= median else "above"


def _hashed(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
