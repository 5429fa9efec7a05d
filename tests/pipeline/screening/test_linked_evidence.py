"""Density with evidence from issues and pull requests: commits that never say "fix" count through labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.classify.references import Home
from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES, MESSAGES_API
from pipeline.mining.issue_links import IssueFact, Tracked, Tracker
from pipeline.screening.measure import Measured, measure
from tests.builders.history import START, History

CODE = "def f(a):\n    b = {}\n    return b\n\n\ndef g(a):\n    b = {}\n    return b\n"
DAY = 86_400


def issue(number: int, *labels: str, opened: int = START) -> IssueFact:
    return IssueFact(number, False, "closed", labels, None, opened, None, None)


def pull(number: int, *labels: str, closes: tuple[int, ...] = ()) -> IssueFact:
    return IssueFact(number, True, "merged", labels, None, START, None, None, closes)


def measured(history: History, folder: Path, *facts: IssueFact) -> Measured:
    repository = open_repository(history.write(folder / "repo.git"))
    tracked = Tracked(Tracker({fact.number: fact for fact in facts}, START + 2_000 * DAY), Home("acme/shop"))
    return measure(repository, MESSAGES_API if facts else MESSAGES, tracked=tracked if facts else None)


def history_of(*messages: str) -> History:
    """One commit per message, 30 days apart in the training window, each changing `f` and nothing else."""
    history = History()
    history.commit("start", {"a.py": CODE.format(0, 0)}, day=0)
    for number, message in enumerate(messages, 1):
        history.commit(message, {"a.py": CODE.format(number, 0)}, day=800 + 30 * number)
    history.commit("end", {"README": "y"}, day=1_800)
    return history


def credits_of(result: Measured) -> dict[str, float]:
    return {function.qualified_name: function.credit for function in result.mined.train}


def test_commits_that_never_say_fix_count_through_their_labelled_issues(tmp_path: Path) -> None:
    history = history_of("Keep the till open\n\nCloses gh-20", "Keep the door open\n\nCloses gh-21")
    assert credits_of(measured(history, tmp_path / "messages")) == {"f": 0, "g": 0}
    result = measured(history, tmp_path / "api", issue(20, "type: bug"), issue(21, "type: regression"))
    assert credits_of(result) == {"f": 2, "g": 0}
    assert result.evidence == {"issue": 1}


def test_a_feature_label_overrides_a_keyword(tmp_path: Path) -> None:
    history = history_of("Fix the till\n\nCloses #20", "fix: the till\n\nCloses #20")
    assert credits_of(measured(history, tmp_path / "messages"))["f"] == pytest.approx(1.4)
    assert credits_of(measured(history, tmp_path / "api", issue(20, "enhancement")))["f"] == pytest.approx(0.7)


def test_an_issue_opened_after_the_window_is_no_evidence_in_it(tmp_path: Path) -> None:
    history = history_of("Keep the till open\n\nCloses gh-20")
    late = START + 1_500 * DAY
    assert credits_of(measured(history, tmp_path / "early", issue(20, "bug")))["f"] == 1
    assert credits_of(measured(history, tmp_path / "late", issue(20, "bug", opened=late)))["f"] == 0


def test_a_pull_request_in_two_landings_is_one_unit(tmp_path: Path) -> None:
    history = history_of("Keep the till open (#30)", "Keep it open once more (#30)")
    result = measured(history, tmp_path / "one", pull(30, "bug"))
    assert credits_of(result)["f"] == 1
    assert result.mined.fix_commits == 2


def test_commits_inside_a_labelled_merge_count_once(tmp_path: Path) -> None:
    history = History()
    first = history.commit("start", {"a.py": CODE.format(0, 0)}, day=0)
    one = history.commit("Work", {"a.py": CODE.format(1, 0)}, day=850, parents=[first], branch="side")
    two = history.commit("More", {"a.py": CODE.format(2, 0)}, day=860, parents=[one], branch="side")
    main = history.commit("Write", {"README": "x"}, day=870, parents=[first])
    history.merge("Merge pull request #30 from ada/till", main, two, {"a.py": CODE.format(2, 0)}, day=880)
    history.commit("end", {"README": "y"}, day=1_800)
    result = measured(history, tmp_path / "api", pull(30, closes=(20,)), issue(20, "bug"))
    assert credits_of(result)["f"] == 1
    assert result.evidence == {"label": 1}
    assert result.mined.fix_commits == 2
