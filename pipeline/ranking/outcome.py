"""Decide the outcome of a fine-tuning run (docs/development/design.md, "Outcome"). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.label_recipe import MIN_HELD_OUT, MIN_HELD_OUT_POSITIVES
from pipeline.records import OutcomeKind

MIN_WIN_DELTA = 0.03
# With a share of winning resamples strictly between these, neither a win nor a loss is certain.
UNSURE_ABOVE, UNSURE_BELOW = 0.2, 0.8

_ROUNDING = 1e-9  # differences of correlations are inexact: 0.33 - 0.30 is less than 0.03


@dataclass(frozen=True, slots=True)
class Decision:
    """An outcome, and the sentence that explains it to people."""

    outcome: OutcomeKind
    reason: str


def is_win(rho_adapter: float, delta: float) -> bool:
    """Return whether an adapter beats the baseline by enough, and chance as well."""
    return delta >= MIN_WIN_DELTA - _ROUNDING and rho_adapter > 0


def decide_outcome(
    *,
    n: int,
    positives: int,
    rho_adapter: float | None,
    rho_baseline: float | None,
    win_share: float | None,
    missing: str = "",
) -> Decision:
    """Decide the outcome of one comparison; `missing` explains a ρ or `win_share` (of the resamples) that is None."""
    if n < MIN_HELD_OUT:
        return _inconclusive(f"{n} held-out functions: at least {MIN_HELD_OUT} are needed")
    if positives < MIN_HELD_OUT_POSITIVES:
        return _inconclusive(
            f"{positives} of the held-out functions were fixed: at least {MIN_HELD_OUT_POSITIVES} are needed"
        )
    if rho_adapter is None or rho_baseline is None or win_share is None:
        return _inconclusive(missing or "nothing was measured")
    if UNSURE_ABOVE < win_share < UNSURE_BELOW:
        return _inconclusive(f"a win in {win_share:.0%} of the resamples: neither a win nor a loss is certain")
    delta = rho_adapter - rho_baseline
    if is_win(rho_adapter, delta):
        reason = f"ρ {rho_adapter:.3f} is {delta:.3f} above the baseline; {MIN_WIN_DELTA} counts as a win"
        return Decision("WIN", reason)
    if rho_adapter < 0:
        return Decision("HARD LOSS", f"ρ {rho_adapter:.3f} is below zero: worse than a random order")
    if delta < -_ROUNDING:
        return Decision("HARD LOSS", f"ρ {rho_adapter:.3f} is {-delta:.3f} below the baseline")
    return Decision("SOFT LOSS", f"ρ {rho_adapter:.3f} is {delta:.3f} above the baseline; a win needs {MIN_WIN_DELTA}")


def _inconclusive(reason: str) -> Decision:
    return Decision("INCONCLUSIVE", reason)
