"""The split of the histories into a tune set and a report set."""

from __future__ import annotations

import re

from bench.histories import load_histories

HISTORIES = load_histories()


def test_no_history_is_in_both_sets():
    names = [history.repository for history in HISTORIES]
    assert len(set(names)) == len(names)
    assert {history.set for history in HISTORIES} == {"tune", "report"}


def test_every_history_has_a_pinned_head():
    assert all(re.fullmatch(r"[0-9a-f]{40}", history.head_sha) for history in HISTORIES)


def test_the_report_set_has_at_least_six_histories_in_at_least_four_languages():
    report = [history for history in HISTORIES if history.set == "report"]
    assert len(report) >= 6
    assert len({history.language for history in report}) >= 4
