"""`assay rank`: where to look first, with reasons."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bot.cli.evaluate import blobs_of
from bot.cli.output import print_result, progress_display
from bot.cli.screen import AsOf, Jobs, Source
from bot.cli.source import default_jobs, open_source, parse_as_of
from bot.peak_memory import peak_rss_mb
from bot.settings import load_settings
from pipeline.mining.mine import Miner
from pipeline.ranking.rank import Ranked, rank_files, rank_functions, subjects_at_head
from pipeline.recipe import MESSAGES
from pipeline.reports.inert import encodable, inert
from pipeline.reports.numerals import iso
from pipeline.screening.measure import facts_path


class Level(StrEnum):
    function = "function"
    file = "file"


class Scorer(StrEnum):
    baseline = "baseline"


def rank(
    source: Source,
    as_of: AsOf = None,
    level: Annotated[Level, typer.Option("--level", help="What to rank.")] = Level.function,
    scorer: Annotated[Scorer, typer.Option("--scorer", help="What ranks.")] = Scorer.baseline,
    top: Annotated[int, typer.Option("--top", min=1, metavar="N", help="How many to show.")] = 20,
    jobs: Jobs = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """List the functions or files that are likeliest to need a fix, riskiest first, with reasons."""
    started = time.perf_counter()
    settings = load_settings()
    with progress_display() as progress:
        repository = open_source(source, settings, progress)
        store = facts_path(settings.data_dir, repository)
        with (
            Miner(repository, MESSAGES, store, jobs or default_jobs(), progress) as miner,
            repository.reader() as reader,
        ):
            subjects = subjects_at_head(miner, blobs_of(reader), as_of=parse_as_of(as_of))
            head_sha, at = miner.history.graph.ids[miner.history.head].hex(), miner.history.effective_at[-1]
    ranked = (rank_functions if level is Level.function else rank_files)(subjects)
    result = {
        "repo": encodable(repository.name),
        "head_sha": head_sha,
        "as_of": iso(at),
        "level": level.value,
        "scorer": scorer.value,
        "ranked": len(ranked),
        "items": [_item(place) for place in ranked[:top]],
        "seconds": round(time.perf_counter() - started, 3),
        "peak_rss_mb": round(peak_rss_mb(), 1),
    }
    print_result(result, as_json, render)


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
    """The places in order, with their reasons."""
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
    return Group(Text(head), table)
