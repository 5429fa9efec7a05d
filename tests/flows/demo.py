"""The story of Assay on three made-up repositories, or on a real one: `make demo`, `REPO=path-or-URL make demo`.

Builds the three histories, serves them over git HTTP as a forge would, lets the installed `assay screen` clone and
judge them, and checks that the verdicts are the ones the histories were built for. Ends with 0 if they are.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.builders.demo_histories import Story, write_all
from tests.simulator.git_server import serve_git

REPORTS = Path(".demo")
ASSAY = Path(sys.executable).with_name("assay")

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
    REPORTS.mkdir(exist_ok=True)
    return screen_real(repo) if repo else play()


def screen_real(repo: str) -> int:
    report = REPORTS / "report.html"
    code = subprocess.run([ASSAY, "screen", repo, "--html", report], check=False).returncode
    if code == 0:
        say(f"\nThe report to look at: {report.absolute()}")
    return code


def play() -> int:
    say("Assay tells whether fine-tuning on a repository's bug fixes is worth the GPU time, before it is spent.")
    say("Three made-up repositories follow: cloned, mined and judged exactly as yours would be.")
    with tempfile.TemporaryDirectory(prefix="assay-demo-") as folder:
        root, data_dir = Path(folder, "forge"), Path(folder, "data")
        write_all(tuple(scene.story for scene in SCENES), root / "demo")
        with serve_git(root) as server:
            wrong = [line for scene in SCENES for line in perform(scene, f"{server.url}/demo", data_dir)]
    for line in wrong:
        say(f"WRONG: {line}")
    if wrong:
        return 1
    say("\nAll three verdicts are what the histories were built for. Now yours:")
    say("    REPO=path-or-URL make demo")
    return 0


def perform(scene: Scene, forge: str, data_dir: Path) -> list[str]:
    """Screen one repository for the eye and once more for the check; what is not as it should be, a line each."""
    url = f"{forge}/{scene.story.name}.git"
    report = (REPORTS / f"{scene.story.name}.html").absolute()
    say(f"\n--- {scene.story.name} " + "-" * 60)
    say(scene.told)
    say(f"$ assay screen {url} --html {report}\n")
    environment = {**os.environ, "ASSAY_DATA_DIR": str(data_dir)}
    shown = subprocess.run([ASSAY, "screen", url, "--html", report], env=environment, check=False)
    if shown.returncode:
        return [f"{scene.story.name}: assay screen ended with {shown.returncode}"]
    read = subprocess.run(
        [ASSAY, "screen", url, "--json"], env=environment, check=False, capture_output=True, text=True
    )
    if read.returncode:
        return [f"{scene.story.name}: assay screen --json ended with {read.returncode}: {read.stderr.strip()}"]
    return list(check(scene, json.loads(read.stdout), report))


def check(scene: Scene, result: dict[str, Any], report: Path) -> list[str]:
    """Everything about `result` that is not what the history was built for."""
    name = scene.story.name
    found = (
        (result["measurable"] is True, f"not measurable: {result['reasons']}"),
        (result["verdict"] in scene.verdicts, f"{result['verdict']}, not {' or '.join(scene.verdicts)}"),
        (result["near_boundary"] is scene.near_boundary, f"near_boundary is {result['near_boundary']}"),
        (
            abs(result["density"] - scene.story.density) < 1e-9,
            f"density {result['density']}, not {scene.story.density} as worked out beforehand",
        ),
        (report.is_file() and report.stat().st_size > 0, f"no report at {report}"),
    )
    return [f"{name}: {line}" for good, line in found if not good]


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
