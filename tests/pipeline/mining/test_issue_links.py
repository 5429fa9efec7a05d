"""Links of commits to issues and pull requests: evidence, withdrawal, and the commits of a pull request."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classify.bug_labels import Nature
from pipeline.classify.references import Home, Reference, read_references
from pipeline.git.history import CommitGraph, History, read_history
from pipeline.label_recipe import MESSAGES
from pipeline.mining.issue_links import IssueFact, LandingUnit, Linked, Tracker, landing_units, link
from pipeline.records import DAY_S, Evidence

HOME = Home("acme/shop")
ISSUE, LABEL = Evidence("issue", 1.0), Evidence("label", 1.0)
KEYWORD, PREFIX = Evidence("keyword", 0.7), Evidence("prefix", 0.7)
BEGIN, END = 1_600_000_000, 1_700_000_000


@dataclass
class Commits:
    """A history with named commits, and the references of its messages."""

    graph: CommitGraph = field(default_factory=CommitGraph)
    names: dict[str, int] = field(default_factory=dict)
    references: dict[int, tuple[Reference, ...]] = field(default_factory=dict)

    def add(
        self, name: str, *parents: str, message: str = "", at: int | None = None, author: int | None = None
    ) -> bytes:
        index, graph = len(self.graph), self.graph
        graph.ids.append(name.encode().ljust(20, b"."))
        graph.trees.append(bytes(20))
        graph.parents.append(tuple(self.names[p] for p in parents))
        graph.committed_at.append(BEGIN + index * DAY_S if at is None else at)
        graph.author_key.append(index)
        graph.series_key.append(index if author is None else 1_000 + author)
        graph.authored_at.append(graph.committed_at[-1])
        graph.flags.append(0)
        graph.index[graph.ids[-1]] = index
        self.names[name] = index
        if found := read_references(message, HOME):
            self.references[index] = found
        return graph.ids[-1]

    def history(self, head: str) -> History:
        return read_history(self.graph, self.names[head], MESSAGES)

    def link(self, head: str, *facts: IssueFact, until: int = END) -> dict[str, Linked]:
        linked = link(self.history(head), self.references, tracker(*facts), until, MESSAGES)
        return {name: linked[index] for name, index in self.names.items() if index in linked}

    def pull_requests(self, head: str, *facts: IssueFact) -> dict[str, int | None]:
        return {name: linked.pull_request for name, linked in self.link(head, *facts).items()}


def tracker(*facts: IssueFact) -> Tracker:
    return Tracker({fact.number: fact for fact in facts}, END)


def issue(number: int, *labels: str, opened_at: int = BEGIN, issue_type: str | None = None) -> IssueFact:
    return IssueFact(number, False, "closed", labels, issue_type, opened_at, None, None)


def pull(
    number: int, merge: bytes | None, *labels: str, closes: tuple[int, ...] = (), opened_at: int = BEGIN
) -> IssueFact:
    return IssueFact(number, True, "merged", labels, None, opened_at, None, merge, closes)


def one(message: str, *facts: IssueFact) -> Linked:
    commits = Commits()
    commits.add("a")
    commits.add("b", "a", message=message)
    return commits.link("b", *facts).get("b", Linked())


def test_a_commit_that_closes_or_names_a_bug_has_issue_evidence() -> None:
    for message in ("Keep the till open\n\nCloses gh-20", "Issue #20: keep the till open", "Till\n\nsee acme/shop#20"):
        assert one(message, issue(20, "type: bug")) == Linked((ISSUE,))
        assert one(message, issue(20, issue_type="Bug")) == Linked((ISSUE,))


def test_an_issue_without_a_label_is_no_evidence() -> None:
    assert one("Till\n\nCloses #20", issue(20, "P1")) == Linked()
    assert one("Till\n\nCloses #20") == Linked()


def test_a_squashed_pull_request_labelled_as_a_bug_is_label_evidence() -> None:
    assert one("Till (#30)", pull(30, None, "bug")) == Linked((LABEL,), pull_request=30)


def test_a_pull_request_that_closes_a_bug_is_label_evidence() -> None:
    assert one("Till (#30)", pull(30, None, closes=(20,)), issue(20, "bug")) == Linked((LABEL,), pull_request=30)


def test_issue_evidence_comes_before_label_evidence() -> None:
    linked = one("Till (#30)\n\nFixes #20", pull(30, None, "bug"), issue(20, "bug"))
    assert linked == Linked((ISSUE, LABEL), pull_request=30)
    assert linked.strongest(KEYWORD) == ISSUE


def test_a_suffix_that_names_an_issue_is_a_mention() -> None:
    assert one("Till (#20)", issue(20, "bug")) == Linked((ISSUE,))


def test_naming_another_pull_request_is_no_evidence() -> None:
    assert one("Till, after #30", pull(30, None, "bug")) == Linked()


TAKEN_BACK = [
    ("Fix till\n\nCloses #20", (issue(20, "enhancement"),)),
    ("Fix till (#30)", (pull(30, None, "type: docs"),)),
    ("Fix till (#30)", (pull(30, None, closes=(20,)), issue(20, "feature"))),
]


@pytest.mark.parametrize(("message", "facts"), TAKEN_BACK)
def test_a_feature_or_docs_label_withdraws_a_keyword_only(message: str, facts: tuple[IssueFact, ...]) -> None:
    linked = one(message, *facts)
    assert linked.withdrawn
    assert linked.strongest(KEYWORD) is None
    assert linked.strongest(PREFIX) == PREFIX
    assert linked.strongest(None) is None


def test_a_feature_that_is_only_mentioned_withdraws_nothing() -> None:
    assert one("Fix till, broken since #20", issue(20, "feature")) == Linked()


def test_a_bug_wins_over_a_feature() -> None:
    linked = one("Fix till\n\nCloses #20, closes #21", issue(20, "feature"), issue(21, "bug"))
    assert linked == Linked((ISSUE,))


def test_issues_opened_after_the_window_are_ignored() -> None:
    later = BEGIN + 400 * DAY_S
    commits = Commits()
    commits.add("a")
    commits.add("b", "a", message="Till\n\nSee #20")
    fact = issue(20, "bug", opened_at=later)
    assert commits.link("b", fact, until=later) == {"b": Linked((ISSUE,))}
    assert commits.link("b", fact, until=later - 1) == {}


def branchy() -> Commits:
    """a - b - m - n, with c, d merged by m, and e, f merged by n; f also merges b back in."""
    commits = Commits()
    commits.add("a")
    commits.add("b", "a")
    commits.add("c", "a")
    commits.add("d", "c")
    commits.add("m", "b", "d", message="Merge pull request #30 from ada/till\n\nFixes #20")
    commits.add("e", "a")
    commits.add("f", "e", "b")
    commits.add("n", "m", "f", message="Merge pull request #31 from ada/door")
    return commits


def test_a_merge_contains_the_commits_that_its_first_parent_lacks() -> None:
    commits = branchy()
    facts = (pull(30, commits.graph.ids[4]), pull(31, commits.graph.ids[7]))
    assert commits.pull_requests("n", *facts) == {"c": 30, "d": 30, "m": 30, "e": 31, "f": 31, "n": 31}


def test_without_a_merge_commit_in_the_tracker_the_message_counts() -> None:
    assert branchy().pull_requests("n", pull(30, None), pull(31, None)) == {
        "c": 30, "d": 30, "m": 30, "e": 31, "f": 31, "n": 31,
    }  # fmt: skip


def test_issues_closed_by_a_merge_count_for_its_commits() -> None:
    linked = branchy().link("n", pull(30, None), pull(31, None), issue(20, "bug"))
    assert linked["c"] == linked["d"] == Linked((LABEL,), pull_request=30)
    assert linked["e"] == Linked(pull_request=31)


def test_a_merge_of_a_pull_request_elsewhere_is_ignored() -> None:
    commits = branchy()
    commits.add("x", "a")
    elsewhere = commits.add("y", "n", "x")
    found = commits.pull_requests("y", pull(30, elsewhere))
    assert found == {"x": 30, "y": 30, "m": 30}  # by its own subject m still names it; c and d are not brought by it


def test_a_pull_request_merged_inside_another_is_its_own_unit() -> None:
    commits = Commits()
    commits.add("a")
    commits.add("b", "a")
    commits.add("c", "a")
    commits.add("d", "a")
    inner = commits.add("e", "c", "d")
    commits.add("f", "e")
    outer = commits.add("m", "b", "f")
    facts = (pull(30, inner), pull(31, outer))
    assert commits.pull_requests("m", *facts) == {"d": 30, "e": 30, "c": 31, "f": 31, "m": 31}
    assert commits.pull_requests("m", facts[0]) == {"d": 30, "e": 30}


def test_an_octopus_merge_contains_all_its_branches() -> None:
    commits = Commits()
    for name, *parents in (("a",), ("b", "a"), ("c", "a"), ("d", "b"), ("m", "a", "c", "d")):
        commits.add(name, *parents)
    assert commits.pull_requests("m", pull(30, commits.graph.ids[4])) == {"b": 30, "c": 30, "d": 30, "m": 30}


def test_a_rebased_series_belongs_to_the_pull_request_that_ends_it() -> None:
    commits = Commits()
    day = BEGIN + 9 * DAY_S
    commits.add("a")
    commits.add("b", "a", at=day, author=1)
    first = commits.add("c", "b", at=day + 1, author=1)
    commits.add("d", "c", at=day + 2, author=1)
    second = commits.add("e", "d", at=day + 3, author=1)
    commits.add("f", "e", at=day + 4, author=2)
    assert commits.pull_requests("f", pull(30, first), pull(31, second)) == {"b": 30, "c": 30, "d": 31, "e": 31}


def test_an_unmerged_pull_request_contains_nothing() -> None:
    commits = branchy()
    closed = dataclasses.replace(pull(32, commits.graph.ids[4], "bug"), state="closed")
    assert commits.link("n", closed) == {}


def test_unreachable_commits_have_no_link() -> None:
    commits = branchy()
    assert set(commits.pull_requests("m", pull(30, commits.graph.ids[4]), pull(31, commits.graph.ids[7]))) == {
        "c",
        "d",
        "m",
    }


def test_the_commits_of_a_pull_request_are_one_unit_across_landings() -> None:
    commits = branchy()
    again = commits.add("g", "n", message="Till, once more (#30)")
    commits.add("h", "g")
    history = commits.history("h")
    facts = (pull(30, commits.graph.ids[4]), pull(31, commits.graph.ids[7]))
    links = link(history, commits.references, tracker(*facts), END, MESSAGES)
    units = landing_units(history, links)
    assert set(units) == {commits.names[name] for name in "cdmefng"}
    till = LandingUnit(
        30, frozenset({history.landing[commits.names["m"]], history.landing[commits.graph.index[again]]}), 3
    )
    assert {units[commits.names[name]] for name in "cdmg"} == {till}
    assert units[commits.names["e"]] == LandingUnit(31, frozenset({history.landing[commits.names["n"]]}), 1)


def test_endlessly_nested_merges_are_read_quickly() -> None:
    commits = Commits()
    commits.add("0")
    commits.add("m0", "0")
    for n in range(1, 1_500):
        commits.add(f"m{n}", "0", f"m{n - 1}")
    commits.add("end", "0", "m1499")
    found = commits.pull_requests("end", pull(30, commits.graph.ids[commits.names["m1490"]]))
    assert found["m1490"] == found["m1400"] == found["m0"] == 30
    assert "m1491" not in found
    deep = commits.pull_requests(
        "end", pull(30, commits.graph.ids[commits.names["end"]]), pull(31, commits.graph.ids[1])
    )
    assert deep["m1400"] == 30


NATURES: dict[Nature | None, tuple[str, ...]] = {"bug": ("bug",), "other": ("feature",), None: ()}


@st.composite
def histories(draw: st.DrawFn) -> tuple[Commits, list[IssueFact]]:
    """A small random history whose messages name the numbers 20 to 29, and facts about some of them."""
    commits = Commits()
    commits.add("0")
    number = st.integers(20, 29)
    for index in range(1, draw(st.integers(2, 14))):
        parents = draw(st.lists(st.integers(0, index - 1), min_size=1, max_size=3, unique=True))
        message = draw(
            st.sampled_from(["Till (#{})", "Merge pull request #{} from a/b", "x\n\nfixes #{}", "see #{}", "{}"])
        )
        commits.add(str(index), *map(str, parents), message=message.format(draw(number)))
    facts = []
    for n in sorted(draw(st.sets(number))):
        labels, opened_at = NATURES[draw(st.sampled_from(list(NATURES)))], draw(st.integers(BEGIN, BEGIN + 9))
        merge = draw(st.sampled_from([None, *commits.graph.ids]))
        made = pull(n, merge, *labels, closes=tuple(draw(st.lists(number, max_size=2))), opened_at=opened_at)
        facts.append(made if draw(st.booleans()) else issue(n, *labels, opened_at=opened_at))
    return commits, facts


@given(histories(), st.integers(BEGIN, BEGIN + 9))
def test_later_issues_have_no_effect(made: tuple[Commits, list[IssueFact]], until: int) -> None:
    commits, facts = made
    head = max(commits.names, key=int)
    before = [fact for fact in facts if fact.opened_at <= until]
    assert commits.link(head, *facts, until=until) == commits.link(head, *before, until=until)


@given(histories(), st.randoms())
def test_the_order_of_facts_and_messages_does_not_matter(
    made: tuple[Commits, list[IssueFact]], shuffler: random.Random
) -> None:
    commits, facts = made
    head = max(commits.names, key=int)
    expected = commits.link(head, *facts)
    shuffler.shuffle(facts)
    items = list(commits.references.items())
    shuffler.shuffle(items)
    commits.references = dict(items)
    assert commits.link(head, *facts) == expected


@given(histories(), st.sampled_from([None, KEYWORD, PREFIX]))
def test_withdrawal_never_removes_evidence_of_issues_or_labels(
    made: tuple[Commits, list[IssueFact]], own: Evidence | None
) -> None:
    commits, facts = made
    for linked in commits.link(max(commits.names, key=int), *facts).values():
        judged = dataclasses.replace(linked, withdrawn=True).strongest(own)
        assert judged == linked.evidence[0] if linked.evidence else judged in (None, PREFIX)


@given(histories())
def test_a_merge_contains_exactly_the_commits_that_its_first_parent_does_not_reach(
    made: tuple[Commits, list[IssueFact]],
) -> None:
    commits, _ = made
    head = max(commits.names, key=int)
    history = commits.history(head)
    parents = commits.graph.parents

    def reach(start: int) -> set[int]:
        return {start}.union(*(reach(p) for p in parents[start]))

    commits.references = {}
    for commit in history.chain:
        if len(parents[commit]) > 1:
            found = commits.pull_requests(head, pull(30, commits.graph.ids[commit]))
            assert {commits.names[n] for n in found} == reach(commit) - reach(parents[commit][0])


def test_a_long_line_of_pull_requests_in_one_merge_is_read_quickly() -> None:
    commits = Commits()
    commits.add("0")
    commits.add("side0", "0")
    facts = []
    for n in range(1, 2_000):
        commits.add(f"work{n}", f"side{n - 1}")
        facts.append(pull(n + 9, commits.add(f"side{n}", f"side{n - 1}", f"work{n}")))
    commits.add("m", "0", "side1999")
    found = commits.pull_requests("m", *facts)
    assert all(found[f"work{n}"] == found[f"side{n}"] == n + 9 for n in range(1, 2_000))
