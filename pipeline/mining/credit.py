"""Divide the credit of fixes among the functions that they touched (docs/development/design.md, "Credit"). Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.label_recipe import LabelRecipe
from pipeline.mining.trace import ALIVE, Root
from pipeline.records import Evidence

TOO_MANY_FILES = "more than {} source files changed together"
TOO_MANY_FUNCTIONS = "more than {} functions changed together"
NO_FUNCTION = "touches no function that stood before the fix"


@dataclass(frozen=True)
class AttributedFix:
    """A fix commit with the lineages of the functions that it touched. `unit` identifies its landing."""

    sha: str
    position: int
    unit: tuple[int, str]  # (last chain position of the landing, "" or the commit's id if it is a unit of its own)
    born: frozenset[int]  # chain positions of the landing: functions born there get no credit from it
    evidence: Evidence
    files: frozenset[bytes]
    roots: frozenset[Root]


@dataclass
class Credits:
    """Credit by lineage, and the outcome of each fix commit."""

    by_root: dict[Root, float] = field(default_factory=dict)
    fixes: dict[Root, int] = field(default_factory=dict)  # units that gave credit
    by_kind: dict[str, float] = field(default_factory=dict)  # credit of functions alive at the window's start
    each: dict[str, float] = field(default_factory=dict)  # sha -> w / sqrt(m), of the commits that gave credit
    refused: dict[str, str] = field(default_factory=dict)  # sha -> reason
    files: set[bytes] = field(default_factory=set)  # changed by units that gave credit


def give_credit(fixes: Iterable[AttributedFix], recipe: LabelRecipe) -> Credits:
    """Sum the credit of each function: per landing at most its largest single w / sqrt(m)."""
    units: dict[tuple[int, str], list[AttributedFix]] = defaultdict(list)
    for fix in fixes:
        units[fix.unit].append(fix)
    credits = Credits()
    parts: dict[Root, list[float]] = defaultdict(list)
    by_kind: dict[str, list[float]] = defaultdict(list)
    for unit in sorted(units):
        members = sorted(units[unit], key=lambda f: (f.position, f.sha))
        shares = _shares(members, recipe, credits)
        for root, (share, kind) in shares.items():
            parts[root].append(share)
            if root.born_at == ALIVE:
                by_kind[kind].append(share)
    credits.by_root = {root: math.fsum(amounts) for root, amounts in parts.items()}
    credits.fixes = {root: len(amounts) for root, amounts in parts.items()}
    credits.by_kind = {kind: math.fsum(amounts) for kind, amounts in by_kind.items()}
    return credits


def _shares(
    members: Sequence[AttributedFix], recipe: LabelRecipe, credits: Credits
) -> Mapping[Root, tuple[float, str]]:
    """Return the credits of one unit, root -> (credit, evidence kind). Records in `credits` why there are none."""
    files = frozenset[bytes]().union(*(fix.files for fix in members))
    touched = {fix.sha: frozenset(r for r in fix.roots if r.born_at not in fix.born) for fix in members}
    functions = frozenset[Root]().union(*touched.values())
    reason = _refusal(len(files), len(functions), recipe)
    if reason:
        credits.refused.update((fix.sha, reason) for fix in members)
        return {}
    credits.files |= files
    shares: dict[Root, tuple[float, str]] = {}
    for fix in members:
        if not touched[fix.sha]:
            credits.refused[fix.sha] = NO_FUNCTION
            continue
        share = fix.evidence.weight / math.sqrt(len(functions))
        credits.each[fix.sha] = share
        for root in touched[fix.sha]:
            if root not in shares or share > shares[root][0]:
                shares[root] = (share, fix.evidence.kind)
    return shares


def _refusal(files: int, functions: int, recipe: LabelRecipe) -> str:
    if files > recipe.most_files:
        return TOO_MANY_FILES.format(recipe.most_files)
    if functions > recipe.most_functions:
        return TOO_MANY_FUNCTIONS.format(recipe.most_functions)
    return "" if functions else NO_FUNCTION
