"""`assay evaluate`: how good each ranking of a repository's functions and files is, on what happened since."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from bot.cli.output import Progress, print_result, progress_display
from bot.cli.screen import AsOf, Jobs, Source
from bot.cli.source import default_jobs, open_source, parse_as_of
from bot.peak_memory import peak_rss_mb
from bot.settings import Settings, load_settings
from pipeline.mining.mine import Miner
from pipeline.mining.objects import ObjectReader
from pipeline.mining.packs import ObjectProblem
from pipeline.mining.repository import Repository
from pipeline.ranking.evaluate import Evaluation, Row, Table, evaluate
from pipeline.ranking.material import Material, gather
from pipeline.ranking.metrics import ReadBlob
from pipeline.recipe import MESSAGES
from pipeline.records import AssayError
from pipeline.reports.inert import encodable, inert
from pipeline.reports.numerals import iso
from pipeline.screening.measure import facts_path

_NONE = "–"


def evaluate_source(
    source: Source,
    as_of: AsOf = None,
    jobs: Jobs = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Rank the functions of a year ago as they were then, and compare with what has been fixed since."""
    started = time.perf_counter()
    settings = load_settings()
    with progress_display() as progress:
        repository = open_source(source, settings, progress)
        material = material_of(repository, settings, parse_as_of(as_of), jobs or default_jobs(), progress)
        progress("comparing scorers", 0, None)
        evaluation = evaluate(material, MESSAGES)
    result = evaluation_json(evaluation)
    result |= {"seconds": round(time.perf_counter() - started, 3), "peak_rss_mb": round(peak_rss_mb(), 1)}
    print_result(result, as_json, render)


def material_of(
    repository: Repository, settings: Settings, as_of: int | None, jobs: int, progress: Progress
) -> Material:
    """What scorers learn from and are judged by; what mining finds out is remembered in the data directory."""
    store = facts_path(settings.data_dir, repository)
    with Miner(repository, MESSAGES, store, jobs, progress) as miner, repository.reader() as reader:
        return gather(miner, MESSAGES, blobs_of(reader), as_of=as_of)


def blobs_of(reader: ObjectReader) -> ReadBlob:
    """Contents by hexadecimal id. Raises AssayError for an object that mining could read and that is gone now."""

    def read(blob: str) -> bytes:
        try:
            return reader.blob(bytes.fromhex(blob), MESSAGES.most_file_bytes)
        except ObjectProblem:
            raise AssayError(f"{blob} has become unreadable while functions were measured; try again") from None

    return read


def evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    """What `--json` prints; docs/json.md has the fields."""
    mined = evaluation.mined
    windows = mined.windows
    return {
        "repo": encodable(mined.repo),
        "head_sha": mined.head_sha,
        "as_of": iso(windows.as_of),
        "train_start": iso(windows.train_start),
        "eval_start": iso(windows.eval_start),
        "window_days": windows.window_days,
        "horizon_days": windows.horizon_days,
        "conclusive": evaluation.conclusive,
        "reasons": list(evaluation.reasons),
        "learned_from": evaluation.learned_from,
        "functions": _table_json(evaluation.functions),
        "files": _table_json(evaluation.files),
        "notes": [encodable(note) for note in mined.notes],
        "label_recipe_id": MESSAGES.id,
    }


def _table_json(table: Table) -> dict[str, Any]:
    return {
        "n": table.n,
        "positives": table.positives,
        "prevalence": table.prevalence,
        "rho_max": table.rho_max,
        "scorers": [_row_json(row) for row in table.rows],
    }


def _row_json(row: Row) -> dict[str, Any]:
    quality, against = row.quality, row.against_baseline
    return {
        "name": row.name,
        "rho": quality.rho,
        "rho_low": quality.rho_low,
        "rho_high": quality.rho_high,
        "rho_share": quality.rho_share,
        "auc": quality.auc,
        "auc_low": quality.auc_low,
        "auc_high": quality.auc_high,
        "precision_at_10": quality.precision_at_10,
        "precision_at_20": quality.precision_at_20,
        "recall_at_20_percent": quality.recall_at_20_percent,
        "reason": quality.reason,
        "against_baseline": None
        if against is None
        else {
            "delta": against.delta,
            "low": against.low,
            "high": against.high,
            "smallest_detectable": against.smallest_detectable,
            "win_share": against.win_share,
            "reason": against.reason,
        },
    }


def render(result: dict[str, Any]) -> RenderableType:
    """Both tables, and what they are worth."""
    head = f"{inert(result['repo'])} at {result['head_sha'][:10]}: ranked as of {result['eval_start'][:10]}, "
    head += f"judged by the fixes of the {result['horizon_days']:.0f} days up to {result['as_of'][:10]}"
    parts: list[RenderableType] = [Text(head)]
    if not result["conclusive"]:
        parts.append(Text("INCONCLUSIVE"))
        parts += [Text(f"  {reason}") for reason in result["reasons"]]
    for level, what in (("functions", "held-out functions"), ("files", "files")):
        parts += [Text(""), Text(_counted(result[level], what)), _rendered(result[level]["scorers"])]
    parts += [Text(inert(note)) for note in result["notes"]]
    return Group(*parts)


def _counted(table: dict[str, Any], what: str) -> str:
    ceiling = "" if table["rho_max"] is None else f"; ρ at most {table['rho_max']:.3f} without ties"
    return f"{table['n']:,} {what}, {table['positives']:,} of them fixed ({table['prevalence']:.1%}){ceiling}"


def _rendered(rows: list[dict[str, Any]]) -> RichTable:
    table = RichTable(box=None, pad_edge=False, header_style="bold")
    table.add_column("scorer", no_wrap=True)
    for name in ("ρ", "95 %", "Δρ", "95 %", "AUC", "p@10", "p@20", "r@20 %"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for row in rows:
        against = row["against_baseline"] or {"delta": None, "low": None, "high": None}
        cells = (
            row["name"],
            _number(row["rho"]),
            _interval(row["rho_low"], row["rho_high"]),
            _number(against["delta"], signed=True),
            _interval(against["low"], against["high"], signed=True),
            _number(row["auc"]),
            _share(row["precision_at_10"]),
            _share(row["precision_at_20"]),
            _share(row["recall_at_20_percent"]),
            row["reason"],
        )
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _number(value: float | None, signed: bool = False) -> str:
    return _NONE if value is None else f"{value:+.3f}" if signed else f"{value:.3f}"


def _interval(low: float | None, high: float | None, signed: bool = False) -> str:
    return _NONE if low is None or high is None else f"{_number(low, signed)} to {_number(high, signed)}"


def _share(value: float | None) -> str:
    return _NONE if value is None else f"{value:.0%}"
