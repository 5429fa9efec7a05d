"""The whole story on made-up repositories: from the installation to a verdict that a fine-tuning job turned.

    1. `assay calibration import` of the demo's own set, `assay up`, and an organization installs the App
    2. the check runs `assay/screen` come; the operator gives the organization a budget
    3. a maintainer comments `/finetune` on an issue; the App reacts, answers, and queues a run
    4. `assay gpu-worker` trains the tiny model; the comment is edited; the check run `assay/finetune` comes
    5. the outcome joins the calibration set, the threshold moves, and the verdict that flips is posted again

Nothing of it is prepared beforehand but the histories, the set to start from, and a base model that knows no history.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bot.gpu_worker.training_child import CREDENTIALS
from pipeline.finetuning.recipe import BaseModel
from tests.builders.app_processes import AppProcess, Deployment, deployment, settings_for
from tests.builders.demo_calibration import demo_exchange
from tests.builders.demo_model import RECIPE, demo_model
from tests.flows.demo_scenes import Scene, asked, known_to, write_histories
from tests.flows.demo_shown import Missed, Watched, keep, say
from tests.simulator.github import GitHub, serve_github
from tests.simulator.repositories import Repository

ORGANIZATION, MAINTAINER, MODEL = "demo", "mia", "demo/tiny-encoder"
ISSUE = 1
MINUTES_OF_A_RUN, MINUTES_A_MONTH = 10, 120
WITHIN_S = 240.0  # for whatever is waited for, on a busy machine

_PERIODIC = ("reconcile", "purge")
_QUIET_FOR_S = 1.0


@dataclass(frozen=True)
class Plot:
    """What is played. The first scene's repository is the one that is fine-tuned."""

    scenes: Sequence[Scene]
    changes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))  # of the recipe


@dataclass(frozen=True)
class Played:
    """What there was to see, and what Assay keeps of it."""

    known_before: Sequence[Mapping[str, Any]]  # `assay repos`, before the run and after it
    known_after: Sequence[Mapping[str, Any]]
    calibration_before: Mapping[str, Any]  # `assay calibration show --installation`
    calibration_after: Mapping[str, Any]
    versions: Mapping[str, Any]  # `assay calibration versions --verify`
    screens_before: Mapping[str, Sequence[Mapping[str, Any]]]  # check runs `assay/screen`, by repository
    screens_after: Mapping[str, Sequence[Mapping[str, Any]]]
    finetunes: Sequence[Mapping[str, Any]]  # check runs `assay/finetune`
    head_sha: str  # that was pinned
    result: Mapping[str, Any]  # as the GPU worker stored it
    reactions: Sequence[str]
    replies: Sequence[str]  # the texts of the one comment, oldest first
    comments: int  # of the App
    exits: Sequence[int]  # of its processes


def play_loop(root: Path, plot: Plot, stay: Callable[[GitHub, Deployment], None] = lambda *_: None) -> Played:
    """Play it in the new folder `root`. Raises Missed where something does not come."""
    say("Making a tiny language model on the spot; it knows which calls code makes, and no history.")
    model = demo_model(root / "models" / MODEL.rpartition("/")[2])
    histories = write_histories(plot.scenes, root / "histories")
    with serve_github(root / "github") as github:
        app = github.register_app()
        environment = settings_for(app.credentials, root / "assay", github.url, github.api_url)
        environment |= _training_settings(model, plot.changes)
        with deployment(root / "assay", environment) as assay:
            _start_from_the_demo_set(assay, model)
            say(f"\nA GitHub of our own at {github.url}, and $ assay up")
            assay.start("up")
            assay.ready()
            app.webhook_url = assay.webhook_url
            say(f"It is up: {assay.url}/ shows what it knows.")
            organization = github.account(ORGANIZATION, type="Organization")
            repositories = [organization.repository(n, git_dir=p, private=True) for n, p in histories.items()]
            say(f"\nThe organization '{ORGANIZATION}' installs the App on {len(repositories)} repositories ...")
            app.install(organization, repositories)
            played = _play(assay, repositories)
            stay(github, assay)
            exits = [process.stop() for process in reversed(assay.processes)]
        return Played(**played, exits=exits)


def _training_settings(model: Path, changes: Mapping[str, Any]) -> dict[str, str]:
    """What an operator sets: which models may be used, and what differs from the recipe that ships."""
    return {
        "ASSAY_BASE_MODELS": f"{MODEL}={model}",
        "ASSAY_FINETUNE": json.dumps({**RECIPE, **changes}),
        "ASSAY_FINETUNE_MINUTES": str(MINUTES_OF_A_RUN),
    }


