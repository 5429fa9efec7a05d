"""The story of Assay, played against a local GitHub: `make demo`, or `REPO=path-or-URL make demo` on a real history.

Without REPO the whole story on three made-up histories (demo_loop.py): verdicts, a maintainer's `/finetune`, the job on
this machine's processor, ρ, a new threshold, a flipped verdict. With it the verdict on yours. Ends with 0 only where
everything is as it must be. On a terminal the pages stay up until Enter is pressed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from pipeline.git.clone import clone_or_fetch, looks_like_url, parse_url
from pipeline.git.repository import open_repository
from pipeline.records import AssayError
from tests.builders.app_processes import Deployment, deployment, settings_for
from tests.flows.demo_scenes import LOOP_SCENES
from tests.flows.demo_shown import KEPT, Missed, Watched, say
from tests.simulator.github import GitHub, serve_github

YOURS_WITHIN_S = 600.0  # a real repository may be large


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--repo", help="a path or a URL to screen instead of the made-up repositories")
    repo = parser.parse_args().repo
    say("Assay tells whether fine-tuning on a repository's bug fixes is worth the GPU time, before it is spent.")
    shutil.rmtree(KEPT, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="assay-demo-") as folder:
        try:
            return screen_yours(Path(folder), repo) if repo else play(Path(folder))
        except AssayError as error:
            say(f"assay: {error}")
            return 2
        except Missed as missed:
            say(f"WRONG: {missed}")
            return 1


def play(root: Path) -> int:
    # Which need torch; whoever screens their own history does without.
    from tests.flows.demo_checks import wrong_with
    from tests.flows.demo_loop import Plot, play_loop

    began_s = time.monotonic()
    say("Making three histories, each built for a verdict:")
    for scene in LOOP_SCENES:
        say(f"  {scene.story.name:14s}  {scene.told}")
    played = play_loop(root, Plot(LOOP_SCENES), stay)
    wrong = list(wrong_with(played, LOOP_SCENES))
    for line in wrong:
        say(f"WRONG: {line}")
    if wrong:
        return 1
    before, after = played.calibration_before["threshold"], played.calibration_after["threshold"]
    say(f"\nThe job won, Δρ {played.result['delta']:+.3f}; the threshold moved from {before:.4f} to {after:.4f};")
    say(f"{LOOP_SCENES[1].story.name} turned from SKIP to RUN. Checked: the figures posted are those that are stored,")
    say("and the threshold is what the rule makes of the ledger.")
    say(f"\nThat took {time.monotonic() - began_s:.0f} seconds. Now yours:")
    say("    REPO=path-or-URL make demo")
    return 0


def screen_yours(root: Path, repo: str) -> int:
    """The verdict on a real history. Raises AssayError where there is none, Missed where no verdict comes."""
    history = find_history(repo, root / "yours.git")
    with serve_github(root / "github") as github:
        app = github.register_app()
        environment = settings_for(app.credentials, root / "assay", github.url, github.api_url)
        with deployment(root / "assay", environment) as assay:
            say(f"\nA GitHub of our own at {github.url}, and $ assay up")
            assay.start("up")
            assay.ready()
            app.webhook_url = assay.webhook_url
            say(f"It is up: {assay.url}/ shows what it knows.")
            organization = github.account("demo", type="Organization")
            yours = organization.repository("yours", git_dir=history, private=True)
            say("\nThe organization 'demo' installs the App on it ...")
            app.install(organization, [yours])
            Watched([yours], assay).until("the verdict", lambda: yours.check_runs, YOURS_WITHIN_S)
            stay(github, assay)
            assay.processes[0].stop()
    return 0


def find_history(repo: str, into: Path) -> Path:
    """The git directory of a path, or a clone of a URL. Raises AssayError."""
    if looks_like_url(repo):
        say(f"Cloning {repo}")
        return clone_or_fetch(parse_url(repo), into)
    return open_repository(Path(repo)).git_dir


def stay(github: GitHub, assay: Deployment) -> None:
    """Leave the pages up while somebody is there to look at them."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        say(f"\nLook at it: {github.url}/demo (GitHub's side), {assay.url}/ (Assay's). Enter ends the demo.")
        input()


if __name__ == "__main__":
    if shutil.which("git") is None:
        sys.exit("make demo needs git")
    sys.exit(main())
