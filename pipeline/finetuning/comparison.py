"""Compare an adapter with the baseline, which decides the outcome, and with every ranking that is cheaper. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.finetuning.ranker import ACTIVITY, ADAPTER, BLEND
from pipeline.finetuning.result import Judgement
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.evaluate import BASELINE, Row
from pipeline.ranking.outcome import Decision, decide_outcome
from pipeline.ranking.statistics import Comparison, Quality, assess, ceiling, compare, rank_average

FROZEN = "frozen embeddings + ridge"


def seed_name(seed: int) -> str:
    return f"{ADAPTER}, seed {seed}"


def judge(
    scores: Mapping[str, Floats],
    labels: Floats,
    paths: Sequence[str],
    lines: Sequence[int],
    *,
    seeds: Mapping[int, Floats],
    frozen: Floats | None = None,
    control: str = "",
    missing: str = "",
) -> Judgement:
    """Compare the rank average over the seeds with every other ranking of the same holdout.

    `scores` has the baseline and the cheap scorers by name, `seeds` the scores of each completed seed, `frozen` those
    of the untouched base model. `control` names what was corrupted on purpose: then the outcome is INCONCLUSIVE.
    `missing` explains an empty `seeds`. Raises ValueError if lengths differ or the baseline is missing.
    """
    cheap = {BASELINE: scores[BASELINE], **scores, **({} if frozen is None else {FROZEN: frozen})}
    tuned = _tuned(seeds, scores.get(ACTIVITY, scores[BASELINE]))
    qualities = assess(cheap | tuned, labels, paths, lines)
    # The official ones, then the cheap ones, then the seeds.
    order = dict.fromkeys([name for name in (BASELINE, ADAPTER, BLEND) if name in qualities]) | cheap | tuned
    baseline, adapter_quality = qualities[BASELINE], qualities.get(ADAPTER)
    best = best_of({name: qualities[name] for name in cheap})
    comparison = Comparison(reason=missing) if adapter_quality is None else compare(adapter_quality, baseline)
    against_best = (
        Comparison() if adapter_quality is None or best is None else compare(adapter_quality, qualities[best])
    )
    decision = _decide(baseline, adapter_quality, comparison, control)
    return Judgement(
        outcome=decision.outcome,
        reason=decision.reason,
        rows=tuple(
            Row(
                name,
                qualities[name],
                None if name == BASELINE else compare(qualities[name], baseline),
                np.asarray((cheap | tuned)[name], dtype=np.float64),
            )
            for name in order
        ),
        n=baseline.n,
        positives=baseline.positives,
        prevalence=baseline.prevalence,
        rho_max=ceiling(labels),
        best_cheap=best,
        against_best_cheap=against_best,
    )


def _tuned(seeds: Mapping[int, Floats], activity: Floats) -> dict[str, Floats]:
    """Return the adapter's official score, its blend with activity, and every single seed if there are several."""
    if not seeds:
        return {}
    adapter = rank_average(list(seeds.values()))
    official = {ADAPTER: adapter, BLEND: rank_average([adapter, activity])}
    return official | ({seed_name(seed): values for seed, values in seeds.items()} if len(seeds) > 1 else {})


def best_of(qualities: Mapping[str, Quality]) -> str | None:
    """Return the name with the highest ρ, the first one of a tie; None if no ρ is defined."""
    known = {name: quality.rho for name, quality in qualities.items() if quality.rho is not None}
    return max(known, key=lambda name: known[name]) if known else None


def _decide(baseline: Quality, adapter: Quality | None, comparison: Comparison, control: str) -> Decision:
    if control:
        measured = "no ρ" if adapter is None or adapter.rho is None else _interval(adapter)
        return Decision("INCONCLUSIVE", f"a control run ({control}): {measured}; it never counts as an outcome")
    return decide_outcome(
        n=baseline.n,
        positives=baseline.positives,
        rho_adapter=None if adapter is None else adapter.rho,
        rho_baseline=baseline.rho,
        win_share=comparison.win_share,
        missing=comparison.reason,
    )


def _interval(adapter: Quality) -> str:
    if adapter.rho_low is None or adapter.rho_high is None:
        return f"ρ {adapter.rho:.3f}"
    return f"ρ {adapter.rho:.3f} (95 %: {adapter.rho_low:.3f} to {adapter.rho_high:.3f})"