def _start_from_the_demo_set(assay: Deployment, model: Path) -> None:
    file = assay.folder / "demo-calibration.json"
    file.write_text(demo_exchange(BaseModel(str(model)).family), encoding="ascii")
    say("\n$ assay calibration import demo-calibration.json      (twenty outcomes, all of them made up and named so)")
    found = asked(assay, "calibration", "import", str(file))
    say(f"The threshold to start from: {found['threshold']:.4f}, by {found['measured']} made-up outcomes.")


def _play(assay: Deployment, repositories: Sequence[Repository]) -> dict[str, Any]:
    """Everything of Played but the exits."""
    watched, subject = Watched(repositories, assay), repositories[0]
    watched.until("the verdicts", lambda: all(_screens(each) for each in repositories), WITHIN_S)
    _wait_until_quiet(watched, assay)
    found: dict[str, Any] = {
        "known_before": known_to(assay),
        "calibration_before": asked(assay, "calibration", "show", "--installation", ORGANIZATION),
        "screens_before": {each.name: _screens(each) for each in repositories},
        "head_sha": subject.head(),
    }
    say(f"\n$ assay budget set {ORGANIZATION} --minutes {MINUTES_A_MONTH}      (without a budget fine-tuning is off)")
    asked(assay, "budget", "set", ORGANIZATION, "--minutes", str(MINUTES_A_MONTH))
    subject.roles[MAINTAINER] = "maintain"
    say(f"\nThe maintainer {MAINTAINER} comments on issue {ISSUE} of {subject.full_name}:\n  /finetune")
    comment = subject.comment(MAINTAINER, "/finetune", ISSUE)
    watched.until("a reply that the run is queued", lambda: _says(watched, "Queued"), WITHIN_S)
    say("\n$ assay gpu-worker      (which knows nothing of the App's credentials, and never calls GitHub)")
    _start_gpu_worker(assay)
    watched.until("the check run assay/finetune", lambda: _finetunes(subject), WITHIN_S)
    _wait_until_quiet(watched, assay)
    ours = [each for repository in repositories for each in repository.comments if each.app is not None]
    return found | {
        "known_after": known_to(assay),
        "calibration_after": asked(assay, "calibration", "show", "--installation", ORGANIZATION),
        "versions": asked(assay, "calibration", "versions", "--installation", ORGANIZATION, "--verify"),
        "screens_after": {each.name: _screens(each) for each in repositories},
        "finetunes": _finetunes(subject),
        "result": _stored_result(assay),
        "reactions": [reaction["content"] for reaction in comment.reactions],
        "replies": watched.texts,
        "comments": len(ours),
    }


def _start_gpu_worker(assay: Deployment) -> None:
    """A process of its own with the operator's settings, without anything of the App on GitHub."""
    environment = {name: value for name, value in assay.environment.items() if name not in CREDENTIALS}
    # One thread: as fast for so small a model, and the same numbers however many processors there are.
    environment |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    worker = AppProcess(("gpu-worker", "--name", "demo"), environment, assay.folder / "gpu-worker.log")
    worker.start()
    assay.processes.append(worker)


def _wait_until_quiet(watched: Watched, assay: Deployment) -> None:
    """Until nothing is left to do, so that what does not come is known not to come."""
    since: list[float] = []

    def is_quiet() -> bool:
        if _left_to_do(assay):
            since.clear()
        else:
            since.append(time.monotonic())
        return bool(since) and since[-1] - since[0] >= _QUIET_FOR_S

    watched.until("the end of all work", is_quiet, WITHIN_S)


def _left_to_do(assay: Deployment) -> int:
    """Runs and jobs that have not ended, but for those that come round for ever."""
    file = Path(assay.environment["ASSAY_DATA_DIR"]) / "assay.sqlite"
    jobs = f"SELECT count(*) FROM jobs WHERE state IN ('open', 'running') AND kind NOT IN {_PERIODIC}"
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as connection:
        counts = (jobs, "SELECT count(*) FROM runs WHERE state <> 'ended'")
        return sum(int(connection.execute(query).fetchone()[0]) for query in counts)


def _stored_result(assay: Deployment) -> dict[str, Any]:
    """The result of the run that was judged, in the store of artifacts. Raises Missed where it is not there."""
    root = Path(assay.environment["ASSAY_DATA_DIR"]) / "artifacts"
    for file in sorted(root.rglob("result.json")):
        found: dict[str, Any] = json.loads(file.read_bytes())
        if "rho_adapter" in found:
            keep("result", f"```json\n{json.dumps(found, indent=1, ensure_ascii=False)}\n```\n")
            return found
    raise Missed("the result of the run is not in the store of artifacts")


def _says(watched: Watched, word: str) -> bool:
    return any(word in text for text in watched.texts)


def _screens(repository: Repository) -> list[dict[str, Any]]:
    return [dict(run) for run in list(repository.check_runs) if run["name"] == "assay/screen"]


def _finetunes(repository: Repository) -> list[dict[str, Any]]:
    return [dict(run) for run in list(repository.check_runs) if run["name"] == "assay/finetune"]
