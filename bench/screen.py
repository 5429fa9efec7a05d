"""Measure speed and memory of `assay screen` on local clones; figures of speed are ratios taken within one run.

    1. git log -p -U0 of the source files (B) and a cold screening, alternating              wall time
    2. a cold screening by one process, and PyDriller on the commits of the same windows     CPU time
    3. a screening as of 50 landings ago, then one now, which mines only what is new         wall time
    4. the memory of every process involved

A cold screening starts with an empty data directory. The repositories are not modified: changes (branches for step 3, a
configuration entry that PyDriller writes) go to a bare clone that borrows their objects.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.figures import (
    MARKDOWN_HEAD,
    AgainstPyDriller,
    ColdRuns,
    Figures,
    SecondRun,
    Spread,
    lines,
    markdown_row,
    summary,
)
from bench.processes import CommandFailed, Run, run
from pipeline.git.history import CommitGraph, commits_landing_in, extend_graph, first_parent, read_history
from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES
from pipeline.records import AssayError
from pipeline.syntax.languages import source_patterns

SEED = 20_250_101
HOW_TO_CALL = (
    "name the clones to measure, preferably three with more than 5,000 commits: "
    "make bench REPOS='PATH PATH PATH' (NAME=PATH gives a row its name)"
)


@dataclass(frozen=True)
class Plan:
    """What to measure and how often."""

    runs: int
    jobs: int
    pydriller_commits: int  # sample size; 0 for all, -1 for none
    new_landings: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m bench.screen [REPO ...]` and return the exit code."""
    options = _parser().parse_args(arguments)
    named = [parse_named(text) for text in options.repositories]
    plan = Plan(options.runs, options.jobs, options.pydriller_commits, options.new_landings)
    report = _to_stderr if options.json else print
    try:
        _check(named)
        report(_machine())
        measured = []
        for name, path in named:
            measured.append(measure(name, path, plan))
            report("\n".join(lines(measured[-1])))
    except (AssayError, CommandFailed) as error:
        print(error, file=sys.stderr)
        return 2
    report("\n".join(summary(measured)))
    if options.markdown:
        report("\n".join(("", *MARKDOWN_HEAD, *map(markdown_row, measured))))
    if options.json:
        print(json.dumps([as_json(figures) for figures in measured]))
    return 0


def _check(named: Sequence[tuple[str, Path]]) -> None:
    """Raise AssayError early for anything that would stop the benchmark later."""
    if not named:
        raise AssayError(HOW_TO_CALL)
    for _, path in named:
        open_repository(path)
    missing = [name for name in ("psutil", "pydriller") if find_spec(name) is None]
    if missing:
        raise AssayError(f"{' and '.join(missing)} missing: use `make bench`, which installs the extra")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.screen", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("repositories", nargs="*", metavar="[NAME=]PATH", help="local clones, bare or with a work tree")
    parser.add_argument("--runs", type=int, default=5, help="pairs of runs for wall times (default 5)")
    parser.add_argument("--jobs", type=int, default=2, help="processes per screening (default 2)")
    parser.add_argument(
        "--pydriller-commits",
        type=int,
        default=400,
        metavar="N",
        help="visit a random sample of N commits with PyDriller and extrapolate (default 400; 0 all, -1 none)",
    )
    parser.add_argument(
        "--new-landings", type=int, default=50, help="landings between first and second run (default 50)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON on stdout and everything else on stderr")
    parser.add_argument("--markdown", action="store_true", help="also print Markdown table rows")
    return parser


def parse_named(text: str) -> tuple[str, Path]:
    """Parse `NAME=PATH`, or a path with an empty name."""
    name, equals, path = text.partition("=")
    if equals and not Path(text).exists():
        return name, Path(path)
    return "", Path(text)


def measure(name: str, path: Path, plan: Plan) -> Figures:
    """Measure one repository. Raises AssayError, CommandFailed."""
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        work = Path(folder)
        git_log(path)  # warm up the page cache, for the first pair too
        pairs = [(git_log(path), screen(path, plan.jobs)) for _ in range(plan.runs)]
        alone = screen(path, jobs=1)
        result = json.loads(alone.output)
        copy = bare_copy(path, work / "copy.git")
        second, first_runs = _second_run(copy, work, plan, result["density"])
        pydriller = None if plan.pydriller_commits < 0 else _pydriller(path, copy, result, alone, plan)
    return Figures(
        name=name or result["repo"],
        head_sha=result["head_sha"],
        commits=result["commits"],
        pairs=result["pairs"],
        cold=ColdRuns(tuple(b.wall_s for b, _ in pairs), tuple(s.wall_s for _, s in pairs), plan.jobs),
        pydriller=pydriller,
        second=second,
        peak_mb=max(r.peak_mb for r in (alone, *first_runs, *(s for _, s in pairs))),
        each_peak_mb=first_runs[0].each_peak_mb if first_runs else (),
    )


def git_log(path: Path) -> Run:
    """Run reference B: git's own diff of every version of every source file."""
    command = ["git", "-C", str(path), "log", "--no-merges", "-p", "-U0", "HEAD", "--", *source_patterns()]
    return run(command, keep_output=False)


