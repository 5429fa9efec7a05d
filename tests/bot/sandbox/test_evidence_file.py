"""What a child makes of the file of facts in its folder: a tracker as of a time, or nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from bot.github.evidence.evidence_facts import FetchState
from bot.github.evidence.fact_file import FactFile
from bot.sandbox.evidence_file import tracked_of
from bot.sandbox.screening_task import EvidenceFile, ScreeningTask, dump_order, load_order
from pipeline.classify.overlay import Overlay
from pipeline.mining.issue_links import IssueFact

SEEN_AT = 1_700_000_000
EARLY = IssueFact(1, False, "closed", ("oops",), None, SEEN_AT - 10, SEEN_AT - 5, None)
LATE = IssueFact(2, False, "open", ("bug",), None, SEEN_AT + 10, None, None)


def ordered(folder: Path, *, as_of: int = SEEN_AT) -> ScreeningTask:
    evidence = EvidenceFile(folder / "evidence.assay", as_of, "acme/shop", "ghe.example")
    return ScreeningTask("https://ghe.example/acme/shop.git", folder, 1 << 20, evidence=evidence)


def test_where_nothing_was_fetched_nothing_is_tracked(tmp_path: Path) -> None:
    assert tracked_of(dataclasses.replace(ordered(tmp_path), evidence=None)) is None


def test_what_was_opened_after_the_head_was_first_seen_is_not_known(tmp_path: Path) -> None:
    FactFile(tmp_path / "evidence.assay").add([EARLY, LATE], FetchState(repository_id=7))
    tracked = tracked_of(ordered(tmp_path))
    assert tracked is not None
    assert dict(tracked.tracker.facts) == {1: EARLY}
    assert (tracked.home.name, tracked.home.host) == ("acme/shop", "ghe.example")
    later = tracked_of(ordered(tmp_path, as_of=SEEN_AT + 10))
    assert later is not None
    assert set(later.tracker.facts) == {1, 2}


def test_the_repositorys_own_labels_say_what_a_bug_is(tmp_path: Path) -> None:
    FactFile(tmp_path / "evidence.assay").add([EARLY], FetchState(repository_id=7))
    by_default = tracked_of(ordered(tmp_path))
    own = tracked_of(dataclasses.replace(ordered(tmp_path), overlay=Overlay(bug_labels=("oops",))))
    assert by_default is not None
    assert own is not None
    assert (by_default.tracker.nature(1), own.tracker.nature(1)) == (None, "bug")


def test_a_file_that_cannot_be_read_any_more_knows_of_no_issue(tmp_path: Path) -> None:
    for content in (b"", b"\0" * 100, b"assay evidence 1\nshort"):
        (tmp_path / "evidence.assay").write_bytes(content)
        tracked = tracked_of(ordered(tmp_path))
        assert tracked is not None
        assert not tracked.tracker.facts


def test_an_order_takes_its_evidence_to_the_child(tmp_path: Path) -> None:
    order = dataclasses.replace(ordered(tmp_path), recipe="messages+api", overlay=Overlay(bug_labels=("oops",)))
    assert load_order(dump_order(order)) == order
