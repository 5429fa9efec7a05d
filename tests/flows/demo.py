"""The story of Assay, played against a local GitHub: `make demo`, or `REPO=path-or-URL make demo` on a real history.

Builds three made-up histories, starts a local GitHub with an organization that owns them and the real App on embedded
defaults, installs the App, and shows the check runs as they appear. Then checks that the verdicts are the ones the
histories were built for, and ends with 0 if they are. On a terminal the pages stay up until Enter is pressed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.mining.clone import clone_or_fetch, looks_like_url, parse_url
from pipeline.mining.repository import open_repository
from pipeline.records import AssayError
from tests.builders.app_processes import ASSAY, Deployment, deployment, settings_for
from tests.builders.demo_histories import Story, write_all
from tests.simulator.github import GitHub, serve_github
from tests.simulator.repositories import Repository
from tests.simulator.state import CheckRun

KEPT = Path(".demo")
ORGANIZATION = "demo"
EACH_WITHIN_S = 600.0  # a real repository may be large

# Constants, chosen for the threshold of the shipped seed (a test says so when a new seed moves it away). Ten or more
# functions fixed equally often, and no other, give a density of hot / functions: for the third take threshold x 720.
BUSY = Story("busy-checkout", files=60, hot=150, fixes_each=2, once=60, fixed_later=70)
CALM = Story("calm-library", files=100, hot=8, fixes_each=6, once=10, fixed_later=70)
EVEN = Story("even-keel", files=60, hot=14, fixes_each=2, once=0, fixed_later=70)


@dataclass(frozen=True)
class Scene:
    story: Story
    verdicts: tuple[str, ...]
    near_boundary: bool
    told: str


SCENES = (
    Scene(BUSY, ("RUN",), False, "Bugs were fixed all over this one: more than every fourth function has been mended."),
    Scene(CALM, ("SKIP",), False, "Here a handful of functions caused nearly all the trouble."),
    Scene(EVEN, ("RUN", "SKIP"), True, "And this one was built to lie right at the threshold."),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--repo", help="a path or a URL to screen instead of the made-up repositories")
    repo = parser.parse_args().repo
    say("Assay tells whether fine-tuning on a repository's bug fixes is worth the GPU time, before it is spent.")
    with tempfile.TemporaryDirectory(prefix="assay-demo-") as folder:
        root = Path(folder)
        if repo:
            try:
                histories = {"yours": find_history(repo, root / "yours.git")}
            except AssayError as error:
                say(f"assay: {error}")
                return 2
            return play(root, histories, ())
        say("Making three histories, each built for a verdict:")
        for scene in SCENES:
            say(f"  {scene.story.name:14s}  {scene.told}")
        write_all(tuple(scene.story for scene in SCENES), root / "histories")
        histories = {scene.story.name: root / "histories" / f"{scene.story.name}.git" for scene in SCENES}
        return play(root, histories, SCENES)


def find_history(repo: str, into: Path) -> Path:
    """The git directory of a path, or a clone of a URL. Raises AssayError."""
    if looks_like_url(repo):
        say(f"Cloning {repo}")
        return clone_or_fetch(parse_url(repo), into)
    return open_repository(Path(repo)).git_dir


def play(root: Path, histories: Mapping[str, Path], scenes: Sequence[Scene]) -> int:
    with serve_github(root / "github") as github:
        app = github.register_app()
        organization = github.account(ORGANIZATION, type="Organization")
        repositories = [organization.repository(name, git_dir=path, private=True) for name, path in histories.items()]
        environment = settings_for(app.credentials, root / "assay", github.url, github.api_url)
        with deployment(root / "assay", environment) as assay:
            say(f"\nA GitHub of our own at {github.url}, and $ assay up")
            assay.start("up")
            assay.ready()
            app.webhook_url = assay.webhook_url
            say(f"It is up: {assay.url}/ shows what it knows.")
            say(f"\nThe organization '{ORGANIZATION}' installs the App on {len(repositories)} repositories ...")
            app.install(organization, repositories)
            shown = all(show(repository, run) for repository, run in appearing(repositories, assay))
            wrong = list(check(scenes, known_to(assay), repositories)) if shown else ["not every verdict came"]
            stay(github, assay)
            assay.processes[0].stop()
    for line in wrong:
        say(f"WRONG: {line}")
    if wrong:
        return 1
    if scenes:
        say("\nAll three verdicts are what the histories were built for. Now yours:")
        say("    REPO=path-or-URL make demo")
    return 0


def appearing(repositories: Sequence[Repository], assay: Deployment) -> Iterator[tuple[Repository, CheckRun | None]]:
    """Each repository with its first check run, as they come; with none where it took too long."""
    waiting = list(repositories)
    give_up_at_s = time.monotonic() + EACH_WITHIN_S * len(waiting)
    while waiting:
        for repository in list(waiting):
            if repository.check_runs:
                waiting.remove(repository)
                yield repository, repository.check_runs[0]
        if waiting and (time.monotonic() > give_up_at_s or not assay.processes[0].running):
            say(assay.said()[-4_000:])
            for repository in waiting:
                yield repository, None
            return
        time.sleep(0.1)


def show(repository: Repository, run: CheckRun | None) -> bool:
    """Print a check run as it stands on GitHub, and keep it for reading."""
    if run is None:
        return False
    output = run["output"]
    KEPT.mkdir(exist_ok=True)
    place = KEPT / f"{repository.name}.md"
    place.write_text(f"# {output['title']}\n\n{output['summary']}\n\n{output['text'] or ''}\n", encoding="utf-8")
    say(f"\n--- {repository.full_name}, check run {run['name']} at {run['head_sha'][:7]}: {run['conclusion']} ---")
    say(output["title"])
    say("")
    say("\n".join(f"  {line}" for line in output["summary"].splitlines()))
    say(f"  (all of it: {place})")
    return True


def known_to(assay: Deployment) -> list[dict[str, Any]]:
    """What `assay repos --json` lists."""
    done = subprocess.run([ASSAY, "repos", "--json"], env=assay.environment, check=True, capture_output=True, text=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)["repositories"]
    return found


def check(
    scenes: Sequence[Scene], known: Sequence[Mapping[str, Any]], repositories: Sequence[Repository]
) -> Iterator[str]:
    """Everything that is not what the histories were built for."""
    by_name = {row["repository"].partition("/")[2]: row for row in known}
    runs = {repository.name: repository.check_runs for repository in repositories}
    for scene in scenes:
        name = scene.story.name
        for line in differences(scene, by_name.get(name, {}), runs[name]):
            yield f"{name}: {line}"


def differences(scene: Scene, row: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How one repository differs from what its history was built for."""
    if row.get("verdict") not in scene.verdicts:
        yield f"{row.get('verdict')}, not {' or '.join(scene.verdicts)} ({row.get('reason')})"
        return
    if row["near_boundary"] is not scene.near_boundary:
        yield f"near_boundary is {row['near_boundary']}"
    if abs(row["density"] - scene.story.density) > 1e-9:
        yield f"density {row['density']}, not {scene.story.density} as worked out beforehand"
    if len(runs) != 1:
        yield f"{len(runs)} check runs, not one"
    elif runs[0]["conclusion"] != ("success" if row["verdict"] == "RUN" else "neutral"):
        yield f"{row['verdict']} was posted as {runs[0]['conclusion']}"


def stay(github: GitHub, assay: Deployment) -> None:
    """Leave the pages up while somebody is there to look at them."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        say(f"\nLook at it: {github.url}/demo (GitHub's side), {assay.url}/ (Assay's). Enter ends the demo.")
        input()


def say(line: str) -> None:
    print(
        line.encode(sys.stdout.encoding or "utf-8", "backslashreplace").decode(sys.stdout.encoding or "utf-8"),
        flush=True,
    )


if __name__ == "__main__":
    if shutil.which("git") is None:
        sys.exit("make demo needs git")
    sys.exit(main())
