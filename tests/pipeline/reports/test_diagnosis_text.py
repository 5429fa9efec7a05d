"""Sentences of a diagnosis: true in every number, singular and plural."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.label_recipe import MESSAGES, MESSAGES_API
from pipeline.records import Diagnosis, IssueLabels, OtherDensity
from pipeline.reports.diagnosis_text import advice, compared, why
from tests.builders.screenings import density


def diagnosis(**changes: Any) -> Diagnosis:
    values: dict[str, Any] = {"credited": 80, "keyword_alone": 20, "effective_positives": 31.4, "inflation": 2.5}
    return Diagnosis(**values | changes)


def test_it_says_what_the_density_is_made_of() -> None:
    issues = IssueLabels(closed=340, unlabelled=312, bugs=12)
    assert why(diagnosis(issues=issues), density(positives=44)) == [
        "For 20 of 80 fix commits (25 %) nothing but a word in the subject speaks.",
        "The 44 fixed functions say as much as 31 that are equally fix-prone.",
        "Labels taken from files would call 2.5 times as many functions positive: Assay counts the lines that a fix "
        "changed.",
        "Of 340 closed issues of these years 12 are labelled as bugs and 312 carry no label.",
    ]


def test_nothing_is_said_of_what_there_is_not() -> None:
    assert why(diagnosis(credited=0, inflation=None), None) == []
    assert advice(diagnosis(credited=0, keyword_alone=0)) == []
    assert advice(diagnosis(issues=IssueLabels(0, 0, 0))) == []


@pytest.mark.parametrize(
    ("issues", "said"),
    [
        (IssueLabels(340, 312, 12), ["Label bug issues: 312 of 340 closed issues carry no label."]),
        (IssueLabels(1, 1, 0), ["Label bug issues: 1 of 1 closed issue carries no label."]),
        (
            IssueLabels(300, 20, 1),
            [
                "Label bugs as bugs: 1 of 300 closed issues is. Where another word is used, name it in `bug_labels` of "
                "`.github/assay.yml`."
            ],
        ),
        (IssueLabels(300, 20, 90), []),
    ],
)
def test_labels_that_are_missing_are_asked_for(issues: IssueLabels, said: list[str]) -> None:
    assert advice(diagnosis(issues=issues)) == said


def test_commits_known_by_a_word_alone_are_advised_to_name_the_bug() -> None:
    assert advice(diagnosis(keyword_alone=39)) == []
    [sentence] = advice(diagnosis(keyword_alone=40))
    assert sentence.startswith("Name the bug that a commit fixes (`Fixes #123`)")


def test_the_density_of_the_other_recipe_is_told_and_said_to_decide_nothing() -> None:
    api = OtherDensity(MESSAGES_API.name, MESSAGES_API.id, density(value=0.0412))
    assert compared(api, density()) == (
        "With evidence from issues, pull requests and labels too (label recipe messages+api) the density would be "
        "0.0412; it decides nothing here."
    )
    assert "from messages alone" in compared(OtherDensity(MESSAGES.name, MESSAGES.id, density()), density())
    assert compared(None, density()) == compared(api, None) == ""
