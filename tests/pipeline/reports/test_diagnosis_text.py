"""Sentences of a diagnosis: true in every number, singular and plural."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.label_recipe import MESSAGES, MESSAGES_API
from pipeline.records import Diagnosis, IssueLabels, OtherDensity
from pipeline.reports.diagnosis_text import advice, compare_recipes, explain_density
from tests.builders.screenings import density


def diagnosis(**changes: Any) -> Diagnosis:
    values: dict[str, Any] = {"credited": 80, "keyword_alone": 20, "effective_positives": 31.4, "inflation": 2.5}
    return Diagnosis(**values | changes)


def test_a_density_is_explained_in_sentences() -> None:
    issues = IssueLabels(closed=340, unlabelled=312, bugs=12)
    assert explain_density(diagnosis(issues=issues), density(positives=44)) == [
        "A keyword in the subject is the only evidence for 20 of 80 fix commits (25 %).",
        "The effective sample size is 31 of 44 fixed functions; it falls as fixes concentrate in a few.",
        "Labelling whole files would mark 2.5 times as many functions as fixed; Assay labels only functions whose "
        "lines a fix changed.",
        "Of 340 issues closed in these years, 12 are labelled as bugs and 312 have no label.",
    ]


def test_missing_figures_give_no_sentences() -> None:
    assert explain_density(diagnosis(credited=0, inflation=None), None) == []
    assert advice(diagnosis(credited=0, keyword_alone=0)) == []
    assert advice(diagnosis(issues=IssueLabels(0, 0, 0))) == []


@pytest.mark.parametrize(
    ("issues", "expected"),
    [
        (IssueLabels(340, 312, 12), ["Label bug issues: 312 of 340 closed issues have no label."]),
        (IssueLabels(1, 1, 0), ["Label bug issues: 1 of 1 closed issue has no label."]),
        (
            IssueLabels(300, 20, 1),
            [
                "Label bug issues as bugs: only 1 of 300 closed issues is. If you use another label, add it to "
                "`bug_labels` in `.github/assay.yml`."
            ],
        ),
        (IssueLabels(300, 20, 90), []),
    ],
)
def test_missing_labels_give_advice(issues: IssueLabels, expected: list[str]) -> None:
    assert advice(diagnosis(issues=issues)) == expected


def test_keyword_only_fix_commits_give_advice() -> None:
    assert advice(diagnosis(keyword_alone=39)) == []
    [sentence] = advice(diagnosis(keyword_alone=40))
    assert sentence.startswith("Reference the bug that a commit fixes (`Fixes #123`)")


def test_the_density_of_the_other_recipe_is_stated_as_having_no_effect() -> None:
    api = OtherDensity(MESSAGES_API.name, MESSAGES_API.id, density(value=0.0412))
    assert compare_recipes(api, density()) == (
        "With evidence from issues, pull requests and labels as well (label recipe messages+api/2), the density would "
        "be 0.0412; this does not affect the verdict."
    )
    messages = OtherDensity(MESSAGES.name, MESSAGES.id, density())
    assert "from commit messages alone" in compare_recipes(messages, density())
    assert compare_recipes(None, density()) == compare_recipes(api, None) == ""
