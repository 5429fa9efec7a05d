"""Phrases about a run that its check run and its comment share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bot.messages.markdown import capitalized
from bot.records import Run
from pipeline.reports import numbers
from pipeline.reports.finetune_figures import Measured

_FORCED: Final = "**Forced**: requested although the verdict was SKIP."
_AUDIT: Final = "**Audit**: drawn at random to test a SKIP; nobody requested it."


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended without a result. `to_do` may contain {again} and {then_again}."""

    predicate: str  # continues "The run"
    why: str
    to_do: str

    @property
    def title(self) -> str:
        return self.predicate.removeprefix("was ")

    @property
    def sentence(self) -> str:
        return f"{capitalized(self.title)}."


ENDINGS: Final[Mapping[str, Ending]] = {
    "": Ending("ended for an unknown reason", "", "{again} to start a new run."),
    "crashed": Ending(
        "crashed without a result",
        "The run itself failed; this says nothing about the repository.",
        "{again} to try again. If it crashes again, tell the operator of this server: the log of the GPU worker has "
        "the details.",
    ),
    "cancelled": Ending(
        "was cancelled without a result",
        "Somebody cancelled it, or the request for it is no longer valid.",
        "{again} to start a new run.",
    ),
    "timed_out": Ending(
        "timed out without a result",
        "The run reached its time limit and was stopped.",
        "The operator of this server can allow more minutes (`ASSAY_FINETUNE_MINUTES`), or configure fewer seeds or a "
        "smaller base model. `max_minutes` in `.github/assay.yml` may be the limit, too.",
    ),
    "out_of_budget": Ending(
        "was not started: the GPU budget does not cover it",
        "Before a run is queued, the most that it can take is reserved from the month’s budget; there was "
        "not enough left.",
        "Wait for the next month (UTC), use a smaller base model, or ask the operator of this server for more minutes "
        "(`assay budget set`).",
    ),
    "refused": Ending(
        "was not started",
        "Something prevented the run from starting.",
        "Once that is resolved, {then_again}.",
    ),
}
_FINISHED: Final = Ending("finished", "", "")


def ending_of(run: Run) -> Ending:
    """Return how a run ended without a result."""
    return ENDINGS.get(run.ending or "", _FINISHED)


def origin(run: Run) -> list[str]:
    """Return what sets the start of a run apart from an ordinary one."""
    return [*([_AUDIT] if run.audit else []), *([_FORCED] if run.forced else [])]


def gpu_minutes(value: float) -> str:
    """Return GPU minutes, rounded up."""
    return numbers.counted(math.ceil(value), "GPU minute")


def with_interval(measured: Measured, *, signed: bool = False) -> str:
    """Return `0.696 (95 %: 0.520 to 0.803)`."""
    value = numbers.rho(measured.value, signed=signed)
    if measured.low is None or measured.high is None:
        return f"{value} (no interval)"
    return f"{value} (95 %: {numbers.rho_interval(measured.low, measured.high, signed=signed)})"
