"""The rule that selects what ranks a repository after a run, and the names of the rankings that it selects from.

It imports nothing heavy: the App applies the same rule to stored results.
"""

from __future__ import annotations

from typing import Literal

from pipeline.records import OutcomeKind

ADAPTER = "adapter"
BLEND = "blend of adapter and activity"
ACTIVITY = "decayed touches"  # the competitor that the adapter is blended with

TunedRankerName = Literal["adapter", "blend"]
RankerName = Literal["adapter", "blend", "baseline"]


def select_ranker(
    outcome: OutcomeKind | None, *, rho_adapter: float | None, rho_blend: float | None, control: str = ""
) -> RankerName:
    """Return what ranks from now on: the baseline, or after a WIN the better of adapter and blend.

    A control run (`control` names what was corrupted) never changes the ranking.
    """
    if outcome != "WIN" or control:
        return "baseline"
    return "blend" if rho_blend is not None and rho_blend > (rho_adapter or 0.0) else "adapter"
