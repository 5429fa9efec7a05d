"""Read the commit graph of a head: the first-parent chain, landings, effective times.

The whole graph is walked once: real histories have old dates in the middle, so the walk must not stop early. The graph
is stored in columns (a few dozen bytes per commit) without messages; the few that a window needs are read again.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from binascii import unhexlify
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from pipeline.git.objects import ObjectReader
from pipeline.git.packs import ObjectProblem
from pipeline.label_recipe import MINER_VERSION, LabelRecipe
from pipeline.records import DAY_S

# Flags of a commit by its message, in version 1 of the label rules only the first.
KEYED = 2  # the subject begins with the key of an issue in another tracker
MAY_FIX = 1  # the message may contain fix evidence or revert something (a cheap test without false negatives)

ROOT = -1  # an absent parent: missing, or beyond a shallow boundary

_PERSON = re.compile(rb"^(author|committer) (.*?) (-?\d{1,18}) [+-]\d{4}\s*$", re.M)
# As git reads it: the time follows the last bracket, and what follows the time does not matter.
_ODD_PERSON = re.compile(rb"^(author|committer) ([^\n]*>)?([^\n]*)$", re.M)
_TIME = re.compile(rb"\s*(-?\d{1,18})(?!\d)")

# Landings whose committer times lie within a month while their author times span years were written by a rewrite or an
# import (docs/development/design.md, "Times").
REWRITTEN_WITHIN_DAYS = 30
REWRITTEN_SPAN_DAYS = 365
REWRITTEN_LANDINGS = 10


@dataclass(frozen=True)
class RawCommit:
    """The fields of a commit object that mining reads; `author` is raw `Name <mail>`."""

    tree: bytes
    parents: tuple[bytes, ...]
    author: bytes
    authored_at: int
    committer: bytes
    committed_at: int
    encoding: bytes | None
    message: bytes


def parse_commit(data: bytes, version: int = MINER_VERSION) -> RawCommit:
    """Parse a commit object, tolerating odd people and dates. Raises ValueError if it has no tree.

    In the first version of the rules a person whose time zone is odd has neither name nor time.
    """
    head, _, message = data.partition(b"\n\n")
    if not head.startswith(b"tree ") or len(head) < 45:
        raise ValueError("commit without a tree")
    tree = unhexlify(head[5:45])
    position, parents = 46, []
    while head.startswith(b"parent ", position):
        parents.append(unhexlify(head[position + 7 : position + 47]))
        position += 48
    people = {role: (person, int(time)) for role, person, time in _PERSON.findall(head, position)}
    if len(people) < 2 and version >= 2:
        people = _odd_people(head, position) | people
    author, authored_at = people.get(b"author", (b"", 0))
    committer, committed_at = people.get(b"committer", (author, authored_at))
    encoding = None
    at = head.find(b"\nencoding ", position - 1)
    if at >= 0:
        encoding = head[at + 10 :].split(b"\n", 1)[0][:40]
    return RawCommit(tree, tuple(parents), author, authored_at, committer, committed_at, encoding, message)


def _odd_people(head: bytes, position: int) -> dict[bytes, tuple[bytes, int]]:
    """Return name and time by role. A time that cannot be read is that of the other role, else 0."""
    names: dict[bytes, bytes] = {}
    times: dict[bytes, int] = {}
    for role, person, rest in _ODD_PERSON.findall(head, position):
        names[role] = person or rest.strip()
        if time := _TIME.match(rest):
            times[role] = int(time[1])
    other = next(iter(times.values()), 0)
    return {role: (name, times.get(role, other)) for role, name in names.items()}


@dataclass
class CommitGraph:
    """Commits in columns, in the order of the walk. Parents are indexes, ROOT if absent."""

    ids: list[bytes] = field(default_factory=list)
    trees: list[bytes] = field(default_factory=list)
    parents: list[tuple[int, ...]] = field(default_factory=list)
    committed_at: array[int] = field(default_factory=lambda: array("q"))
    author_key: array[int] = field(
        default_factory=lambda: array("Q")
    )  # author and author time, which cherry-picks keep
    series_key: array[int] = field(default_factory=lambda: array("Q"))  # author alone
    authored_at: array[int] = field(default_factory=lambda: array("q"))
    flags: array[int] = field(default_factory=lambda: array("B"))
    index: dict[bytes, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)


def short_hash(data: bytes) -> int:
    """Return 64 bits of BLAKE2b, a key within one history where a collision is harmless."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def extend_graph(
    graph: CommitGraph,
    reader: ObjectReader,
    head: bytes,
    flags_of: Callable[[bytes], int],
    shallow: frozenset[bytes] = frozenset(),
    progress: Callable[[int], None] | None = None,
    version: int = MINER_VERSION,
) -> int:
    """Add the commits reachable from `head` that the graph lacks. Return how many objects were missing or damaged.

    A shallow boundary counts as the first commit. `flags_of` judges a message: MAY_FIX and KEYED, or 0.
    """
    problems = 0
    parent_ids: list[tuple[int, tuple[bytes, ...]]] = []
    todo = [] if head in graph.index else [head]
    queued = set(todo)
    while todo:
        commit_id = todo.pop()
        try:
            raw = parse_commit(reader.commit(commit_id), version)
        except (ObjectProblem, ValueError):
            problems += 1
            continue
        position = _append(graph, commit_id, raw, flags_of)
        if commit_id in shallow:
            continue
        parent_ids.append((position, raw.parents))
        for parent in reversed(raw.parents):
            if parent not in graph.index and parent not in queued:
                queued.add(parent)
                todo.append(parent)
        if progress and position % 2000 == 0:
            progress(position)
    for position, names in parent_ids:
        graph.parents[position] = tuple(graph.index.get(name, ROOT) for name in names)
    return problems


