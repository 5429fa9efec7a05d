"""Match files and functions across one diff: renamed files, then vanished functions with born ones.

Pure functions of the diff's contents, so that the result does not depend on when and where it is computed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from pipeline.label_recipe import LabelRecipe

# Beyond this many comparisons in one diff only functions with equal tokens or equal names are compared: restructuring
# thousands of files would otherwise be quadratic.
MAX_COMPARISONS = 200_000
MAX_RENAME_COMPARISONS = 10_000

T = TypeVar("T")


class FunctionKey(NamedTuple):
    """A function in a version of a file."""

    qualified_name: str
    ordinal: int


Place = tuple[bytes, FunctionKey]  # (path, function)


@dataclass(frozen=True)
class Candidate:
    """A function that vanished or was born in a diff, with its tokens."""

    place: Place
    tokens: tuple[bytes, ...]
    simple_name: str = field(init=False)
    counts: Counter[bytes] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "simple_name", self.place[1].qualified_name.rpartition(".")[2])
        object.__setattr__(self, "counts", Counter(self.tokens))


def match_renames(
    deleted: Mapping[bytes, tuple[bytes, bytes | None]],
    added: Mapping[bytes, tuple[bytes, bytes | None]],
    recipe: LabelRecipe,
) -> dict[bytes, bytes]:
    """Return new path -> old path. Both sides map a path to (blob id, content or None if it is unreadable).

    Equal ids match first (preferring the old path with the longest common suffix, then the first by name), then the
    most similar contents, at least `recipe.file_similarity`, one to one. Quadratic: the caller must limit the number of
    comparisons (MAX_RENAME_COMPARISONS).
    """
    renamed: dict[bytes, bytes] = {}
    left = dict(deleted)
    by_id: dict[bytes, list[bytes]] = defaultdict(list)
    for path in sorted(deleted):
        by_id[deleted[path][0]].append(path)
    for path in sorted(added):
        same = [old for old in by_id.get(added[path][0], ()) if old in left]
        if same:
            old = max(same, key=lambda o: (_common_suffix(o, path), [-b for b in o]))
            renamed[path] = old
            del left[old]
    born = {path: value for path, value in added.items() if path not in renamed}
    if left and born:
        renamed.update(_similar_files(left, born, recipe.file_similarity))
    return renamed


def _common_suffix(a: bytes, b: bytes) -> int:
    count = 0
    for x, y in zip(reversed(a.split(b"/")), reversed(b.split(b"/")), strict=False):
        if x != y:
            break
        count += 1
    return count


def _similar_files(
    deleted: Mapping[bytes, tuple[bytes, bytes | None]],
    added: Mapping[bytes, tuple[bytes, bytes | None]],
    minimum: float,
) -> dict[bytes, bytes]:
    olds = {path: _line_weights(data) for path, (_, data) in deleted.items() if data}
    scored = []
    for path in sorted(added):
        data = added[path][1]
        if not data:
            continue
        lines, size = _line_weights(data)
        for old, (old_lines, old_size) in olds.items():
            if 2 * min(size, old_size) < minimum * (size + old_size):
                continue
            shared = sum(len(line) * min(n, old_lines[line]) for line, n in lines.items() if line in old_lines)
            score = 2 * shared / (size + old_size)
            if score >= minimum:
                scored.append((-score, -_common_suffix(old, path), path, old))
    return _one_to_one((path, old) for _, _, path, old in sorted(scored))


def _line_weights(data: bytes) -> tuple[Counter[bytes], int]:
    lines = Counter(line for line in data.split(b"\n") if line.strip())
    return lines, sum(len(line) * n for line, n in lines.items())


def _one_to_one(pairs: Iterable[tuple[T, T]]) -> dict[T, T]:
    """Return the pairs in order, using each side once."""
    taken: dict[T, T] = {}
    used: set[T] = set()
    for new, old in pairs:
        if new not in taken and old not in used:
            taken[new] = old
            used.add(old)
    return taken


def match_functions(
    vanished: Sequence[Candidate], born: Sequence[Candidate], recipe: LabelRecipe
) -> dict[Place, Place]:
    """Return born place -> vanished place, one to one, by highest token similarity.

    The minimum is `same_name_similarity` for equal simple names, else `other_name_similarity`. Functions of fewer than
    `short_function_tokens` tokens must have equal tokens (docs/development/design.md, "Function").
    """
    scored: list[tuple[float, bool, Place, Place]] = []
    for new, old in _candidate_pairs(vanished, born):
        same_name = new.simple_name == old.simple_name
        score = _similar_enough(new, old, same_name, recipe)
        if score is not None:
            scored.append((-score, not same_name, new.place, old.place))
    return _one_to_one((new, old) for _, _, new, old in sorted(scored))


def _similar_enough(new: Candidate, old: Candidate, same_name: bool, recipe: LabelRecipe) -> float | None:
    """Return the token similarity if it suffices, else None. Sizes too far apart are not compared at all."""
    fewer, more = sorted((len(new.tokens), len(old.tokens)))
    if fewer < recipe.short_function_tokens:
        return 1.0 if new.tokens == old.tokens else None
    minimum = recipe.same_name_similarity if same_name else recipe.other_name_similarity
    if 2 * fewer < minimum * (fewer + more):
        return None
    score = similarity(new, old)
    return score if score >= minimum else None


def _candidate_pairs(vanished: Sequence[Candidate], born: Sequence[Candidate]) -> Iterable[tuple[Candidate, Candidate]]:
    if len(vanished) * len(born) <= MAX_COMPARISONS:
        return ((new, old) for new in born for old in vanished)
    by_name: dict[str, list[Candidate]] = defaultdict(list)
    by_tokens: dict[tuple[bytes, ...], list[Candidate]] = defaultdict(list)
    for old in vanished:
        by_name[old.simple_name].append(old)
        by_tokens[old.tokens].append(old)
    pairs: dict[tuple[Place, Place], tuple[Candidate, Candidate]] = {}
    for new in born:
        # Names like `get` can occur in thousands of files: trying the first few hundred is enough.
        for old in [*by_tokens.get(new.tokens, ())[:200], *by_name.get(new.simple_name, ())[:200]]:
            pairs[new.place, old.place] = (new, old)
    return pairs.values()


def similarity(a: Candidate, b: Candidate) -> float:
    """Return the Dice coefficient of two token multisets, in [0, 1]; 1.0 only for equal sequences."""
    if a.tokens == b.tokens:
        return 1.0
    few, many = (a.counts, b.counts) if len(a.counts) <= len(b.counts) else (b.counts, a.counts)
    shared = sum(min(n, many[token]) for token, n in few.items() if token in many)
    return min(2 * shared / (len(a.tokens) + len(b.tokens)), 1 - 1e-9)
