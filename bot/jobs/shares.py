"""Share a worker's slots between installations, so that none keeps all of them while another waits. Pure.

While nobody else waits, an installation may use every slot, up to its cap. Once one waits that has none, a screening
returns to the queue: the youngest of whoever holds more than one, else the oldest that has had its time. A slow clone
gets twice the time with each return, so it ends eventually.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

WAITS: Final = timedelta(seconds=5)  # for a slot; after that, one is made free
YIELD_PAUSE: Final = timedelta(seconds=10)  # before a screening that returned is due again
MIN_AGE_S: Final = 10.0  # a younger screening may be about to end
SLOW_AFTER_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Held:
    """A slot with a screening in it."""

    job_id: int
    installation_id: int
    age_s: float
    yields: int = 0  # how often it returned to the queue

    @property
    def is_slow(self) -> bool:
        return self.age_s >= SLOW_AFTER_S * 2.0**self.yields


def at_their_share(installation_ids: Collection[int], slots: int) -> set[int]:
    """Return the installations that hold all slots but one, given the holder of each slot in use."""
    return {holder for holder, held in Counter(installation_ids).items() if held >= max(1, slots - 1)}


def who_yields(held: Sequence[Held]) -> Held | None:
    """Return the screening that returns to the queue when every slot is held and another installation waits."""
    counted = Counter(slot.installation_id for slot in held)
    most = max(counted.values(), default=0)
    if most > 1:
        crowd = [slot for slot in held if counted[slot.installation_id] == most and slot.age_s >= MIN_AGE_S]
        return min(crowd, key=lambda slot: slot.age_s, default=None)
    return max((slot for slot in held if slot.is_slow), key=lambda slot: slot.age_s, default=None)
