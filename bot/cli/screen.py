"""`assay screen`: from a clone to RUN or SKIP."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from bot import __version__
from bot.cli.output import print_result, progress_display
from bot.cli.own_config import OwnConfig, read_overlay
from bot.cli.source import default_jobs, open_source, parse_as_of
from bot.cli.whole_file import write_whole
from bot.peak_memory import peak_rss_mb
from bot.settings import Settings, load_settings
from pipeline.mining.overlay import NO_OVERLAY, Overlay
from pipeline.recipe import MESSAGES
from pipeline.records import AssayError, Screening
from pipeline.reports.screen_json import screen_json
from pipeline.reports.screen_text import lines
from pipeline.screening.calibration import Calibration
from pipeline.screening.ledger import calibration_folder, load_calibration_set, record_prediction
from pipeline.screening.measure import measure
from pipeline.screening.screening import Cost, judge_measured
from pipeline.screening.seed import load_seed

Jobs = Annotated[int | None, typer.Option("--jobs", "-j", min=1, max=64, help="Processes; by default one a core.")]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="ISO", help="See nothing that landed after this date or time, as if it were then."),
]
Source = Annotated[str, typer.Argument(metavar="PATH|URL", help="A repository on this machine, or an https:// URL.")]


def screen(
    source: Source,
    as_of: AsOf = None,
    config: OwnConfig = None,
    jobs: Jobs = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Also write a report to look at.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Tell whether fine-tuning on this repository's bug-fix history is worth trying: RUN or SKIP.

    A repository on this machine is only ever read. A URL is cloned into the data directory, default branch only, and
    fetched incrementally the next time.
    """
    settings = load_settings()
    if html is not None and not html.absolute().parent.is_dir():
        raise AssayError(f"--html {html}: there is no folder {html.absolute().parent}")
    overlay = read_overlay(config)
    screening = screen_source(source, settings, parse_as_of(as_of), jobs or default_jobs(), overlay)
    if html is not None:
        from pipeline.reports.screen_page import render_screen_page

        write_whole(html, render_screen_page(screening, MESSAGES, version=__version__))
    print_result(screen_json(screening), as_json, lambda _: Text("\n".join(lines(screening))))


def screen_source(
    source: str, settings: Settings, as_of: int | None, jobs: int, overlay: Overlay = NO_OVERLAY
) -> Screening:
    """Screen what PATH or URL names and write the prediction down, unless it looks at the past."""
    started = time.perf_counter()
    calibration = calibration_in_force(settings)
    with progress_display() as progress:
        repository = open_source(source, settings, progress)
        measured = measure(
            repository,
            MESSAGES,
            data_dir=settings.data_dir,
            as_of=as_of,
            jobs=jobs,
            progress=progress,
            overlay=overlay,
        )
    screening = judge_measured(measured, MESSAGES, calibration, Cost(time.perf_counter() - started, peak_rss_mb()))
    if as_of is None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        try:
            record_prediction(calibration_folder(settings.data_dir), screening, calibration, now)
        except (AssayError, OSError) as error:  # the verdict stands, and may have taken long
            print(f"warning: the prediction could not be written down: {error}", file=sys.stderr)
    return screening


def calibration_in_force(settings: Settings) -> Calibration:
    """The calibration that decides. Raises AssayError where another label recipe than this version's is pinned."""
    calibration_set = load_calibration_set(calibration_folder(settings.data_dir), load_seed())
    if calibration_set.deciding != MESSAGES.id:
        raise AssayError(
            f"label recipe {calibration_set.deciding} decides here, and this version measures {MESSAGES.id}: "
            "look at `assay calibration adopt --dry-run`, then adopt it, or go back to the version before"
        )
    return calibration_set.calibrate()
