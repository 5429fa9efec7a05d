"""Sentences that explain a density, and advice on how to make it more accurate."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.label_recipe import recipe_named
from pipeline.records import Density, Diagnosis, IssueLabels, Obstacle, OtherDensity, Screening
from pipeline.reports import numbers

# Advice is given from these shares of closed issues or of fix commits on.
MIN_UNLABELLED = 0.5
MIN_PLAUSIBLE_BUGS = 0.02  # below this, bugs are probably labelled differently
MIN_KEYWORD_ALONE = 0.5


def explain_screening(screening: Screening) -> list[str]:
    """Explain the density of a screening, including the comparison with the other label recipe."""
    sentences = [] if screening.diagnosis is None else explain_density(screening.diagnosis, screening.density)
    return [line for line in (*sentences, compare_recipes(screening.other, screening.density)) if line]


def why_no_density(obstacle: Obstacle | None) -> str:
    """Return why there is no density, as a clause."""
    return obstacle.title if obstacle else "no function was alive at the start of the training window"


def explain_density(diagnosis: Diagnosis, density: Density | None) -> list[str]:
    """Explain the evidence and the concentration behind a density."""
    sentences = []
    if diagnosis.credited:
        share = diagnosis.keyword_alone / diagnosis.credited
        sentences.append(
            f"A keyword in the subject is the only evidence for {diagnosis.keyword_alone:,} of "
            f"{numbers.counted(diagnosis.credited, 'fix commit')} ({numbers.share(share)})."
        )
    if density is not None and density.positives:
        sentences.append(
            f"The effective sample size is {diagnosis.effective_positives:,.0f} of "
            f"{numbers.counted(density.positives, 'fixed function')}; it falls as fixes concentrate in a few."
        )
    if diagnosis.inflation is not None:
        sentences.append(
            f"Labelling whole files would mark {diagnosis.inflation:.1f} times as many functions as fixed; Assay "
            "labels only functions whose lines a fix changed."
        )
    if diagnosis.issues is not None and diagnosis.issues.closed:
        issues = diagnosis.issues
        sentences.append(
            f"Of {numbers.counted(issues.closed, 'issue')} closed in these years, {issues.bugs:,} "
            f"{'is' if issues.bugs == 1 else 'are'} labelled as {'a bug' if issues.bugs == 1 else 'bugs'} and "
            f"{issues.unlabelled:,} {'has' if issues.unlabelled == 1 else 'have'} no label."
        )
    return sentences


def compare_recipes(other: OtherDensity | None, density: Density | None) -> str:
    """State the density under the other label recipe; empty if there is none."""
    if other is None or density is None or other.density is None:
        return ""
    recipe = recipe_named(other.label_recipe)
    reads_tracker = recipe is not None and recipe.reads_tracker
    evidence = "issues, pull requests and labels as well" if reads_tracker else "commit messages alone"
    return (
        f"With evidence from {evidence} (label recipe {other.label_recipe}), the density would be "
        f"{numbers.density(other.density.value)}; this does not affect the verdict."
    )


def advice(diagnosis: Diagnosis) -> list[str]:
    """Advise a maintainer how to make the density more accurate, most useful first."""
    sentences: list[str] = []
    issues = diagnosis.issues
    if issues is not None and issues.closed:
        sentences.extend(_label_advice(issues))
    if diagnosis.credited and diagnosis.keyword_alone / diagnosis.credited >= MIN_KEYWORD_ALONE:
        sentences.append(
            "Reference the bug that a commit fixes (`Fixes #123`) or start its subject with `fix:`: most fix commits "
            "are recognized only by a keyword in the subject."
        )
    return sentences


def _label_advice(issues: IssueLabels) -> Iterator[str]:
    closed = numbers.counted(issues.closed, "closed issue")
    if issues.unlabelled / issues.closed >= MIN_UNLABELLED:
        have = "has" if issues.unlabelled == 1 else "have"
        yield f"Label bug issues: {issues.unlabelled:,} of {closed} {have} no label."
    elif issues.bugs / issues.closed < MIN_PLAUSIBLE_BUGS:
        yield (
            f"Label bug issues as bugs: only {issues.bugs:,} of {closed} {'is' if issues.bugs == 1 else 'are'}. If you "
            "use another label, add it to `bug_labels` in `.github/assay.yml`."
        )
