"""`assay rank`: list the riskiest functions or files, with reasons."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bot import __version__
from bot.cli.config_option import OwnConfig, read_overlay
from bot.cli.files import check_report, write_report
from bot.cli.local.evaluate import blobs_of
from bot.cli.local.screen import AsOf, Jobs, Source
from bot.cli.output import AsJson, Progress, print_result, progress_display
from bot.cli.repository_source import default_jobs, open_source, parse_as_of
from bot.cli.scorers import Choice, parse_scorer, scorer_of
from bot.peak_memory import peak_rss_mb
from bot.settings import Settings, load_settings
from pipeline.classify.overlay import NO_OVERLAY, Overlay
from pipeline.git.clone import looks_like_url, parse_url
from pipeline.git.repository import Repository
from pipeline.label_recipe import MESSAGES
from pipeline.mining.miner import Miner
from pipeline.ranking.baseline import Baseline
from pipeline.ranking.rank import Ranked, rank_files, rank_functions, subjects_at_head
from pipeline.ranking.scorer import Subject
from pipeline.ranking.structure_metrics import ReadBlob
from pipeline.records import AssayError
from pipeline.reports.escape import encodable, inert
from pipeline.reports.numbers import counted, iso
from pipeline.reports.ranking_sarif import MAX_RESULTS, Located, Ranking, end_column, ranking_sarif
from pipeline.screening.measure import facts_path


class Level(StrEnum):
    function = "function"
    file = "file"


def rank(
    source: Source,
    as_of: AsOf = None,
    level: Annotated[Level, typer.Option("--level", help="What to rank.")] = Level.function,
    scorer: Annotated[
        str,
        typer.Option(
            "--scorer", metavar="baseline|ADAPTER_DIR", help="The scorer: the baseline, or an adapter's folder."
        ),
    ] = Baseline.name,
    top: Annotated[int, typer.Option("--top", min=1, metavar="N", help="How many to list.")] = 20,
    config: OwnConfig = None,
    jobs: Jobs = None,
    sarif: Annotated[
        Path | None,
        typer.Option(
            "--sarif", metavar="FILE", help="Also write SARIF for GitHub's code scanning; - writes it to stdout."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the functions or files most likely to need a fix, riskiest first, with reasons.

    A ranking says where to look first; it does not find defects. `assay evaluate` measures how good it is.

    Examples:

    assay rank . --top 50

    assay rank . --level file --sarif ranking.sarif
    """
    started = time.perf_counter()
    settings = load_settings()
    check_report("--sarif", sarif, as_json)
    overlay = read_overlay(config)
    if sarif is not None and top > MAX_RESULTS:
        raise AssayError(f"--top {top}: GitHub takes at most {MAX_RESULTS:,} results in a SARIF file")
    options = RankOptions(parse_as_of(as_of), level.value, parse_scorer(scorer), top, jobs or default_jobs(), overlay)
    with progress_display() as progress:
        repository = open_source(source, settings, progress)
        top_places = rank_repository(repository, settings, options, progress)
    if sarif is not None and write_report(sarif, _sarif(top_places, source)):
        return
    cost = {"seconds": round(time.perf_counter() - started, 3), "peak_rss_mb": round(peak_rss_mb(), 1)}
    print_result(_json(top_places) | cost, as_json, render)


@dataclass(frozen=True, slots=True)
class RankOptions:
    """How to rank a repository."""

    as_of: int | None
    level: Literal["function", "file"]
    scorer: Choice
    top: int
    jobs: int
    overlay: Overlay = NO_OVERLAY


@dataclass(frozen=True, slots=True)
class TopPlaces:
    """The first places of a ranking, with its description."""

    repo: str
    ranking: Ranking
    without_score: int
    config_hash: str
    places: tuple[Located, ...]
    notes: tuple[str, ...] = ()  # why there is nothing or too little to rank by


