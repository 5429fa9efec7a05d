"""What a diagnosis says to a person, in sentences: why the density is what it is, and what would change it."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.records import Density, Diagnosis, IssueLabels, OtherDensity, Screening
from pipeline.reports import numbers

MANY_UNLABELLED = 0.5  # of the closed issues
FEW_BUGS = 0.02  # of the closed issues: fewer are hardly all that there were
KEYWORDS_ALONE = 0.5  # of the fix commits: from here on the subjects' words decide most of it


def because(screening: Screening) -> list[str]:
    """Everything that is to be said of why."""
    told = [] if screening.diagnosis is None else why(screening.diagnosis, screening.density)
    return [line for line in (*told, compared(screening.other, screening.density)) if line]


def why(diagnosis: Diagnosis, density: Density | None) -> list[str]:
    """What the density is made of."""
    found = []
    if diagnosis.credited:
        share = diagnosis.keyword_alone / diagnosis.credited
        found.append(
            f"For {diagnosis.keyword_alone:,} of {numbers.counted(diagnosis.credited, 'fix commit')} "
            f"({numbers.share(share)}) nothing but a word in the subject speaks."
        )
    if density is not None and density.positives:
        effective = diagnosis.effective_positives
        found.append(
            f"The {numbers.counted(density.positives, 'fixed function')} {'say' if density.positives > 1 else 'says'} "
            f"as much as {effective:,.0f} that {'are' if round(effective) != 1 else 'is'} equally fix-prone."
        )
    if diagnosis.inflation is not None:
        found.append(
            f"Labels taken from files would call {diagnosis.inflation:.1f} times as many functions positive: Assay "
            "counts the lines that a fix changed."
        )
    if diagnosis.issues is not None and diagnosis.issues.closed:
        issues = diagnosis.issues
        found.append(
            f"Of {numbers.counted(issues.closed, 'closed issue')} of these years {issues.bugs:,} "
            f"{'is' if issues.bugs == 1 else 'are'} labelled as {'a bug' if issues.bugs == 1 else 'bugs'} and "
            f"{issues.unlabelled:,} {'carries' if issues.unlabelled == 1 else 'carry'} no label."
        )
    return found


def compared(other: OtherDensity | None, density: Density | None) -> str:
    """The density under the other label recipe; nothing where there is none."""
    if other is None or density is None or other.density is None:
        return ""
    evidence = "messages alone" if other.label_recipe == "messages" else "issues, pull requests and labels too"
    return (
        f"With evidence from {evidence} (label recipe {other.label_recipe}) the density would be "
        f"{numbers.density(other.density.value)}; it decides nothing here."
    )


def advice(diagnosis: Diagnosis) -> list[str]:
    """What a maintainer could do for a truer density; the most useful first."""
    found: list[str] = []
    issues = diagnosis.issues
    if issues is not None and issues.closed:
        found.extend(_labels(issues))
    if diagnosis.credited and diagnosis.keyword_alone / diagnosis.credited >= KEYWORDS_ALONE:
        found.append(
            "Name the bug that a commit fixes (`Fixes #123`), or begin its subject with `fix:`: most fix commits are "
            "known by a word in the subject alone."
        )
    return found


def _labels(issues: IssueLabels) -> Iterator[str]:
    closed = numbers.counted(issues.closed, "closed issue")
    if issues.unlabelled / issues.closed >= MANY_UNLABELLED:
        carry = "carries" if issues.unlabelled == 1 else "carry"
        yield f"Label bug issues: {issues.unlabelled:,} of {closed} {carry} no label."
    elif issues.bugs / issues.closed < FEW_BUGS:
        yield (
            f"Label bugs as bugs: {issues.bugs:,} of {closed} {'is' if issues.bugs == 1 else 'are'}. Where another "
            "word is used, name it in `bug_labels` of `.github/assay.yml`."
        )
