from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.git.history import (
    MAY_FIX,
    CommitGraph,
    commits_landing_in,
    cut_at,
    effective_times,
    extend_graph,
    parse_commit,
    read_history,
)
from pipeline.git.history import (
    History as CommitHistory,
)
from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES
from pipeline.records import DAY_S
from tests.builders.history import START, History
from tests.rows import each_row


def read(history: History, tmp_path: Path, shallow: frozenset[bytes] = frozenset()) -> CommitHistory:
    repository = open_repository(history.write(tmp_path / "history.git"))
    graph = CommitGraph()
    with repository.reader() as reader:
        assert extend_graph(graph, reader, repository.head, lambda message: b"fix" in message, shallow) == 0
    return read_history(graph, graph.index[repository.head], MESSAGES, shallow)


def subjects(history: History, found: CommitHistory, commits: list[int]) -> list[str]:
    by_id = {bytes.fromhex(sha): mark for mark, sha in history.ids.items()}
    return [history.commits[by_id[found.graph.ids[c]] - 1].message.decode() for c in commits]


@pytest.fixture
def branched() -> History:
    history = History()
    one = history.commit("one")
    two = history.commit("two")
    a = history.commit("a", parents=[one], branch="side")
    b = history.commit("b fix", parents=[a], branch="side")
    history.merge("merge", two, b)
    history.commit("three")
    return history


def test_the_chain_follows_first_parents_oldest_first(branched: History, tmp_path: Path) -> None:
    found = read(branched, tmp_path)
    assert subjects(branched, found, list(found.chain)) == ["one", "two", "merge", "three"]
    assert found.commits == 6


def test_a_side_commit_lands_with_the_merge_that_first_reaches_it(branched: History, tmp_path: Path) -> None:
    found = read(branched, tmp_path)
    assert subjects(branched, found, commits_landing_in(found, 1, 2)) == ["a", "b fix", "merge"]
    assert found.landed == (1, 1, 3, 1)


def test_a_commit_that_landed_twice_counts_at_its_first_landing(tmp_path: Path) -> None:
    history = History()
    one = history.commit("one")
    side = history.commit("side", parents=[one], branch="side")
    first = history.merge("first merge", history.commit("two", parents=[one]), side)
    late = history.commit("late", parents=[side], branch="side")
    history.merge("second merge", first, late)
    found = read(history, tmp_path)
    assert subjects(history, found, commits_landing_in(found, 1, 2)) == ["side", "first merge"]
    assert subjects(history, found, commits_landing_in(found, 2, 3)) == ["late", "second merge"]


def test_a_shallow_boundary_is_the_first_commit(branched: History, tmp_path: Path) -> None:
    branched.write(tmp_path / "only-for-the-ids.git")
    boundary = bytes.fromhex(branched.ids[2])
    found = read(branched, tmp_path, frozenset({boundary}))
    assert subjects(branched, found, list(found.chain)) == ["two", "merge", "three"]
    assert found.boundary == found.chain[0]


def test_commits_that_may_be_fixes_are_flagged(branched: History, tmp_path: Path) -> None:
    found = read(branched, tmp_path)
    flagged = [c for c in range(len(found.graph)) if found.graph.flags[c] & MAY_FIX]
    assert subjects(branched, found, flagged) == ["b fix"]


def test_rebased_commits_of_one_author_seconds_apart_are_one_landing(tmp_path: Path) -> None:
    history = History()
    history.commit("start", at=START)
    history.commit("one", at=START + 1000)
    history.commit("two", at=START + 1002)
    history.commit("three", at=START + 1007)
    history.commit("somebody else's", at=START + 1008, author="Bob <bob@example.org>")
    history.commit("later", at=START + 1014, author="Bob <bob@example.org>")
    assert read(history, tmp_path).unit == (0, 3, 3, 3, 4, 5)


def test_position_at_finds_the_last_landing_that_is_not_later(branched: History, tmp_path: Path) -> None:
    found = read(branched, tmp_path)
    then = cut_at(found, START + 4 * DAY_S, MESSAGES)
    assert then is not None
    assert subjects(branched, then, list(then.chain)) == ["one", "two", "merge"]
    assert cut_at(found, START - 1, MESSAGES) is None


@given(st.lists(st.integers(-(10**10), 10**10), min_size=1, max_size=60))
def test_effective_times_never_decrease(times: list[int]) -> None:
    found = effective_times(times, MESSAGES)
    assert len(found) == len(times)
    assert list(found) == sorted(found)
    assert set(found) <= set(times)


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=60))
def test_times_that_never_decrease_are_kept_even_far_apart(times: list[int]) -> None:
    assert list(effective_times(sorted(times), MESSAGES)) == sorted(times)


@pytest.mark.parametrize("wrong", [-(10**9), 0, 4_070_908_800])
def test_one_wrong_date_in_the_middle_is_replaced_by_the_median_of_its_neighbours(wrong: int) -> None:
    times = [START + day * DAY_S for day in range(21)]
    times[10] = wrong
    assert effective_times(times, MESSAGES)[10] in (START + 9 * DAY_S, START + 11 * DAY_S)
    assert effective_times(times, MESSAGES)[11:] == tuple(times[11:])


def test_a_date_within_thirty_days_of_its_neighbours_is_only_prevented_from_decreasing() -> None:
    times = [START + day * DAY_S for day in range(21)]
    times[10] = START + 29 * DAY_S
    assert effective_times(times, MESSAGES)[10:15] == (times[10],) * 5


def test_fewer_neighbours_than_in_the_recipe_suffice() -> None:
    narrow = dataclasses.replace(MESSAGES, neighbours=3)
    assert effective_times([0, 10**9, 10, 20], narrow) == (0, 10, 10, 20)


@each_row(
    ("data", "authored_at", "committed_at"),
    [
        (b"tree " + b"a" * 40 + b"\nauthor A <a> 5 +0000\ncommitter B <b> -7 -0130\n\nx", 5, -7),
        (b"tree " + b"a" * 40 + b"\nauthor A <a> 5 +0000\n\nx", 5, 5),
        (b"tree " + b"a" * 40 + b"\nauthor broken\ncommitter > 99999999999999999999999 +0000\n\nx", 0, 0),
        (b"tree " + b"a" * 40 + b"\n\nx", 0, 0),
    ],
)
def test_odd_people_and_dates_are_tolerated(data: bytes, authored_at: int, committed_at: int) -> None:
    commit = parse_commit(data)
    assert (commit.authored_at, commit.committed_at, commit.message) == (authored_at, committed_at, b"x")


def test_the_encoding_header_is_read() -> None:
    data = b"tree " + b"a" * 40 + b"\nauthor A <a> 5 +0000\ncommitter A <a> 5 +0000\nencoding ISO-8859-1\n\nx"
    assert parse_commit(data).encoding == b"ISO-8859-1"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_commit_or_a_value_error(data: bytes) -> None:
    try:
        parse_commit(data)
    except ValueError:
        assert not data.startswith(b"tree ") or len(data.partition(b"\n\n")[0]) < 45 or not data[5:45].isalnum()


def test_a_signature_that_quotes_a_committer_does_not_change_who_committed() -> None:
    data = (
        b"tree " + b"a" * 40 + b"\nauthor A <a> 5 +0000\ncommitter B <b> 6 +0000\n"
        b"gpgsig -----BEGIN-----\n committer Mallory <m> 9 +0000\n\ncommitter Mallory <m> 10 +0000\n"
    )
    assert parse_commit(data).committed_at == 6
