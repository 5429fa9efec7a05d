"""`assay calibration seed`: mine the histories with published outcomes; write the seed data and the published table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from bot.cli.files import require_writable, write_whole
from bot.cli.output import AsJson, Progress, print_result, progress_display
from bot.settings import Settings, load_settings
from pipeline.calibration.published import Published, load_published
from pipeline.calibration.reproduced import load_reproduced
from pipeline.calibration.seed import Seed, SeedMeasurement, assemble
from pipeline.calibration.seed_json import render_seed
from pipeline.label_recipe import MESSAGES, LabelRecipe
from pipeline.records import AssayError
from pipeline.reports.numbers import count, interval
from pipeline.reports.numbers import density as number
from pipeline.reports.published_table import render_published_table
from pipeline.screening.published_check import Checked, check

SEED_FILE = Path("pipeline/calibration/seed.json")
TABLE_FILE = Path("docs/results/published-table.md")

Measure = Callable[[str], SeedMeasurement]  # of a path or URL


def seed_command(
    clones: Annotated[
        Path | None, typer.Option("--from", help="A folder of clones. Default: clone from GitHub.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The seed file to write.")] = SEED_FILE,
    docs: Annotated[Path, typer.Option(help="The page with the published table to write.")] = TABLE_FILE,
    as_json: AsJson = False,
) -> None:
    """Mine the histories with published outcomes and write the seed data that ships with Assay."""
    for file in (out, docs):
        require_writable(file)
    facts, settings = load_published(), load_settings()
    sources = locate_all(facts.repositories, clones) if clones else urls(facts.repositories)
    with progress_display() as progress:
        measurements = measure_all(
            sources, lambda source: measure_history(source, MESSAGES, settings, progress), progress
        )
    seed = assemble(facts, measurements, MESSAGES.id)
    write_whole(out, render_seed(seed))
    write_whole(docs, render_published_table(seed, load_reproduced()))
    print_result(describe_seed(seed) | {"seed": str(out), "docs": str(docs)}, as_json, _render)


def measure_history(source: str, recipe: LabelRecipe, settings: Settings, progress: Progress) -> SeedMeasurement:
    """Mine the history at a path or URL under `recipe`; a URL is cloned into the data directory.

    Raises AssayError if it cannot be read or has no functions.
    """
    from bot.cli.repository_source import default_jobs, open_source  # import mining, which the other commands avoid
    from pipeline.screening.measure import measure, seed_measurement

    repository = open_source(source, settings, progress)
    measured = measure(repository, recipe, data_dir=settings.data_dir, jobs=default_jobs(), progress=progress)
    if measured.density is None:
        raise AssayError(f"{measured.mined.repo} has no functions at the start of its training window")
    return seed_measurement(measured, recipe)


def urls(repositories: Sequence[Published]) -> dict[str, str]:
    """Map published names to the URLs of their histories on GitHub."""
    return {published.name: f"https://github.com/{published.history}.git" for published in repositories}


def locate_all(repositories: Sequence[Published], clones: Path) -> dict[str, str]:
    """Map published names to their folders in `clones`. Raises AssayError naming all that are missing."""
    if not clones.is_dir():
        raise AssayError(f"--from: the folder {clones} does not exist")
    folders = {published.name: locate(published.history, clones) for published in repositories}
    missing = [published.history for published in repositories if folders[published.name] is None]
    if missing:
        raise AssayError(f"--from {clones}: not found: {', '.join(missing)}; clone each as {clones}/OWNER/NAME.git")
    return {name: str(folder) for name, folder in folders.items()}


def locate(history: str, clones: Path) -> Path | None:
    """Find the git directory or work tree of `owner/name` under one of the usual names; None if there is none."""
    owner, _, name = history.partition("/")
    candidates = (
        clones / f"{owner}+{name}" / "repo",
        clones / owner / name,
        clones / owner / f"{name}.git",
        clones / f"{name}.git",
        clones / name,
    )
    return next((folder for folder in candidates if _is_repository(folder)), None)


def _is_repository(folder: Path) -> bool:
    return (folder / ".git").exists() or ((folder / "HEAD").is_file() and (folder / "objects").is_dir())


def measure_all(sources: Mapping[str, str], measure: Measure, progress: Progress) -> dict[str, SeedMeasurement]:
    """Measure one source after another, since mining itself runs in several processes."""
    measurements = {}
    for done, (name, source) in enumerate(sources.items()):
        progress("histories", done, len(sources))
        measurements[name] = measure(source)
    return measurements


def describe_seed(seed: Seed) -> dict[str, Any]:
    """Return the command's JSON values: the seed's threshold and every verdict under it."""
    calibration = seed.calibrate()
    threshold, standing = calibration.threshold, calibration.standing
    return {
        "label_recipe_id": seed.label_recipe_id,
        "threshold": threshold.value,
        "threshold_source": "seed",
        "band": [threshold.band_low, threshold.band_high],
        "separable": threshold.separable,
        "winners": [{"repo": repo, "density": density} for repo, density in standing.winners],
        "losers": [{"repo": repo, "density": density} for repo, density in standing.losers],
        "counterexamples": list(standing.counterexamples),
        "accuracy": calibration.accuracy.value if calibration.accuracy else None,
        "leave_one_out": standing.leave_one_out,
        "outcomes": [_verdict_fields(checked) for checked in check(seed, calibration)],
    }


def _verdict_fields(checked: Checked) -> dict[str, Any]:
    published, density = checked.record.published, checked.record.measured.density
    return {
        "repo": published.name,
        "outcome": published.kind,
        "density": density.value,
        "density_low": density.low,
        "density_high": density.high,
        "pairs": density.pairs,
        "verdict": checked.verdict.verdict,
        "measurable": checked.verdict.measurable,
        "left_out_verdict": checked.left_out_verdict,
        "agrees": checked.agrees,
        "fitted": checked.record.calibrates,
    }


def _render(result: dict[str, Any]) -> Group:
    table = Table("repository", "published", "density", "pairs", "verdict", "agrees", "")
    for row in result["outcomes"]:
        table.add_row(
            Text(row["repo"]),
            row["outcome"],
            f"{number(row['density'])} ({interval(row['density_low'], row['density_high'])})",
            count(row["pairs"]),
            row["verdict"] if row["measurable"] else "SKIP (not measurable)",
            "yes" if row["agrees"] else "no",
            "" if row["fitted"] else "not fitted",
        )
    threshold = Text(f"Threshold {number(result['threshold'])}, band {interval(*result['band'])}")
    return Group(table, threshold, Text(f"Written: {result['seed']} and {result['docs']}"))
