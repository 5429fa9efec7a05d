"""`assay evaluate`: compare rankings of a past snapshot with the fixes that followed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from bot import __version__
from bot.cli.config_option import OwnConfig, read_overlay
from bot.cli.files import check_report, write_report
from bot.cli.local.screen import AsOf, Jobs, Source
from bot.cli.output import AsJson, Progress, print_result, progress_display
from bot.cli.rankings_table import rankings_table
from bot.cli.repository_source import default_jobs, open_source, parse_as_of
from bot.cli.scorers import embeddings_of, parse_adapters, parse_base_model, scorer_of
from bot.peak_memory import peak_rss_mb
from bot.settings import Settings, load_settings
from pipeline.classify.overlay import NO_OVERLAY, Overlay
from pipeline.git.objects import ObjectReader
from pipeline.git.packs import ObjectProblem
from pipeline.git.repository import Repository
from pipeline.label_recipe import MESSAGES
from pipeline.mining.miner import Miner
from pipeline.ranking.competitors import competitors
from pipeline.ranking.dataset import Dataset, build_dataset
from pipeline.ranking.evaluate import Evaluation, evaluate
from pipeline.ranking.structure_metrics import ReadBlob
from pipeline.records import AssayError
from pipeline.reports.escape import inert
from pipeline.reports.evaluation_json import evaluation_json
from pipeline.screening.measure import facts_path


def evaluate_source(
    source: Source,
    as_of: AsOf = None,
    scorer: Annotated[
        list[str] | None,
        typer.Option(
            "--scorer",
            metavar="ADAPTER_DIR",
            help="Also evaluate the adapter in this folder; may be repeated. The baseline and the simple scorers are "
            "always evaluated.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--base-model",
            metavar="NAME|DIR",
            help="Also evaluate this untrained model: its embeddings with a ridge regression.",
        ),
    ] = None,
    config: OwnConfig = None,
    jobs: Jobs = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Also write an HTML page with plots; - writes it to stdout."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Rank the functions of a year ago and compare the ranking with what has been fixed since.

    Every scorer is evaluated on the same held-out functions, and on all files.

    Examples:

    assay evaluate . --html evaluation.html

    assay evaluate https://github.com/owner/name --as-of 2025-01-31 --json
    """
    started = time.perf_counter()
    settings = load_settings()
    check_report("--html", html, as_json)
    adapters, untrained = parse_adapters(scorer or []), parse_base_model(model)
    overlay = read_overlay(config)
    with progress_display() as progress:
        repository = open_source(source, settings, progress)
        dataset = material_of(repository, settings, parse_as_of(as_of), jobs or default_jobs(), progress, overlay)
        progress("comparing scorers", 0, None)
        with repository.reader() as reader:  # adapters read code
            rivals = [*competitors(), *(scorer_of(folder, blobs_of(reader)) for folder in adapters)]
            if untrained is not None:
                rivals.append(embeddings_of(untrained, blobs_of(reader)))
            evaluation = evaluate(dataset, MESSAGES, rivals)
    seconds, memory_mb = time.perf_counter() - started, peak_rss_mb()
    if html is not None and write_report(html, _page(evaluation, seconds, memory_mb)):
        return
    result = evaluation_json(evaluation, MESSAGES.id)
    result |= {"config_hash": overlay.config_hash}
    result |= {"seconds": round(seconds, 3), "peak_rss_mb": round(memory_mb, 1)}
    print_result(result, as_json, render)


def material_of(
    repository: Repository,
    settings: Settings,
    as_of: int | None,
    jobs: int,
    progress: Progress,
    overlay: Overlay = NO_OVERLAY,
) -> Dataset:
    """Build the dataset that scorers are fitted to and evaluated on. Mined facts are cached in the data directory."""
    store = facts_path(settings.data_dir, repository)
    with Miner(repository, MESSAGES, store, jobs, progress, overlay) as miner, repository.reader() as reader:
        return build_dataset(miner, MESSAGES, blobs_of(reader), as_of=as_of)


def blobs_of(reader: ObjectReader) -> ReadBlob:
    """Return a function that reads blobs by hexadecimal id. It raises AssayError if a blob has become unreadable."""

    def read(blob: str) -> bytes:
        try:
            return reader.blob(bytes.fromhex(blob), MESSAGES.most_file_bytes)
        except ObjectProblem:
            raise AssayError(f"{blob} has become unreadable while functions were measured; try again") from None

    return read


def _page(evaluation: Evaluation, seconds: float, memory_mb: float) -> str:
    from pipeline.reports.evaluation_page import render_evaluation_page  # imports Jinja2

    return render_evaluation_page(evaluation, MESSAGES, seconds=seconds, peak_rss_mb=memory_mb, version=__version__)


def render(result: dict[str, Any]) -> RenderableType:
    """Render the tables of functions and files, with notes, or say in one line why there is nothing in them."""
    if not result["functions"]["n"]:
        why = inert("; ".join(result["reasons"]), 600)
        return Text(f"{inert(result['repo'])} at {result['head_sha'][:10]}: nothing to evaluate. {why}")
    head = f"{inert(result['repo'])} at {result['head_sha'][:10]}: ranked as of {result['eval_start'][:10]}, "
    head += f"evaluated on the fixes of the {result['horizon_days']:.0f} days up to {result['as_of'][:10]}"
    parts: list[RenderableType] = [Text(head)]
    if not result["conclusive"]:
        parts.append(Text("INCONCLUSIVE"))
        parts += [Text(f"  {reason}") for reason in result["reasons"]]
    for level, what in (("functions", "held-out functions"), ("files", "files")):
        parts += [Text(""), Text(_counted(result[level], what)), rankings_table(result[level]["scorers"])]
    parts += [Text(inert(note)) for note in result["notes"]]
    return Group(*parts)


def _counted(table: dict[str, Any], what: str) -> str:
    ceiling = "" if table["rho_max"] is None else f"; ρ at most {table['rho_max']:.3f} without ties"
    return f"{table['n']:,} {what}, {table['positives']:,} of them fixed ({table['prevalence']:.1%}){ceiling}"
