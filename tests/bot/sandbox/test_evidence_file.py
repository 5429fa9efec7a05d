"""The evidence file of a task as a tracker."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from bot.github.evidence.evidence_facts import FetchState
from bot.github.evidence.fact_file import FactFile
from bot.sandbox.evidence_file import tracked_of
from bot.sandbox.screening_task import EvidenceFile, ScreeningTask, dump_task, load_task
from pipeline.classify.overlay import Overlay
from pipeline.mining.issue_links import IssueFact

SEEN_AT = 1_700_000_000
EARLY = IssueFact(1, False, "closed", ("oops",), None, SEEN_AT - 10, SEEN_AT - 5, None)
LATE = IssueFact(2, False, "open", ("bug",), None, SEEN_AT + 10, None, None)


def task_with_evidence(folder: Path, *, as_of: int = SEEN_AT) -> ScreeningTask:
    evidence = EvidenceFile(folder / "evidence.assay", as_of, "acme/shop", "ghe.example")
    return ScreeningTask("https://ghe.example/acme/shop.git", folder, 1 << 20, evidence=evidence)


def test_no_evidence_no_tracker(tmp_path: Path) -> None:
    assert tracked_of(dataclasses.replace(task_with_evidence(tmp_path), evidence=None)) is None


def test_issues_opened_after_the_head_was_first_seen_are_ignored(tmp_path: Path) -> None:
    FactFile(tmp_path / "evidence.assay").add([EARLY, LATE], FetchState(repository_id=7))
    tracked = tracked_of(task_with_evidence(tmp_path))
    assert tracked is not None
    assert dict(tracked.tracker.facts) == {1: EARLY}
    assert (tracked.home.name, tracked.home.host) == ("acme/shop", "ghe.example")
    later = tracked_of(task_with_evidence(tmp_path, as_of=SEEN_AT + 10))
    assert later is not None
    assert set(later.tracker.facts) == {1, 2}


def test_the_repositorys_own_bug_labels_apply(tmp_path: Path) -> None:
    FactFile(tmp_path / "evidence.assay").add([EARLY], FetchState(repository_id=7))
    by_default = tracked_of(task_with_evidence(tmp_path))
    own = tracked_of(dataclasses.replace(task_with_evidence(tmp_path), overlay=Overlay(bug_labels=("oops",))))
    assert by_default is not None
    assert own is not None
    assert (by_default.tracker.nature(1), own.tracker.nature(1)) == (None, "bug")


def test_an_unreadable_file_yields_a_tracker_without_issues(tmp_path: Path) -> None:
    for content in (b"", b"\0" * 100, b"assay evidence 1\nshort"):
        (tmp_path / "evidence.assay").write_bytes(content)
        tracked = tracked_of(task_with_evidence(tmp_path))
        assert tracked is not None
        assert not tracked.tracker.facts


def test_a_task_round_trips_with_its_evidence(tmp_path: Path) -> None:
    task = dataclasses.replace(
        task_with_evidence(tmp_path), recipe="messages+api/2", overlay=Overlay(bug_labels=("oops",))
    )
    assert load_task(dump_task(task)) == task
