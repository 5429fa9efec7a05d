"""Why a density is what it is: arithmetic on what was mined. What follows for a person is `reports/diagnosis_words`."""

from __future__ import annotations

import math

from pipeline.label_recipe import LabelRecipe
from pipeline.mining.issue_links import IssueFact, Tracker
from pipeline.records import Density, Diagnosis, IssueLabels, Mined, Windows
from pipeline.screening.density import signals_of


def diagnose(mined: Mined, density: Density | None, recipe: LabelRecipe, tracker: Tracker | None) -> Diagnosis:
    """The effective number of positives is Kish's (Survey Sampling, 1965): (Σy)² / Σy², at most the positives."""
    signals = signals_of(mined.train, recipe)
    squares = math.fsum(signals * signals)
    return Diagnosis(
        credited=len(mined.counted),
        keyword_alone=sum(fix.evidence.kind == "keyword" for fix in mined.counted),
        effective_positives=math.fsum(signals) ** 2 / squares if squares else 0.0,
        inflation=density.file_positive_share / density.positive_share if density and density.positives else None,
        issues=None if tracker is None else label_coverage(tracker, mined.windows),
    )


def label_coverage(tracker: Tracker, windows: Windows) -> IssueLabels:
    """Of the issues closed between the start of the training window and the end of the horizon."""
    closed = [fact for fact in tracker.facts.values() if _closed_in(fact, windows)]
    return IssueLabels(
        closed=len(closed),
        unlabelled=sum(not fact.labels and fact.issue_type is None for fact in closed),
        bugs=sum(tracker.nature(fact.number) == "bug" for fact in closed),
    )


def _closed_in(fact: IssueFact, windows: Windows) -> bool:
    closed_at = fact.closed_at
    return not fact.is_pull_request and closed_at is not None and windows.train_start < closed_at <= windows.as_of
