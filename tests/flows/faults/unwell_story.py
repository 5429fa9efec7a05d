"""Organizations that meet one kind of trouble each, all at once, with the same App: a real process, under a fast clock.

Each has one repository, and an installation of its own, so that nobody's limits or tokens touch another.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from tests.builders.fast_assay import Pace
from tests.flows.faults.stage import Stage, set_stage
from tests.simulator.apps import Installation
from tests.simulator.faults import Fault, FaultRule
from tests.simulator.messages import RecordedRequest
from tests.simulator.repositories import Repository

FACTOR = 120.0
REQUEST_S = 2.5  # real seconds that a request may take: long for a busy machine, short for a test


@dataclass
class Sufferer:
    """An organization, and the requests about it that may go wrong: each a pattern for a fault."""

    stage: Stage
    repository: Repository
    installation: Installation
    rules: list[FaultRule] = field(default_factory=list)

    @property
    def of_it(self) -> str:
        return f"/repos/{self.repository.full_name}"

    @property
    def reading(self) -> str:
        return f"GET {self.of_it}"

    @property
    def head(self) -> str:
        return f"GET {self.of_it}/commits/.*"

    @property
    def writing(self) -> str:
        return f"POST {self.of_it}/check-runs"

    @property
    def suites(self) -> str:
        return f"PATCH {self.of_it}/check-suites/preferences"

    @property
    def minting(self) -> str:
        return f"POST /app/installations/{self.installation.installation_id}/access_tokens"

    @property
    def refs(self) -> str:
        return f"GET /{self.repository.full_name}.git/info/refs"

    @property
    def pack(self) -> str:
        return f"POST /{self.repository.full_name}.git/git-upload-pack"

    def meets(self, fault: Fault, at: str, times: int = 1) -> None:
        self.rules.append(self.stage.github.fault(at, fault, times))

    def expire_tokens(self) -> None:
        """As if an hour had passed since they were minted."""
        now = self.stage.github.clock.now()
        for token in list(self.stage.github.tokens.values()):
            if token.installation is self.installation:
                token.expires_at = now

    def spend(self) -> None:
        """None of the hour's requests is left, for two minutes."""
        limits = self.stage.github.limits
        assert limits.primary is not None
        usage = limits.usage[self.installation.installation_id]
        usage.used, usage.resets_at = limits.primary, limits.now() + timedelta(minutes=2)

    @property
    def refused(self) -> int:
        """How often it asked although nothing was left."""
        return self.stage.github.limits.refused(self.installation.installation_id)

    def writes(self) -> list[RecordedRequest]:
        """The requests to write a check run, in the order of their answers."""
        return [r for r in self.stage.github.requests if f"{r.method} {r.path}" == self.writing]


Trouble = Callable[[Sufferer], object]


@contextlib.contextmanager
def unwell(folder: Path, **settings: str) -> Iterator[Stage]:
    """An App that is up, while GitHub keeps all that it has to say to itself."""
    with set_stage(folder, pace=Pace(FACTOR, REQUEST_S)) as stage:
        stage.assay.environment |= settings
        stage.github.deliver_now = False
        stage.up()
        yield stage


def suffer(stage: Stage, troubles: Mapping[str, Trouble]) -> dict[str, Sufferer]:
    """An organization for each trouble installs the App, at the same moment."""
    found = {}
    for number, (words, trouble) in enumerate(troubles.items()):
        organization = stage.organization(f"org{number:02d}")
        repository = stage.repository(organization)
        sufferer = found[words] = Sufferer(stage, repository, stage.app.install(organization, [repository]))
        trouble(sufferer)
    stage.github.deliver_now = True
    stage.github.release()
    return found


def gaps_s(seen: list[RecordedRequest]) -> list[float]:
    """Seconds of GitHub's clock between one request and the next."""
    return [(after.at - at.at).total_seconds() for at, after in itertools.pairwise(seen)]
