"""Installations with screened and fine-tuned repositories in a real database, using the builders' seed.

The seed's winners have densities .10 and .06, its losers .03 and .02: the threshold is .045.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bot.calibration.calibration_source import CalibrationSource
from bot.calibration.record import record_outcome
from bot.calibration.threshold_change import CalibrationChange
from bot.records import Run
from bot.repo_config.repository_config import ParsedConfig, RepositoryConfig
from bot.repo_config.stored import StoredConfig, dump_config
from bot.store.configs import save_organization_config
from bot.store.installations import save_installation
from bot.store.repositories import save_repository
from bot.store.screenings import save_screening
from pipeline.calibration.calibration_set import CalibrationSet, replay
from pipeline.calibration.threshold import Calibration
from pipeline.screening.measurement import dump_judgement, dump_measurement, judge_measurement
from tests.bot.messages.screenings import at_density
from tests.bot.store.conftest import Store
from tests.bot.store.values import HEAD, NOW, installation, repository
from tests.builders.outcomes import RECIPE
from tests.builders.runs import a_run
from tests.builders.seeds import seed

FAMILY = "tiny"
BASE: CalibrationSet = replay((), seed())


class Scene:
    """Creates installations and repositories on first use; installation 1 by default."""

    def __init__(self, store: Store, scope: Any = "installation", family: str = FAMILY) -> None:
        self.store = store
        self.source = CalibrationSource(lambda: BASE, scope=scope, family=family)
        self._runs = 0
        self._there: set[int] = set()

    def install(self, installation_id: int = 1, *, shares: bool = False) -> None:
        self._there.add(installation_id)
        self.store(save_installation, installation(installation_id), NOW)
        config = StoredConfig(ParsedConfig(RepositoryConfig(share_outcomes=shares or None)), HEAD, True)
        self.store(save_organization_config, installation_id, dump_config(config))

    def screened(
        self, repository_id: int, density: float, installation_id: int = 1, *, config_hash: str = "", **changes: Any
    ) -> int:
        """Store a screening judged by the installation's threshold; return its id."""
        if installation_id not in self._there:
            self.install(installation_id)
        self.store(save_repository, repository(repository_id, installation_id))
        calibration = self.calibration(installation_id)
        measurement = replace(at_density(density), **changes)
        judgement = judge_measurement(measurement, calibration)
        return self.store(
            save_screening,
            installation_id,
            repository_id,
            HEAD,
            NOW,
            dump_measurement(measurement),
            dump_judgement(judgement),
            "",
            RECIPE,
            config_hash,
            {"of": repository_id},
        )

    def run(self, repository_id: int, density: float, outcome: str = "WIN", *, day: float = 1, **changes: Any) -> Run:
        """A finished run on a screening of that density, asked for so many days after it."""
        self._runs += 1
        installation_id = changes.pop("installation_id", 1)
        config_hash = changes.pop("config_hash", "")
        screening_id = self.screened(repository_id, density, installation_id, config_hash=config_hash)
        values: dict[str, Any] = {
            "run_id": self._runs,
            "installation_id": installation_id,
            "repository_id": repository_id,
            "screening_id": screening_id,
            "label_recipe_id": RECIPE,
            "state": "ended",
            "ending": "finished",
            "made_at": after_days(day),
            "result": result(outcome) | {"config_hash": config_hash} | changes.pop("result", {}),
        }
        return a_run(**values | changes)

    def record(self, run: Run) -> CalibrationChange | None:
        return self.store(record_outcome, self.source, run, run.made_at + timedelta(hours=2))

    def ran(self, repository_id: int, density: float, outcome: str = "WIN", **changes: Any) -> CalibrationChange:
        change = self.record(self.run(repository_id, density, outcome, **changes))
        assert change is not None
        return change

    def calibration(self, installation_id: int = 1, recipe: str = "") -> Calibration:
        return self.store(self.source.of, installation_id, recipe)


def after_days(days: float) -> datetime:
    return NOW + timedelta(days=days)


DELTAS = {"WIN": 0.052, "SOFT LOSS": 0.011, "HARD LOSS": -0.04, "INCONCLUSIVE": 0.02}


def result(outcome: str) -> dict[str, Any]:
    """What of a run's result the calibration reads."""
    return {
        "outcome": outcome,
        "control": "",
        "config_hash": "",
        "label_recipe_id": RECIPE,
        "base_model_family": FAMILY,
        "rho_adapter": 0.2 + DELTAS[outcome],
        "rho_baseline": 0.2,
    }
