from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.classify.messages import MessageFacts, read_message
from pipeline.git.history import CommitGraph, extend_graph, parse_commit, read_history
from pipeline.git.history import History as CommitHistory
from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES, MESSAGES_1, LabelRecipe
from pipeline.mining.reverts import cancelled_by, find_reverts
from tests.builders.history import History
from tests.rows import each_row

Read = tuple[CommitHistory, dict[int, MessageFacts]]


def read(history: History, folder: Path, recipe: LabelRecipe = MESSAGES) -> Read:
    repository = open_repository(history.write(folder))
    graph = CommitGraph()
    with repository.reader() as reader:
        extend_graph(graph, reader, repository.head, lambda message: True)
        raw = {c: parse_commit(reader.commit(name)) for c, name in enumerate(graph.ids)}
    messages = {c: read_message(r.message, r.author, r.encoding, recipe) for c, r in raw.items()}
    return read_history(graph, graph.index[repository.head], MESSAGES), messages


def cancelled(history: History, folder: Path, position: int | None = None) -> set[str]:
    """Return the subjects of the commits that are reverted by a chain position, the head by default."""
    parsed, messages = read(history, folder)
    at = len(parsed.chain) - 1 if position is None else position
    return {messages[c].subject for c in cancelled_by(find_reverts(parsed, messages), at)}


def linear(*messages: str) -> History:
    history = History()
    for message in ("start", *messages):
        history.commit(message)
    return history


