"""The calibration that the demo starts from: twenty made-up outcomes, ten of each class, named as what they are.

With ten measured outcomes of each class the published ones are out, so that nothing made up is mixed with what really
happened elsewhere. They are separable, so the threshold is the midpoint of the weakest winner and the strongest loser.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.calibration.import_export import render_exchange
from pipeline.label_recipe import MESSAGES
from pipeline.records import Outcome

WINNERS = (0.20, 0.205, 0.21, 0.24, 0.27, 0.30, 0.34, 0.38, 0.45, 0.52)
LOSERS = (0.02, 0.019, 0.018, 0.016, 0.014, 0.012, 0.010, 0.008, 0.006, 0.004)
FIRST_THRESHOLD = 0.11  # (0.20 + 0.02) / 2


def demo_outcomes(base_model_family: str) -> tuple[Outcome, ...]:
    return tuple(_outcomes(base_model_family))


def demo_exchange(base_model_family: str) -> str:
    """The content of a file for `assay calibration import`."""
    return render_exchange(demo_outcomes(base_model_family))


def threshold_after_a_win(density: float) -> float:
    """By hand: a winner below the others and above every loser is the weakest one now."""
    assert LOSERS[0] < density < WINNERS[0]
    return (density + LOSERS[0]) / 2


def _outcomes(base_model_family: str) -> Iterator[Outcome]:
    for kind, densities in (("WIN", WINNERS), ("SOFT LOSS", LOSERS)):
        for number, density in enumerate(densities, start=1):
            yield Outcome(
                repo=f"demo/made-up-{'win' if kind == 'WIN' else 'loss'}-{number}",
                density=density,
                outcome="WIN" if kind == "WIN" else "SOFT LOSS",
                provenance="measured",
                label_recipe_id=MESSAGES.id,
                base_model_family=base_model_family,
            )
