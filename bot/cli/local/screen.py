"""`assay screen`: predict RUN or SKIP for a repository."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from bot import __version__
from bot.cli.config_option import OwnConfig, read_overlay
from bot.cli.files import write_whole
from bot.cli.local.github_evidence import WITHOUT_TOKEN, GitHubRepo, GitHubToken, fetch_evidence, name_of, token_of
from bot.cli.output import AsJson, print_result, progress_display
from bot.cli.recipe_option import RecipeName, parse_recipe
from bot.cli.repository_source import default_jobs, open_source, parse_as_of
from bot.peak_memory import peak_rss_mb
from bot.settings import Settings, load_settings
from pipeline.calibration.calibration_set import CalibrationSet
from pipeline.calibration.ledger import calibration_folder, load_calibration_set, record_prediction
from pipeline.calibration.seed import load_seed
from pipeline.classify.overlay import NO_OVERLAY, Overlay
from pipeline.git.history import parse_commit
from pipeline.git.packs import ObjectProblem
from pipeline.git.repository import Repository
from pipeline.label_recipe import RECIPES, LabelRecipe, by_messages
from pipeline.records import AssayError, Screening
from pipeline.reports.screen_json import screen_json
from pipeline.reports.screen_text import lines
from pipeline.screening.assess import Cost, judge_measured
from pipeline.screening.measure import measure

Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, max=64, help="Number of processes. Default: one per core, at most 8."),
]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="ISO", help="Ignore everything that landed after this date or time."),
]
Source = Annotated[str, typer.Argument(metavar="PATH|URL", help="The path of a local repository, or an https:// URL.")]


def screen(
    source: Source,
    as_of: AsOf = None,
    config: OwnConfig = None,
    github_token: GitHubToken = None,
    github_repo: GitHubRepo = None,
    jobs: Jobs = None,
    recipe: RecipeName = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Also write an HTML report.")] = None,
    as_json: AsJson = False,
) -> None:
    """Predict whether fine-tuning on a repository's bug-fix history is worth trying: RUN or SKIP.

    A local repository is only read. Of a URL, the default branch is cloned into the data directory and fetched
    incrementally the next time. With a GitHub token, issues, pull requests and labels are used as evidence too.
    Another label recipe than the deciding one (--recipe) shows what adopting it would change, and changes nothing.
    """
    settings = load_settings()
    if html is not None and not html.absolute().parent.is_dir():
        raise AssayError(f"--html {html}: the folder {html.absolute().parent} does not exist")
    environment = settings.github_token.get_secret_value() if settings.github_token else ""
    token = token_of(github_token, environment)
    name = None if token is None else name_of(source, github_repo, settings)
    wanted = parse_recipe(recipe) if recipe else None
    options = ScreenOptions(parse_as_of(as_of), jobs or default_jobs(), read_overlay(config), token, name, wanted)
    screening = screen_source(source, settings, options)
    if html is not None:
        from pipeline.reports.screen_page import render_screen_page

        write_whole(html, render_screen_page(screening, recipe_of(screening.label_recipe_id), version=__version__))
    print_result(screen_json(screening), as_json, lambda _: Text("\n".join(lines(screening))))


@dataclass(frozen=True)
class ScreenOptions:
    """How to screen a repository."""

    as_of: int | None
    jobs: int
    overlay: Overlay = NO_OVERLAY
    token: str | None = field(default=None, repr=False)  # for GitHub's API
    name: str | None = None  # owner/name on GitHub
    recipe: LabelRecipe | None = None  # None: the deciding one


def screen_source(source: str, settings: Settings, options: ScreenOptions) -> Screening:
    """Screen the repository at a path or URL, and record the prediction unless it is as of a past time.

    Uses this machine's deciding label recipe; if that needs issues and there is no token, the one of commit messages
    alone.
    """
    started = time.perf_counter()
    calibration_set = effective_calibration_set(settings)
    with progress_display() as progress:
        repository = open_source(source, settings, progress)
        tracked, note = None, WITHOUT_TOKEN
        if options.token is not None and options.name is not None:
            until = end_of_windows(repository, options.as_of)
            tracked, note = fetch_evidence(options.name, options.token, settings, until, progress)
            tracked = tracked and tracked.labelled(options.overlay.bug_labels)
        recipe = _recipe(options.recipe, recipe_of(calibration_set.deciding), has_issues=tracked is not None)
        measured = measure(
            repository,
            recipe,
            data_dir=settings.data_dir,
            as_of=options.as_of,
            jobs=options.jobs,
            progress=progress,
            overlay=options.overlay,
            tracked=tracked,
        )
    calibration = calibration_set.calibrate(recipe.id)
    cost = Cost(time.perf_counter() - started, peak_rss_mb())
    screening = judge_measured(measured, recipe, calibration, cost, note)
    if options.as_of is None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        try:
            record_prediction(calibration_folder(settings.data_dir), screening, calibration, now)
        except (AssayError, OSError) as error:  # still show the verdict, which may have taken long
            print(f"warning: the prediction could not be recorded: {error}", file=sys.stderr)
    return screening


def _recipe(chosen: LabelRecipe | None, deciding: LabelRecipe, *, has_issues: bool) -> LabelRecipe:
    """Return the recipe to measure under. Raises AssayError if the chosen one lacks its evidence."""
    if chosen is None:
        return deciding if has_issues else by_messages(deciding)
    if chosen.reads_tracker and not has_issues:
        raise AssayError(f"--recipe {chosen.name} reads issues and pull requests: it takes a --github-token")
    return chosen


def end_of_windows(repository: Repository, as_of: int | None) -> datetime:
    """Return the time of the head or of --as-of, whichever is earlier: no window ends later."""
    seconds = int(time.time()) if as_of is None else as_of
    with repository.reader() as reader, suppress(ObjectProblem, ValueError):  # mining reports such errors
        seconds = min(seconds, parse_commit(reader.commit(repository.head)).committed_at)
    return datetime.fromtimestamp(max(seconds, 0), UTC)


def effective_calibration_set(settings: Settings) -> CalibrationSet:
    """Load this machine's calibration set. Raises AssayError if this version lacks its deciding label recipe."""
    calibration_set = load_calibration_set(calibration_folder(settings.data_dir), load_seed())
    if calibration_set.deciding not in RECIPES:
        raise AssayError(
            f"this machine uses label recipe {calibration_set.deciding}, but this version measures "
            f"{', '.join(RECIPES)}: run `assay calibration adopt` (--dry-run shows what changes), or downgrade"
        )
    return calibration_set


def recipe_of(label_recipe_id: str) -> LabelRecipe:
    """Return the label recipe with this id."""
    return RECIPES[label_recipe_id]
