"""Match the functions of two versions of a file, telling those of one name apart by what they are.

Overloads, trait implementations, accessors and redefinitions share a qualified name. Their ordinal is only a label:
inserting one shifts those below it. A function that no hunk touches is where the diff puts it. The others of a group
match one to one, most similar first: by their tokens, with a bonus for an equal signature and for an equal enclosing
scope (`impl Debug for P`). Only those need tokens.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from pipeline.label_recipe import LabelRecipe
from pipeline.mining.facts.lineage import Candidate, FunctionKey, similarity
from pipeline.syntax.hunks import Hunk
from pipeline.syntax.outline import SCOPE
from pipeline.syntax.parser import Function, ParsedFile, located_functions
from pipeline.syntax.tokens import code_tokens

SIGNATURE_BONUS = 0.25
SCOPE_BONUS = 0.25
_MAX_COMPARISONS = 2_500  # in one group; beyond that functions match in their order
_MAX_HEADER_BYTES = 300
_QUALIFIERS = frozenset({b"const", b"volatile", b"&", b"&&"})  # after the parameters, they tell C++ overloads apart


def match_siblings(
    old: ParsedFile | None, new: ParsedFile | None, hunks: Sequence[Hunk], recipe: LabelRecipe
) -> dict[int, int]:
    """Return the index of each old function's successor among the new ones; absent: it vanished.

    A name that occurs once on both sides is the same function, whatever became of it.
    """
    if old is None or new is None:
        return {}
    groups_old, groups_new = _by_name(old.functions), _by_name(new.functions)
    matched: dict[int, int] = {}
    repeated: list[tuple[list[int], list[int]]] = []
    for name, before in groups_old.items():
        after = groups_new.get(name)
        if after is None:
            continue
        if len(before) == len(after) == 1:
            matched[before[0]] = after[0]
        else:
            repeated.append((before, after))
    if not repeated:
        return matched
    matched.update(_in_place((i for before, _ in repeated for i in before), old.functions, new.functions, hunks))
    taken = set(matched.values())
    for before, after in repeated:
        left = [i for i in before if i not in matched]
        free = [i for i in after if i not in taken]
        if left and free:
            matched.update(_most_similar(_members(old, left), _members(new, free), recipe))
    return matched


def _by_name(functions: Sequence[Function]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for index, function in enumerate(functions):
        groups[function.qualified_name].append(index)
    return groups


def _in_place(
    indexes: Iterable[int], old: Sequence[Function], new: Sequence[Function], hunks: Sequence[Hunk]
) -> dict[int, int]:
    """Match the functions whose lines no hunk changes: they stand where the hunks above shift them to."""
    ends = [hunk.old_end for hunk in hunks]
    shifts = [0, *accumulate(h.new_end - h.new_start - h.old_end + h.old_start for h in hunks)]
    places = {(f.qualified_name, f.start_line, f.end_line): i for i, f in enumerate(new)}
    matched: dict[int, int] = {}
    for index in indexes:
        name, _, start_line, end_line = old[index]
        above = bisect_right(ends, start_line - 1)
        if above < len(hunks) and hunks[above].old_start < end_line:
            continue
        shift = shifts[above]
        successor = places.get((name, start_line + shift, end_line + shift))
        if successor is not None:
            matched[index] = successor
    return matched


@dataclass(frozen=True)
class _Member:
    """A function of a group, with what tells it apart."""

    index: int
    candidate: Candidate
    signature: tuple[bytes, ...]
    scope: bytes


def _members(parsed: ParsedFile, indexes: Sequence[int]) -> list[_Member]:
    members = []
    scopes = _scopes(parsed, indexes)
    for index in indexes:
        function = parsed.functions[index]
        tokens = tuple(code_tokens(parsed, function.start_line, function.end_line))
        key = FunctionKey(function.qualified_name, function.ordinal)
        signature = signature_of(function.qualified_name, tokens)
        members.append(_Member(index, Candidate((b"", key), tokens), signature, scopes[index]))
    return members


def _scopes(parsed: ParsedFile, indexes: Sequence[int]) -> dict[int, bytes]:
    """Return the head of the innermost scope around each function, without white space."""
    wanted, last = set(indexes), max(indexes)
    scopes: dict[int, bytes] = {}
    around = [item for item in parsed.outline if item.kind == SCOPE]
    at, stack = 0, []
    for index, (_, item, _) in enumerate(located_functions(parsed.outline)):
        while at < len(around) and around[at].start <= item.start:
            stack.append(around[at])
            at += 1
        while stack and stack[-1].end < item.end:
            stack.pop()
        if index in wanted:
            head = parsed.data[stack[-1].start :][:_MAX_HEADER_BYTES] if stack else b""
            scopes[index] = b"".join(head.partition(b"{")[0].partition(b"\n")[0].split())
        if index == last:
            break
    return scopes


def signature_of(qualified_name: str, tokens: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the tokens from after a function's name to the end of its parameters, empty if there are none."""
    name = qualified_name.rpartition(".")[2].encode()
    start = next((i + 1 for i, token in enumerate(tokens) if token == name), 0)
    depth = 0
    for at in range(start, len(tokens)):
        depth += (tokens[at] == b"(") - (tokens[at] == b")")
        if tokens[at] in (b"{", b"=>") and not depth:
            break
        if tokens[at] == b")" and depth <= 0:
            end = at + 1
            while end < len(tokens) and tokens[end] in _QUALIFIERS:
                end += 1
            return tuple(tokens[start:end])
    return ()


def _most_similar(old: Sequence[_Member], new: Sequence[_Member], recipe: LabelRecipe) -> dict[int, int]:
    """Match one to one, best score first, then in the order of the file."""
    if len(old) * len(new) > _MAX_COMPARISONS:
        return {before.index: after.index for before, after in zip(old, new, strict=False)}
    scored = []
    for rank, before in enumerate(old):
        for other, after in enumerate(new):
            score = _score(before, after, recipe)
            if score is not None:
                scored.append((-score, abs(rank - other), before.index, after.index))
    matched: dict[int, int] = {}
    taken: set[int] = set()
    for _, _, before_index, after_index in sorted(scored):
        if before_index not in matched and after_index not in taken:
            matched[before_index] = after_index
            taken.add(after_index)
    return matched


def _score(old: _Member, new: _Member, recipe: LabelRecipe) -> float | None:
    """Return how alike two functions of one name are, None for strangers."""
    same_signature, same_scope = old.signature == new.signature, old.scope == new.scope
    score = similarity(old.candidate, new.candidate)
    short = min(len(old.candidate.tokens), len(new.candidate.tokens)) < recipe.short_function_tokens
    minimum = recipe.other_name_similarity if short else recipe.same_name_similarity
    if score < minimum and not (same_signature and same_scope):
        return None
    return score + SIGNATURE_BONUS * same_signature + SCOPE_BONUS * same_scope
