from __future__ import annotations

import dataclasses
import re
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
    landing_times,
    parse_commit,
    read_history,
)
from pipeline.git.history import (
    History as CommitHistory,
)
from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES, MESSAGES_1
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


TREE = b"tree " + b"a" * 40


@each_row(
    "zone",
    [
        b" +051800",
        b"",
        b" ",
        b" -7",
        b" GMT",
        b" --700",
        b" +02:00",
        b" + 0100",
        b" +0100 extra",
        b" \xff\xfe",
        b"\t+0000",
    ],
)
def test_an_odd_zone_keeps_author_and_time(zone: bytes) -> None:
    lines = b"\nauthor Ada <a@x> 5" + zone + b"\ncommitter Bob > B <b@x> 1500000000" + zone + b"\n\nx"
    commit = parse_commit(TREE + lines)
    assert (commit.author, commit.authored_at) == (b"Ada <a@x>", 5)
    assert (commit.committer, commit.committed_at) == (b"Bob > B <b@x>", 1_500_000_000)
    if not re.fullmatch(rb" [+-]\d{4}", zone):
        first = parse_commit(TREE + lines, 1)
        assert (first.author, first.committed_at) == (b"", 0)


@each_row(
    ("lines", "people"),
    [
        (b"\nauthor Ada <a@x> soon\ncommitter Bob <b@x> 7 +0000", (b"Ada <a@x>", 7, b"Bob <b@x>", 7)),
        (b"\nauthor Ada <a@x> 7 +0000\ncommitter Bob <b@x>", (b"Ada <a@x>", 7, b"Bob <b@x>", 7)),
        (b"\nauthor Ada <a@x> -9\ncommitter Bob <b@x> -7 +0000", (b"Ada <a@x>", -9, b"Bob <b@x>", -7)),
        (b"\nauthor <> 5", (b"<>", 5, b"<>", 5)),
        (b"\nauthor Ada\ngpgsig x\n committer Eve <e@x> 9 +0000", (b"Ada", 0, b"Ada", 0)),
    ],
)
def test_a_time_that_cannot_be_read_is_that_of_the_other_person(
    lines: bytes, people: tuple[bytes, int, bytes, int]
) -> None:
    commit = parse_commit(TREE + lines + b"\n\nx")
    assert (commit.author, commit.authored_at, commit.committer, commit.committed_at) == people


DAYS = [START + day * DAY_S for day in range(0, 2000, 50)]


def test_landings_whose_committer_times_are_those_of_a_rewrite_have_their_authors_times() -> None:
    late = START + 2100 * DAY_S
    rewritten = [late + minute * 60 for minute in range(len(DAYS))]
    assert landing_times(rewritten, DAYS) == (DAYS, 40)
    after = [late + day * DAY_S for day in range(40, 400, 9)]  # goes on with times of its own
    assert landing_times(rewritten + after, DAYS + after) == (DAYS + after, 40)
    before = [START - day * DAY_S for day in range(2000, 0, -100)]  # only what came later was rebased
    assert landing_times(before + rewritten, before + DAYS) == (before + DAYS, 40)
    odd = DAYS.copy()
    odd[0] = 0
    assert landing_times(rewritten, odd) == (odd, 40)  # and `effective_times` mends single dates


@each_row(
    ("committed", "authored"),
    [
        (DAYS, DAYS),
        (DAYS, [DAYS[0]] * len(DAYS)),  # the author's clock stood still
        (
            [DAYS[-1] + 60 * i for i in range(40)],
            [DAYS[-1] - 360 * DAY_S + i * 9 * DAY_S for i in range(40)],
        ),  # < 1 year
        ([DAYS[-1] + 60 * i for i in range(9)], DAYS[:9]),  # too few to tell
        ([DAYS[-1] + 60 * i for i in range(40)], [0, 0, 0, *DAYS[-1:] * 37]),  # a few wrong dates
        ([t + 20 * DAY_S for t in DAYS], [0, *DAYS[1:]]),
        ([DAYS[-1], *(DAYS[-1] + 40 * DAY_S + i for i in range(40))], [DAYS[-1], *DAYS]),  # old work, landed late
        ([DAYS[-1] + 60 * i for i in range(40)], [DAYS[i * 7 % 40] for i in range(40)]),  # in no order
    ],
)
def test_other_landings_keep_their_committer_times(committed: list[int], authored: list[int]) -> None:
    assert landing_times(committed, authored) == (committed, 0)


def test_a_rewritten_history_is_not_one_landing_and_says_so(tmp_path: Path) -> None:
    history = History()
    for number, time in enumerate(DAYS):
        history.commit(f"c{number}", authored_at=time, at=DAYS[-1] + number)
    found = read(history, tmp_path)
    assert found.effective_at == tuple(DAYS)
    assert found.unit == tuple(range(40))
    assert found.rewritten == 40
    first = read_history(found.graph, found.chain[-1], MESSAGES_1)
    assert first.effective_at == tuple(DAYS[-1] + number for number in range(40))
    assert first.rewritten == 0


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