def rank_repository(repository: Repository, settings: Settings, options: RankOptions, progress: Progress) -> TopPlaces:
    """Mine, measure and rank. Mined facts are cached in the data directory."""
    store = facts_path(settings.data_dir, repository)
    miner = Miner(repository, MESSAGES, store, options.jobs, progress, options.overlay)
    with miner, repository.reader() as reader:
        read = blobs_of(reader)
        subjects = subjects_at_head(miner, read, as_of=options.as_of)
        scorer = scorer_of(options.scorer, read)
        ranked = (rank_functions if options.level == "function" else rank_files)(subjects, scorer)
        scored = [place for place in ranked if math.isfinite(place.score)]
        ranking = Ranking(
            level=options.level,
            ranked=len(ranked),
            scorer=scorer.name,
            head_sha=miner.history.graph.ids[miner.history.head].hex(),
            as_of=miner.history.effective_at[-1],
            label_recipe_id=MESSAGES.id,
        )
        places = tuple(locate(scored[: options.top], subjects, read))
        notes = why_incomplete(miner, len(ranked))
    return TopPlaces(repository.name, ranking, len(ranked) - len(scored), options.overlay.config_hash, places, notes)


def why_incomplete(miner: Miner, ranked: int) -> tuple[str, ...]:
    """Return why functions or their history could not be read; empty if all could."""
    obstacle, files = miner.obstacle(), miner.source_files().read
    if obstacle is not None or ranked:
        return (obstacle.sentence,) if obstacle else ()
    return (f"No function of at least {MESSAGES.shortest_function_lines} lines is in {counted(files, 'source file')}.",)


def locate(places: Sequence[Ranked], subjects: Sequence[Subject], read: ReadBlob) -> Iterator[Located]:
    """Yield each place with its ordinal and the end column of its last line."""
    known = {(s.path, s.qualified_name, s.start_line, s.end_line): s for s in subjects}
    for place in places:
        subject = known[place.path, place.qualified_name, place.start_line, place.end_line]
        yield Located(place, subject.ordinal, end_column(read(subject.blob), place.end_line))


def _sarif(top_places: TopPlaces, source: str) -> str:
    """Render SARIF with a final newline; the repository's URI is known only if `source` is a URL."""
    ranking = replace(top_places.ranking, repository_uri=parse_url(source).text if looks_like_url(source) else "")
    return json.dumps(ranking_sarif(top_places.places, ranking, version=__version__), allow_nan=False, indent=1) + "\n"


def _json(top_places: TopPlaces) -> dict[str, Any]:
    """Return the values of `--json` except the costs; docs/reference/json.md describes them."""
    return {
        "repo": encodable(top_places.repo),
        "head_sha": top_places.ranking.head_sha,
        "as_of": iso(top_places.ranking.as_of),
        "level": top_places.ranking.level,
        "scorer": top_places.ranking.scorer,
        "ranked": top_places.ranking.ranked,
        "without_score": top_places.without_score,
        "config_hash": top_places.config_hash,
        "notes": [encodable(note) for note in top_places.notes],
        "items": [_item(located.ranked) for located in top_places.places],
    }


def _item(ranked: Ranked) -> dict[str, Any]:
    return {
        "path": encodable(ranked.path),
        "qualified_name": encodable(ranked.qualified_name),
        "start_line": ranked.start_line,
        "end_line": ranked.end_line,
        "score": ranked.score,
        "reasons": list(ranked.reasons),
    }


def render(result: dict[str, Any]) -> RenderableType:
    """Render the places in order, with their reasons, or say in one line why there are none."""
    note = inert(" ".join(result["notes"]), 600)
    if not result["ranked"]:
        return Text(f"{inert(result['repo'])} at {result['head_sha'][:10]}: nothing to rank. {note}")
    head = f"{inert(result['repo'])} at {result['head_sha'][:10]}: {len(result['items'])} of {result['ranked']:,} "
    head += f"{result['level']}s, riskiest first"
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", justify="right")
    for name in ("where", "function", "why"):
        table.add_column(name, overflow="fold")
    for number, item in enumerate(result["items"], 1):
        where = f"{item['path']}:{item['start_line']}"
        cells = (str(number), where, item["qualified_name"], ", ".join(item["reasons"]))
        table.add_row(*(Text(inert(cell)) for cell in cells))
    parts: list[RenderableType] = [Text(head), table]
    if result["without_score"]:
        parts.append(Text(f"Not listed: {result['without_score']:,} without a score by {inert(result['scorer'])}"))
    if note:
        parts.append(Text(note))
    return Group(*parts)
