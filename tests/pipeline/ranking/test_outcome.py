from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ranking.outcome import decide_outcome

SURE: dict[str, Any] = {"n": 1_000, "positives": 100, "rho_adapter": 0.2, "rho_baseline": 0.1, "win_share": 1.0}


def test_the_outcome_follows_the_rule(subtests: pytest.Subtests) -> None:
    cases: list[tuple[float, float, str]] = [
        (0.20, 0.10, "WIN"),
        (0.332, 0.300, "WIN"),  # published: +0.032 was counted a win
        (0.325, 0.300, "SOFT LOSS"),  # published: +0.025 a soft failure
        (0.33, 0.30, "WIN"),  # exactly 0.03, though not in binary
        (0.3299, 0.30, "SOFT LOSS"),
        (0.30, 0.30, "SOFT LOSS"),
        (0.2999, 0.30, "HARD LOSS"),
        (0.10, 0.20, "HARD LOSS"),
        (-0.04, -0.30, "HARD LOSS"),  # better than the baseline, and still worse than no order
        (-0.0001, -0.5, "HARD LOSS"),
        (0.0, -0.10, "SOFT LOSS"),  # a win needs ρ above zero
        (0.0, 0.0, "SOFT LOSS"),
        (0.01, -0.30, "WIN"),
    ]
    for rho_adapter, rho_baseline, outcome in cases:
        with subtests.test(rho_adapter=rho_adapter, rho_baseline=rho_baseline, outcome=outcome):
            share = 1.0 if outcome == "WIN" else 0.0
            decision = decide_outcome(
                n=1_000, positives=100, rho_adapter=rho_adapter, rho_baseline=rho_baseline, win_share=share
            )
            assert decision.outcome == outcome


def test_what_cannot_be_concluded_says_why(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"n": 199}, "199 held-out functions: at least 200 are needed"),
        ({"n": 0, "positives": 0}, "0 held-out functions: at least 200 are needed"),
        ({"positives": 19}, "19 of the held-out functions were fixed: at least 20 are needed"),
        ({"rho_adapter": None, "missing": "3 of 1000 scores are not numbers"}, "3 of 1000 scores are not numbers"),
        ({"rho_baseline": None, "missing": "all 1000 scores are equal"}, "all 1000 scores are equal"),
        ({"win_share": None, "missing": "one file"}, "one file"),
        ({"win_share": 0.201}, "a win in 20% of the resamples: neither a win nor a loss is certain"),
        ({"win_share": 0.5}, "a win in 50% of the resamples: neither a win nor a loss is certain"),
        ({"win_share": 0.799}, "a win in 80% of the resamples: neither a win nor a loss is certain"),
    ]
    for changed, words in cases:
        with subtests.test(changed=changed, words=words):
            decision = decide_outcome(**{**SURE, **changed})
            assert (decision.outcome, decision.reason) == ("INCONCLUSIVE", words)


@pytest.mark.parametrize("changed", [{"n": 200}, {"positives": 20}, {"win_share": 0.8}, {"win_share": 0.2}])
def test_the_limits_themselves_are_enough(changed: dict[str, Any]) -> None:
    assert decide_outcome(**{**SURE, **changed}).outcome == "WIN"


rho = st.none() | st.floats(-1, 1)


@given(st.integers(0, 500), st.integers(0, 50), rho, rho, st.none() | st.floats(0, 1))
def test_every_case_has_an_outcome_and_a_reason(n: int, positives: int, adapter: Any, base: Any, share: Any) -> None:
    decision = decide_outcome(n=n, positives=positives, rho_adapter=adapter, rho_baseline=base, win_share=share)
    assert decision.reason
    if decision.outcome == "WIN":
        assert adapter > 0
        assert adapter > base
    if decision.outcome != "INCONCLUSIVE":
        assert n >= 200
        assert positives >= 20