def _append(graph: CommitGraph, commit_id: bytes, raw: RawCommit, flags_of: Callable[[bytes], int]) -> int:
    position = len(graph.ids)
    graph.index[commit_id] = position
    graph.ids.append(commit_id)
    graph.trees.append(raw.tree)
    graph.parents.append(())
    graph.committed_at.append(raw.committed_at)
    graph.author_key.append(short_hash(b"%s %d" % (raw.author, raw.authored_at)))
    graph.series_key.append(short_hash(raw.author))
    graph.authored_at.append(raw.authored_at)
    graph.flags.append(flags_of(raw.message))
    return position


@dataclass(frozen=True)
class History:
    """A graph seen from one head. `chain` is oldest first; `landing[c]` is a chain position, -1 if unreachable."""

    graph: CommitGraph
    chain: tuple[int, ...]
    effective_at: tuple[int, ...]  # by chain position, never decreasing
    landing: array[int]
    landed: tuple[int, ...]  # by chain position: how many commits landed with it, itself included
    unit: tuple[int, ...]  # by chain position: the last position of the rebased series it belongs to
    commits: int
    boundary: int | None  # first commit of the chain, if its parents are cut off (shallow) or missing
    rewritten: int = 0  # landings that have their author's time, since their committer's is that of a rewrite

    @property
    def head(self) -> int:
        return self.chain[-1]

    def position_at(self, time: int) -> int:
        """Return the chain position of the last commit with effective time <= `time`, -1 if there is none."""
        return int(np.searchsorted(np.asarray(self.effective_at), time, side="right")) - 1


def read_history(
    graph: CommitGraph, head: int, recipe: LabelRecipe, shallow: frozenset[bytes] = frozenset()
) -> History:
    """Compute the chain, effective times and landings of all that is reachable from `head` (an index of `graph`)."""
    cut = {graph.index[name] for name in shallow if name in graph.index}

    def parents(commit: int) -> tuple[int, ...]:
        return () if commit in cut else graph.parents[commit]

    chain, boundary = _first_parent_chain(graph, head, parents, cut)
    landing = array("i", [-1]) * len(graph)
    landed = []
    for position, tip in enumerate(chain):
        landed.append(_land(position, tip, landing, parents))
    landed_at, rewritten = [graph.committed_at[c] for c in chain], 0
    if recipe.miner_version >= 2:
        landed_at, rewritten = landing_times(landed_at, [graph.authored_at[c] for c in chain])
    times = effective_times(landed_at, recipe)
    unit = _rebased_series(graph, chain, landed_at, recipe, parents)
    return History(graph, tuple(chain), times, landing, tuple(landed), unit, sum(landed), boundary, rewritten)


def _first_parent_chain(
    graph: CommitGraph, head: int, parents: Callable[[int], tuple[int, ...]], cut: set[int]
) -> tuple[list[int], int | None]:
    chain = [head]
    while True:
        above = parents(chain[-1])
        if not above or above[0] == ROOT:
            break
        chain.append(above[0])
    last = chain[-1]
    boundary = last if last in cut or (graph.parents[last] and graph.parents[last][0] == ROOT) else None
    chain.reverse()
    return chain, boundary


def _land(position: int, tip: int, landing: array[int], parents: Callable[[int], tuple[int, ...]]) -> int:
    landing[tip] = position
    count, todo = 1, list(parents(tip)[1:])
    while todo:
        commit = todo.pop()
        if commit == ROOT or landing[commit] >= 0:
            continue
        landing[commit] = position
        count += 1
        todo.extend(parents(commit))
    return count