def screen(path: Path, jobs: int, data_dir: Path | None = None, watch: bool = False) -> Run:
    """Run `assay screen --json` in a separate process, with an empty data directory if none is given."""
    with _data_dir(data_dir) as folder:
        environment = {**os.environ, "ASSAY_DATA_DIR": str(folder)}
        command = [*_assay(), "screen", str(path), "--json", "--jobs", str(jobs)]
        return run(command, environment=environment, watch=watch)


def _assay() -> list[str]:
    """Return the installed command, or its equivalent from the checkout."""
    script = Path(sys.executable).with_name("assay")
    return [str(script)] if script.exists() else [sys.executable, "-c", "from bot.cli.main import main; main()"]


@contextmanager
def _data_dir(path: Path | None) -> Iterator[Path]:
    if path is not None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="assay-bench-data-") as folder:
        yield Path(folder)


def bare_copy(path: Path, to: Path) -> Path:
    """Create a bare clone that borrows the objects of `path` and has its own branches."""
    run(["git", "clone", "--quiet", "--bare", "--shared", str(path), str(to)])
    return to


def _git(folder: Path, *arguments: str) -> str:
    return run(["git", "-C", str(folder), *arguments]).output.decode().strip()


def _second_run(
    copy: Path, work: Path, plan: Plan, cold_density: float | None
) -> tuple[SecondRun | None, tuple[Run, ...]]:
    """Screen the copy as of some landings ago, then as it is now; watch the memory of the first run."""
    head = _git(copy, "rev-parse", "HEAD")
    before = _git(copy, "rev-list", "--first-parent", "--max-count=1", f"--skip={plan.new_landings}", "HEAD")
    if not before:
        return None, ()
    new_commits = int(_git(copy, "rev-list", "--count", f"{before}..{head}"))
    walls, runs = [], []
    density = None
    for number in range(max(1, plan.runs // 2 + 1)):
        data_dir = work / f"data-{number}"
        _git(copy, "update-ref", "HEAD", before)
        runs.append(screen(copy, plan.jobs, data_dir, watch=number == 0))
        _git(copy, "update-ref", "HEAD", head)
        runs.append(screen(copy, plan.jobs, data_dir))
        walls.append(runs[-1].wall_s)
        density = json.loads(runs[-1].output)["density"]
    return SecondRun(plan.new_landings, new_commits, Spread.of(walls), density, cold_density), tuple(runs)


def _pydriller(path: Path, copy: Path, result: dict[str, Any], alone: Run, plan: Plan) -> AgainstPyDriller:
    windows = result["windows"]
    hashes = commits_in_windows(path, _seconds(windows["train_start"]), _seconds(windows["as_of"]))
    chosen = sample(hashes, plan.pydriller_commits)
    command = [sys.executable, "-m", "bench.pydriller_commits", str(copy)]
    visit = run(command, stdin="\n".join(chosen).encode())
    result_of_visit = json.loads(visit.output)
    return AgainstPyDriller(
        commits=len(hashes),
        visited=result_of_visit["visited"],
        failed=result_of_visit["failed"],
        ours_cpu_s=alone.cpu_s,
        startup_cpu_s=result_of_visit["startup_cpu_s"],
        visiting_cpu_s=visit.cpu_s - result_of_visit["startup_cpu_s"],
        left_out_cpu_s=result_of_visit["left_out_cpu_s"],
    )


def commits_in_windows(path: Path, train_start: int, as_of: int) -> list[str]:
    """Return hashes of the non-merge commits landing in (train_start, as_of], the ones that a screening reads."""
    repository = open_repository(path)
    graph = CommitGraph()
    with repository.reader() as reader:
        extend_graph(graph, reader, repository.head, lambda message: False, repository.shallow)
    history = read_history(graph, graph.index[repository.head], MESSAGES, repository.shallow)
    after, upto = max(0, history.position_at(train_start)), history.position_at(as_of)
    landing = commits_landing_in(history, after, upto)
    return [graph.ids[c].hex() for c in landing if len(graph.parents[c]) == 1 and first_parent(history, c) is not None]


def sample(hashes: Sequence[str], size: int) -> list[str]:
    """Return a seeded sample of at most `size` hashes in their order, or all if `size` is not positive."""
    if not 0 < size < len(hashes):
        return list(hashes)
    chosen = sorted(random.Random(SEED).sample(range(len(hashes)), size))
    return [hashes[index] for index in chosen]


def as_json(figures: Figures) -> dict[str, Any]:
    """Return every measured number and the derived ratios."""
    fields = dataclasses.asdict(figures)
    fields["cold"]["ratio"] = dataclasses.asdict(figures.cold.ratio)
    if figures.pydriller:
        derived = ("theirs_cpu_s", "ratio", "same_files_ratio")
        fields["pydriller"] |= {field: getattr(figures.pydriller, field) for field in derived}
    if figures.second:
        fields["second"]["same_density"] = figures.second.same_density
    return fields


def _seconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp())


def _machine() -> str:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    git = run(["git", "--version"]).output.decode().strip()
    return f"{os.cpu_count()} cores, load {load}, {git}, Python {platform.python_version()}"


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
