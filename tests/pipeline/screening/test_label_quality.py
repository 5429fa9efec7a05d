"""The sample to label by hand, and precision and recall from the answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import AssayError
from pipeline.screening.label_quality import ANSWERS, Answer, Estimate, LabelQuality, LabelSample, draw_sample, score

DOCS = Path(__file__).parents[3] / "docs"

FIXES, OTHERS = [f"f{n}" for n in range(40)], [f"o{n}" for n in range(200)]


def sample(fixes: int, fixes_in_all: int, others: int, others_in_all: int) -> LabelSample:
    return LabelSample(tuple(FIXES[:fixes]), tuple(OTHERS[:others]), fixes_in_all, others_in_all, 0)


def answered(drawn: LabelSample, found: int, missed: int) -> dict[str, Answer]:
    """The first `found` of the fixes and `missed` of the others are fixes, the rest is not."""
    right = {*drawn.fixes[:found], *drawn.others[:missed]}
    return {sha: "fix" if sha in right else "not" for sha in (*drawn.fixes, *drawn.others)}


def bounds(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


def quality(fixes: int, found: int, fixes_in_all: int, others: int, missed: int, others_in_all: int) -> LabelQuality:
    drawn = sample(fixes, fixes_in_all, others, others_in_all)
    return score([(drawn, answered(drawn, found, missed))])


def test_half_of_a_sample_is_drawn_from_the_fix_commits() -> None:
    drawn = draw_sample(FIXES, OTHERS, 20, seed=1)
    assert (len(drawn.fixes), len(drawn.others)) == (10, 10)
    assert set(drawn.fixes) < set(FIXES)
    assert set(drawn.others) < set(OTHERS)
    assert (drawn.fixes_in_all, drawn.others_in_all) == (40, 200)


def test_a_small_stratum_is_filled_up_from_the_other() -> None:
    drawn = draw_sample(FIXES[:3], OTHERS, 20, seed=1)
    assert (len(drawn.fixes), len(drawn.others)) == (3, 17)
    drawn = draw_sample(FIXES, OTHERS[:4], 20, seed=1)
    assert (len(drawn.fixes), len(drawn.others)) == (16, 4)


def test_a_sample_larger_than_the_population_is_rejected() -> None:
    with pytest.raises(AssayError, match="only 240 commits"):
        draw_sample(FIXES, OTHERS, 241, seed=1)


def test_the_sample_depends_on_the_seed_and_not_on_the_order() -> None:
    drawn = draw_sample(FIXES, OTHERS, 20, seed=1)
    assert drawn == draw_sample(FIXES[::-1], OTHERS[::-1], 20, seed=1)
    assert drawn.fixes != draw_sample(FIXES, OTHERS, 20, seed=2).fixes


def test_the_order_does_not_reveal_the_strata() -> None:
    order = draw_sample(FIXES, OTHERS, 80, seed=1).order
    firsts = sum(sha.startswith("f") for sha in order[:40])
    assert sorted(order) == sorted({*order})
    assert 10 < firsts < 30


def test_a_larger_sample_contains_the_smaller_one() -> None:
    small, large = draw_sample(FIXES, OTHERS, 20, seed=1), draw_sample(FIXES, OTHERS, 40, seed=1)
    assert set(small.order) < set(large.order)


def test_precision_is_the_share_of_one_stratum_with_a_wilson_interval() -> None:
    # Wilson for 8 of 10: centre (0.8 + 3.8415/20) / 1.38415 = 0.71674, half 0.22660 (z = 1.95996).
    precision = quality(10, 8, 40, 10, 0, 200).precision
    assert precision.value == pytest.approx(0.8)
    assert (precision.low, precision.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_recall_is_weighted_back_to_the_population() -> None:
    # 40 x 8/10 = 32 found; 200 x 1/10 = 20 missed; 32 / 52.
    recall = quality(10, 8, 40, 10, 1, 200).recall
    assert recall.value == pytest.approx(32 / 52)
    low, high = bounds(recall)
    assert 0.1 < low < 32 / 52 < high < 1


def test_no_missed_fix_in_a_small_sample_is_not_certainty() -> None:
    recall = quality(25, 25, 40, 25, 0, 200).recall
    assert recall.value == 1
    assert bounds(recall)[0] < 0.9


def test_an_interval_narrows_with_the_sample() -> None:
    few, many = quality(4, 3, 40, 4, 1, 200).recall, quality(40, 30, 40, 160, 40, 200).recall
    assert few.value == many.value
    assert bounds(few)[0] < bounds(many)[0] < bounds(many)[1] < bounds(few)[1]


def test_several_repositories_are_weighted_by_population() -> None:
    small, large = sample(10, 10, 10, 10), sample(10, 30, 10, 90)
    together = score([(small, answered(small, 10, 0)), (large, answered(large, 5, 1))])
    # Precision (10 + 15) / 40; found 25, missed 0 + 9.
    assert together.precision.value == pytest.approx(25 / 40)
    assert together.recall.value == pytest.approx(25 / 34)


def test_unsure_and_unanswered_commits_are_ignored() -> None:
    drawn = sample(4, 4, 4, 4)
    answers: dict[str, Answer] = {"f0": "fix", "f1": "unsure", "o0": "not"}
    scored = score([(drawn, answers)])
    assert (scored.precision.value, scored.recall.value) == (1, 1)
    assert [(s.fix, s.not_fix, s.unsure) for s in (*scored.fixes, *scored.others)] == [(1, 0, 1), (0, 1, 0)]


def test_without_answers_there_is_no_estimate() -> None:
    nothing = Estimate(None, None, None)
    drawn = sample(4, 4, 4, 4)
    assert score([(drawn, {})]).precision == score([(drawn, {})]).recall == nothing
    assert score([(drawn, {"f0": "fix"})]).recall == nothing
    assert score([(drawn, answered(drawn, 0, 0))]).recall == nothing
    assert score([]).precision == score([]).recall == nothing


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_an_interval_contains_its_estimate(fixes: int, others: int, data: st.DataObject) -> None:
    found, missed = data.draw(st.integers(0, fixes)), data.draw(st.integers(0, others))
    scored = quality(fixes, found, 30, others, missed, 300)
    for estimate in (scored.precision, scored.recall):
        if estimate.value is not None:
            low, high = bounds(estimate)
            assert 0 <= low < high <= 1
            assert estimate.value in (0, 1) or low <= estimate.value <= high


@given(st.permutations([("f0", "fix"), ("f1", "not"), ("o0", "not"), ("o1", "fix")]))
def test_the_order_of_answers_does_not_matter(pairs: list[tuple[str, Answer]]) -> None:
    drawn = sample(2, 40, 2, 200)
    assert score([(drawn, dict(pairs))]) == score([(drawn, dict(sorted(pairs)))])


def percent(estimate: Estimate) -> str:
    assert estimate.value is not None
    low, high = bounds(estimate)
    return f"{100 * estimate.value:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def test_the_published_figures_follow_from_the_published_labels() -> None:
    published = json.loads((DOCS / "results" / "label-quality.json").read_text(encoding="utf-8"))
    page = (DOCS / "results" / "label-quality.md").read_text(encoding="utf-8")
    everything = []
    for repo in published["repos"]:
        strata = {s: tuple(c["sha"] for c in repo["commits"] if c["stratum"] == s) for s in ("fix", "other")}
        drawn = LabelSample(strata["fix"], strata["other"], repo["fixes_in_all"], repo["others_in_all"], repo["seed"])
        answers: dict[str, Answer] = {c["sha"]: c["label"] for c in repo["commits"]}
        assert set(answers.values()) <= set(ANSWERS)
        everything.append((drawn, answers))
        scored = score(everything[-1:])
        assert f"| {repo['repo']} | {percent(scored.precision)} | {percent(scored.recall)} |" in page
    scored = score(everything)
    assert f"| together | {percent(scored.precision)} | {percent(scored.recall)} |" in page
    assert sum(len(answers) for _, answers in everything) == 200
