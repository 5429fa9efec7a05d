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

import numpy as np

from pipeline.git.objects import ObjectReader
from pipeline.git.packs import ObjectProblem
from pipeline.label_recipe import LabelRecipe
from pipeline.records import DAY_S

# Flags of a commit by its message, in version 1 of the label rules only the first.
KEYED = 2  # the subject begins with the key of an issue in another tracker
MAY_FIX = 1  # the message may contain fix evidence or revert something (a cheap test without false negatives)

ROOT = -1  # an absent parent: missing, or beyond a shallow boundary

_PERSON = re.compile(rb"^(author|committer) (.*?) (-?\d{1,18}) [+-]\d{4}\s*$", re.M)


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


def parse_commit(data: bytes) -> RawCommit:
    """Parse a commit object, tolerating odd people and dates. Raises ValueError if it has no tree."""
    head, _, message = data.partition(b"\n\n")
    if not head.startswith(b"tree ") or len(head) < 45:
        raise ValueError("commit without a tree")
    tree = unhexlify(head[5:45])
    position, parents = 46, []
    while head.startswith(b"parent ", position):
        parents.append(unhexlify(head[position + 7 : position + 47]))
        position += 48
    people = {role: (person, int(time)) for role, person, time in _PERSON.findall(head, position)}
    author, authored_at = people.get(b"author", (b"", 0))
    committer, committed_at = people.get(b"committer", (author, authored_at))
    encoding = None
    at = head.find(b"\nencoding ", position - 1)
    if at >= 0:
        encoding = head[at + 10 :].split(b"\n", 1)[0][:40]
    return RawCommit(tree, tuple(parents), author, authored_at, committer, committed_at, encoding, message)


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
            raw = parse_commit(reader.commit(commit_id))
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
    times = effective_times([graph.committed_at[c] for c in chain], recipe)
    unit = _rebased_series(graph, chain, recipe, parents)
    return History(graph, tuple(chain), times, landing, tuple(landed), unit, sum(landed), boundary)


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


def effective_times(committed_at: Sequence[int], recipe: LabelRecipe) -> tuple[int, ...]:
    """Return committer times with outliers replaced by the local median, as a running maximum.

    See docs/development/design.md, "Times". The window of neighbours is centred on the commit: `recipe.neighbours` in
    all, itself included, fewer near the ends of the chain. This way a history whose times never decrease keeps them,
    even if its commits are far apart; with an asymmetric window the last commits of a quiet repository would count as
    outliers.
    """
    times = np.asarray(committed_at, dtype=np.int64)
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
    graph: CommitGraph, chain: Sequence[int], recipe: LabelRecipe, parents: Callable[[int], tuple[int, ...]]
) -> tuple[int, ...]:
    """Group the commits of a rebased branch into one landing: neighbours of one author, seconds apart.

    Otherwise the same work would count more if it is rebased than if it is squashed or merged.
    """
    unit = list(range(len(chain)))
    for position in range(len(chain) - 2, -1, -1):
        here, after = chain[position], chain[position + 1]
        gap = graph.committed_at[after] - graph.committed_at[here]
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
