from __future__ import annotations

from pipeline.reports.evaluation_text import conclude
from tests.builders import evaluations as build


def test_an_inconclusive_evaluation_has_reasons_instead_of_a_conclusion() -> None:
    conclusion = conclude(build.evaluation(reasons=("too few", "too young")))
    assert (conclusion.words, conclusion.tone, conclusion.sentences) == (
        "Inconclusive",
        "quiet",
        ("too few", "too young"),
    )


def test_the_baseline_alone_is_compared_with_nothing() -> None:
    labels = [float(i % 4 == 0) for i in range(240)]
    table = build.table({"baseline": [float((i * 7) % 31) + 20 * label for i, label in enumerate(labels)]}, labels)
    conclusion = conclude(build.evaluation(functions=table))
    assert conclusion.sentences == ("No other scorer was compared with the baseline.",)
