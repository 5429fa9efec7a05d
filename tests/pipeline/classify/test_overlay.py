"""A repository's own rules: what they change, and that nothing changes without them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classify.messages import read_message
from pipeline.classify.overlay import CONFIGURED, IGNORED, NO_OVERLAY, NO_RULES, Overlay, OverlayRules
from pipeline.classify.paths import excluded_path
from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES
from pipeline.mining.miner import Miner
from pipeline.records import Evidence
from pipeline.screening.measure import Measured, measure
from tests.builders.code import module
from tests.builders.history import History
from tests.pipeline.mining.mined import credits_of, reasons_of
from tests.rows import each_row

PERSON = b"Ada <ada@example.org>"
PREFIX = Evidence("prefix", 0.7)
CRASH = Overlay(fix_patterns=("^CRASH-[0-9]+: ",), ignore_patterns=("^Locale",))


def rules(**lists: tuple[str, ...]) -> OverlayRules:
    return OverlayRules(Overlay(**lists))


@each_row(
    ("subject", "evidence", "not_a_fix"),
    [
        ("CRASH-7: count again", PREFIX, None),
        ("crash-7: count again", None, None),
        ("fixup! CRASH-7: count again", PREFIX, None),
        ("count again (CRASH-7: x)", None, None),
        ("fix: x", PREFIX, None),
        ("Locale fix: x", Evidence("keyword", 0.7), IGNORED),
        ("fixup! Locale fix: x", Evidence("keyword", 0.7), IGNORED),
        ("Locale: x", None, IGNORED),
        ("CRASH-7: fix typo", PREFIX, "typo"),
        ('Revert "CRASH-7: x"', None, "revert"),
    ],
)
def test_custom_patterns_are_subject_to_the_same_exclusions(
    subject: str, evidence: Evidence | None, not_a_fix: str | None
) -> None:
    facts = read_message(subject.encode(), PERSON, None, MESSAGES, rules=OverlayRules(CRASH))
    assert (facts.evidence, facts.not_a_fix) == (evidence, not_a_fix)


def test_an_ignored_subject_is_no_fix_even_if_an_issue_says_so() -> None:
    facts = read_message(b"Locale", PERSON, None, MESSAGES, [Evidence("issue", 1.0)], OverlayRules(CRASH))
    assert facts.not_a_fix == IGNORED


def test_an_ignored_revert_still_reverts() -> None:
    facts = read_message(b'Revert "fix: x"', PERSON, None, MESSAGES, rules=rules(ignore_patterns=("^Revert",)))
    assert (facts.not_a_fix, facts.reverts_subject) == ("revert", "fix: x")


@given(st.binary(max_size=200))
def test_without_rules_a_message_is_read_as_by_default(message: bytes) -> None:
    assert read_message(message, PERSON, None, MESSAGES, rules=OverlayRules(NO_OVERLAY)) == (
        read_message(message, PERSON, None, MESSAGES)
    )


@each_row(
    ("path", "include", "exclude", "why"),
    [
        (b"src/a.py", (), (), None),
        (b"tests/a.py", (), (), "test"),
        (b"tests/a.py", ("/tests/",), (), None),
        (b"tests/a.py", ("/tests/",), ("a.py",), CONFIGURED),
        (b"lib/tests/a.py", ("/tests/",), (), "test"),
        (b"tests/a.py", (), ("a.py",), "test"),
        (b"lib/tests/a.py", ("tests/",), (), None),
        (b"src/a.py", (), ("src",), CONFIGURED),
        (b"src/a.py", (), ("/a.py",), None),
        (b"src/b/a.py", (), ("src/*.py",), None),
        (b"src/b/a.py", (), ("src/**/*.py",), CONFIGURED),
        (b"src/A.py", (), ("a.py",), None),
        (b"src/\xff/a.py", (), ("src/*/a.py",), CONFIGURED),
        ("src/é.py".encode(), (), ("?.py",), CONFIGURED),
        (b"src/x\ny/a.py", (), ("**/a.py",), CONFIGURED),
    ],
)
def test_paths_are_matched_as_by_git_and_exclude_wins(
    path: bytes, include: tuple[str, ...], exclude: tuple[str, ...], why: str | None
) -> None:
    assert rules(include=include, exclude=exclude).excluded(path) == why


@given(st.binary(max_size=60))
def test_without_rules_paths_are_excluded_as_by_default(path: bytes) -> None:
    assert NO_RULES.excluded(path) == excluded_path(path)
    assert rules(exclude=("/nowhere/at/all",), include=("/nor/here",)).excluded(path) == excluded_path(path)


TEXTS = st.lists(st.text(max_size=4), max_size=4).map(tuple)
OVERLAYS = st.builds(
    Overlay,
    bug_labels=st.one_of(st.none(), TEXTS),
    fix_patterns=TEXTS,
    ignore_patterns=TEXTS,
    include=TEXTS,
    exclude=TEXTS,
)


def said(overlay: Overlay) -> tuple[object, ...]:
    labels = None if overlay.bug_labels is None else set(overlay.bug_labels)
    lists = (overlay.fix_patterns, overlay.ignore_patterns, overlay.include, overlay.exclude)
    return labels, *map(frozenset, lists)


@given(OVERLAYS, OVERLAYS)
def test_equal_hashes_mean_equal_settings(one: Overlay, other: Overlay) -> None:
    assert (one.config_hash == other.config_hash) == (said(one) == said(other))


@given(OVERLAYS)
def test_the_hash_is_twelve_digits_or_empty_without_settings(overlay: Overlay) -> None:
    nothing = said(overlay) == said(NO_OVERLAY)
    assert len(overlay.config_hash) == (0 if nothing else 12)


def test_the_hash_equals_the_recorded_one() -> None:
    # sha256('{"exclude":["b"],"fix_patterns":["^BUG"]}')
    assert Overlay(fix_patterns=("^BUG", "^BUG"), exclude=("b",)).config_hash == "f88dcc248cd0"
    assert NO_OVERLAY.config_hash == ""


def test_an_invalid_pattern_is_rejected() -> None:
    with pytest.raises(ValueError, match="RE2"):
        rules(fix_patterns=("(",))


def history() -> History:
    """Five years: a bug called CRASH-7, a fix in a folder of its own, one in tests, one in what is ignored."""
    history = History()
    files = {"a.py": module("1", "1"), "legacy/b.py": module("1"), "tests/c.py": module("1")}
    history.commit("start", files, day=0)
    history.commit("CRASH-7: count again", {"a.py": module("2", "1")}, day=700)
    history.commit("fix: old", {"legacy/b.py": module("2")}, day=710)
    history.commit("fix: a test", {"tests/c.py": module("2")}, day=720)
    history.commit("Locale fix", {"a.py": module("2", "2")}, day=730)
    history.commit("head", {"README": "x"}, day=1643)
    return history


def measured(overlay: Overlay, folder: Path, data_dir: Path | None = None) -> Measured:
    path = folder / "history.git"
    if not path.exists():
        history().write(path)
    return measure(open_repository(path), MESSAGES, overlay=overlay, data_dir=data_dir)


def test_each_list_changes_what_is_counted(tmp_path: Path) -> None:
    without = measured(NO_OVERLAY, tmp_path)
    assert credits_of(without.mined) == {"a.py::f1": 0.7, "legacy/b.py::f0": 0.7}
    assert reasons_of(without.mined) == {"changes tests only": 1}
    assert without.config_hash == ""

    own = measured(CRASH, tmp_path)
    assert credits_of(own.mined) == {"a.py::f0": 0.7, "legacy/b.py::f0": 0.7}
    assert reasons_of(own.mined) == {"changes tests only": 1, IGNORED: 1}
    assert own.config_hash == CRASH.config_hash

    left_out = measured(Overlay(exclude=("/legacy/",)), tmp_path)
    assert credits_of(left_out.mined) == {"a.py::f1": 0.7}
    assert reasons_of(left_out.mined)["changes only paths that this repository's configuration leaves out"] == 1
    assert len(left_out.mined.train) == len(without.mined.train) - 1

    brought_back = measured(Overlay(include=("/tests/",)), tmp_path)
    assert credits_of(brought_back.mined) == {**credits_of(without.mined), "tests/c.py::f0": 0.7}


def test_cached_facts_serve_every_configuration(tmp_path: Path) -> None:
    overlays = (NO_OVERLAY, CRASH, Overlay(include=("/tests/",)), Overlay(exclude=("/legacy/",)))
    fresh = [measured(overlay, tmp_path) for overlay in overlays]
    for order in (1, -1):
        for overlay, alone in list(zip(overlays, fresh, strict=True))[::order]:
            assert measured(overlay, tmp_path, tmp_path / "data") == alone


def test_process_metrics_follow_the_same_rules() -> None:
    with tempfile.TemporaryDirectory() as folder:
        repository = open_repository(history().write(Path(folder) / "history.git"))
        with Miner(repository, MESSAGES, overlay=CRASH) as miner:
            head = len(miner.history.chain) - 1
            process = miner.process_metrics(head, miner.history.effective_at[1] + 30 * 86_400)
            functions = miner.functions(head)
        assert {f"{f.path}::{f.qualified_name}": p.fixes for f, p in zip(functions, process, strict=True)} == {
            "a.py::f0": 1,
            "a.py::f1": 0,
            "legacy/b.py::f0": 1,
        }