@each_row(
    ("messages", "undone"),
    [
        (["fix: a", 'Revert "fix: a"'], {"fix: a"}),
        (["fix: a", 'Revert "fix: a"', 'Revert "Revert "fix: a""'], {'Revert "fix: a"'}),
        (["fix: a", 'Revert "fix: a"', 'Reapply "fix: a"'], {'Revert "fix: a"'}),
        (["fix: a (#7)", 'Revert "fix: a"'], {"fix: a (#7)"}),
        (["fix: a (#7)", "Revert #7"], {"fix: a (#7)"}),
        (["fix: a", "fix: b", 'Revert "fix: c"'], set()),
        (['Revert "fix: a"', "fix: a"], set()),
        (["fix: a"], set()),
        (["fix: a (#7)", "Revert !7"], {"fix: a (#7)"}),
        (["fix: a (#7)", "Remove a\n\nReverts acme/app#7"], {"fix: a (#7)"}),
        (["fix: a (#7)", "fix: b (#8)", "Revert #7 and #8"], {"fix: a (#7)", "fix: b (#8)"}),
        (["fix: a\n\nSee merge request acme/app!7", "Back out a\n\nThis reverts merge request !7"], {"fix: a"}),
        (["Merged PR 7: fix a", "Revert PR 7"], {"Merged PR 7: fix a"}),
        (["fix: a (#7)", 'Revert "fix: a" (#8)', "Reland #7"], {'Revert "fix: a" (#8)'}),
        (["fix: a (#7)", 'Revert "fix: a" (#8)', "Reapply PR #7"], {'Revert "fix: a" (#8)'}),
        (["fix: a (#7)", "Revert #7 (#8)", 'Reland "fix: a" (#9)'], {"Revert #7 (#8)"}),
        (["fix: a (#7)", "Revert #7 (#8)", "Revert #8 (#9)"], {"Revert #7 (#8)"}),
        (["fix: a (#7)", "Reland #7"], set()),
    ],
)
def test_a_revert_undoes_its_target_and_the_next_one_restores_it(
    messages: list[str], undone: set[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert cancelled(linear(*messages), tmp_path_factory.mktemp("reverts") / "history.git") == undone


def test_a_quoted_subject_means_the_newest_such_commit_before_the_revert(tmp_path: Path) -> None:
    history = linear("fix: a", "fix: a", 'Revert "fix: a"', "fix: a")
    parsed, messages = read(history, tmp_path / "history.git")
    targets = [parsed.landing[t] for revert in find_reverts(parsed, messages) for t in revert.targets]
    assert targets == [2]


@pytest.mark.parametrize("digits", [7, 12, 40])
def test_a_revert_may_abbreviate_the_id(digits: int, tmp_path: Path) -> None:
    history = linear("fix: a", "other")
    history.write(tmp_path / "only-for-the-ids.git")
    history.commit(f"Back out the change\n\nThis reverts commit {history.ids[2][:digits]}.\n")
    assert cancelled(history, tmp_path / "history.git") == {"fix: a"}


def test_an_unknown_id_undoes_nothing(tmp_path: Path) -> None:
    assert cancelled(linear("fix: a", "Undo\n\nThis reverts commit " + "d" * 40 + "."), tmp_path / "h.git") == set()


def test_a_revert_has_no_effect_before_it_landed(tmp_path: Path) -> None:
    history = linear("fix: a", "other", 'Revert "fix: a"')
    assert cancelled(history, tmp_path / "one.git", position=2) == set()
    assert cancelled(history, tmp_path / "two.git", position=3) == {"fix: a"}


def test_a_reverted_merge_undoes_its_branch(tmp_path: Path) -> None:
    history = linear("base")
    base = history.tips["main"]
    side = history.commit("fix: on the side", parents=[base], branch="side")
    history.merge("Merge side", base, side)
    history.commit('Revert "Merge side"')
    assert cancelled(history, tmp_path / "history.git") == {"fix: on the side", "Merge side"}


MERGES = [
    ("Merge pull request #7 from acme/side\n\nHarden it", 'Revert "Harden it"\n\nReverts acme/app#7'),
    ("Merge pull request #7 from acme/side\n\nHarden it", 'Revert "Harden it"'),
    ("Merge pull request #7 from acme/side\n\nHarden it", "Revert #7"),
    ("Merge pull request #7 from acme/side\n\nHarden it", 'Revert "Merge pull request #7 from acme/side"'),
    (
        "Merge branch 'side' into 'main'\n\nHarden it\n\nSee merge request acme/group/app!7",
        "Revert \"Merge branch 'side' into 'main'\"\n\nThis reverts merge request !7",
    ),
    ("Merge branch 'side' into 'main'\n\nHarden it\n\nSee merge request acme/app!7", "Undo it\n\nReverts acme/app!7"),
    ("Merged in side (pull request #7)\n\nHarden it", "Revert it\n\nThis reverts pull request #7."),
    ("Merge pull request 'Harden it' (#7) from ada/side into main", "Revert #7"),
    ("Merge pull request 'Harden it' (#7) from ada/side into main", 'Revert "Harden it"'),
    ("Auto merge of #7 - ada:side, r=bob\n\nHarden it", "Revert #7"),
]


@each_row(("merge", "revert"), MERGES)
def test_a_merged_request_is_reverted_by_its_number_or_title(
    merge: str, revert: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    history = linear("base")
    base = history.tips["main"]
    side = history.commit("fix: on the side", parents=[base], branch="side")
    history.merge(merge, base, side)
    history.commit(revert)
    undone = cancelled(history, tmp_path_factory.mktemp("merges") / "history.git")
    assert undone == {"fix: on the side", merge.partition("\n")[0]}


def test_version_1_looks_for_numbers_in_subjects_only(tmp_path: Path) -> None:
    history = linear("base")
    base = history.tips["main"]
    side = history.commit("fix: on the side", parents=[base], branch="side")
    history.merge("Merge pull request #7 from acme/side", base, side)
    history.commit("Revert #7")
    parsed, messages = read(history, tmp_path / "history.git", MESSAGES_1)
    assert find_reverts(parsed, messages, version=1) == []


def test_a_chain_of_a_thousand_reverts_is_followed(tmp_path: Path) -> None:
    subject, messages = "fix: a", ["fix: a"]
    for _ in range(1000):
        messages.append(f'Revert "{subject}"'[:190])
        subject = messages[-1]
    assert isinstance(cancelled(linear(*messages), tmp_path / "history.git"), set)