def landing_times(committed_at: Sequence[int], authored_at: Sequence[int]) -> tuple[list[int], int]:
    """Return the times of the landings, and of how many that is the author's.

    The chain is cut into runs of at most 30 days by committer times. Committer times of a run are those of a rewrite
    (`filter-repo`, `rebase --root`, an import) if it looks like a history of its own by author times; then its landings
    have those. What landed after a rewrite keeps its own.
    """
    times, rewritten, start = list(committed_at), 0, 0
    while start < len(times):
        end = start + 1
        while end < len(times) and abs(committed_at[end] - committed_at[start]) <= REWRITTEN_WITHIN_DAYS * DAY_S:
            end += 1
        if _is_rewritten(authored_at[start:end], times[start - 1] if start else None):
            times[start:end] = authored_at[start:end]
            rewritten += end - start
        start = end
    return times, rewritten


def _is_rewritten(authored_at: Sequence[int], before: int | None) -> bool:
    """Return whether a run of landings is a history by its author times: at least ten that span a year, in order.

    The middle 80 % count. Old pull requests that are rebased in one month begin before the landing `before` the run, or
    jump back and forth.
    """
    count, slack = len(authored_at), REWRITTEN_WITHIN_DAYS * DAY_S
    if count < REWRITTEN_LANDINGS:
        return False
    middle = sorted(authored_at)[count // 10 : count - count // 10]
    if middle[-1] - middle[0] < REWRITTEN_SPAN_DAYS * DAY_S or (before is not None and middle[0] < before - slack):
        return False
    back = sum(later < earlier - slack for earlier, later in pairwise(authored_at))
    return back <= count // 10


def effective_times(landed_at: Sequence[int], recipe: LabelRecipe) -> tuple[int, ...]:
    """Return the times of landings with outliers replaced by the local median, as a running maximum.

    See docs/development/design.md, "Times". The window of neighbours is centred on the commit: `recipe.neighbours` in
    all, itself included, fewer near the ends of the chain. This way a history whose times never decrease keeps them,
    even if its commits are far apart; with an asymmetric window the last commits of a quiet repository would count as
    outliers.
    """
    times = np.asarray(landed_at, dtype=np.int64)
    medians = times.copy()
    reach = recipe.neighbours // 2
    for radius in range(1, min(reach, (len(times) - 1) // 2) + 1):
        for at in (radius, len(times) - 1 - radius):
            medians[at] = np.sort(times[at - radius : at + radius + 1])[radius]
    if len(times) > 2 * reach:
        windows = np.lib.stride_tricks.sliding_window_view(times, 2 * reach + 1)
        medians[reach : len(times) - reach] = np.sort(windows, axis=1)[:, reach]
    outlier = np.abs(times - medians) > recipe.outlier_days * DAY_S
    return tuple(int(t) for t in np.maximum.accumulate(np.where(outlier, medians, times)))


def _rebased_series(
    graph: CommitGraph,
    chain: Sequence[int],
    landed_at: Sequence[int],
    recipe: LabelRecipe,
    parents: Callable[[int], tuple[int, ...]],
) -> tuple[int, ...]:
    """Group the commits of a rebased branch into one landing: neighbours of one author, seconds apart.

    Otherwise the same work would count more if it is rebased than if it is squashed or merged.
    """
    unit = list(range(len(chain)))
    for position in range(len(chain) - 2, -1, -1):
        here, after = chain[position], chain[position + 1]
        gap = landed_at[position + 1] - landed_at[position]
        if (
            0 <= gap <= recipe.series_gap_s
            and graph.series_key[here] == graph.series_key[after]
            and len(parents(here)) == 1
            and len(parents(after)) == 1
        ):
            unit[position] = unit[position + 1]
    return tuple(unit)


def cut_at(history: History, time: int, recipe: LabelRecipe, shallow: frozenset[bytes] = frozenset()) -> History | None:
    """Return the history up to the last landing with effective time <= `time`, None if there is none."""
    position = history.position_at(time)
    if position < 0:
        return None
    return read_history(history.graph, history.chain[position], recipe, shallow)


def first_parent(history: History, commit: int) -> int | None:
    """Return the index of the first parent, None for a root, a missing parent or the shallow boundary."""
    above = history.graph.parents[commit]
    if not above or above[0] == ROOT or history.landing[above[0]] < 0:
        return None
    return above[0]


def commits_landing_in(history: History, after: int, upto: int) -> list[int]:
    """Return the graph indexes of commits that landed in (after, upto], by landing, committer time and id."""
    graph = history.graph
    landed = [(p, graph.committed_at[c], graph.ids[c], c) for c, p in enumerate(history.landing) if after < p <= upto]
    return [c for *_, c in sorted(landed)]
