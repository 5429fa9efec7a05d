"""`assay pairs`: write a repository's training pairs and holdout functions to a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bot.cli.config_option import OwnConfig, read_overlay
from bot.cli.local.evaluate import blobs_of
from bot.cli.local.screen import AsOf, Jobs, Source
from bot.cli.output import AsJson, print_result, progress_display
from bot.cli.repository_source import default_jobs, open_source, parse_as_of
from bot.settings import load_settings
from pipeline.finetuning.prompts import code_of
from pipeline.label_recipe import MESSAGES
from pipeline.mining.miner import Miner
from pipeline.ranking.dataset import Dataset, build_dataset
from pipeline.ranking.holdout import Place
from pipeline.ranking.structure_metrics import ReadBlob
from pipeline.records import FunctionHistory, PairMetrics, PairRow
from pipeline.reports.pairs_parquet import PairsOrigin, write_pairs
from pipeline.screening.measure import facts_path

_CACHED_BLOBS = 4


def pairs(
    source: Source,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.parquet", help="The file to write, atomically.")],
    as_of: AsOf = None,
    config: OwnConfig = None,
    jobs: Jobs = None,
    as_json: AsJson = False,
) -> None:
    """Write a repository's training pairs and holdout functions. docs/reference/pairs.md describes the columns."""
    settings = load_settings()
    overlay = read_overlay(config)
    with progress_display() as progress:
        repository = open_source(source, settings, progress)
        store = facts_path(settings.data_dir, repository)
        with repository.reader() as reader:
            read = blobs_of(reader)
            with Miner(repository, MESSAGES, store, jobs or default_jobs(), progress, overlay) as miner:
                dataset = build_dataset(miner, MESSAGES, read, as_of=parse_as_of(as_of))
            mined = dataset.mined
            write_pairs(rows(dataset, read), out, PairsOrigin.of(mined, MESSAGES.id, overlay.config_hash))
    result = {
        "repo": mined.repo,
        "head_sha": mined.head_sha,
        "pairs": len(mined.train),
        "holdout": len(mined.holdout),
        "learned_from": len(dataset.learned_from),
        "held_out": len(dataset.held_out),
        "too_little_history": mined.windows.too_little_history,
        "label_recipe_id": MESSAGES.id,
        "config_hash": overlay.config_hash,
        "file": str(out),
    }
    print_result(result, as_json, _sentence)


def rows(dataset: Dataset, read: ReadBlob) -> Iterator[PairRow]:
    """Yield the rows of both snapshots, training first, with code, structure metrics and place in the split."""
    content = lru_cache(_CACHED_BLOBS)(read)
    mined = dataset.mined
    trained = zip(mined.train, dataset.train, dataset.train_signals.tolist(), dataset.train_places, strict=True)
    for lineage, (function, subject, signal, place) in enumerate(trained):
        yield _row("train", function, subject.metrics, signal, lineage, place, content)
    evaluated = zip(mined.holdout, dataset.evaluated, dataset.lineages, dataset.evaluated_places, strict=True)
    for function, subject, known, place in evaluated:
        yield _row("holdout", function, subject.metrics, None, known, place, content)


def _row(
    snapshot: Literal["train", "holdout"],
    function: FunctionHistory,
    metrics: PairMetrics,
    signal: float | None,
    lineage: int | None,
    place: Place,
    content: ReadBlob,
) -> PairRow:
    return PairRow(
        snapshot=snapshot,
        path=function.path,
        qualified_name=function.qualified_name,
        ordinal=function.ordinal,
        language=function.language,
        start_line=function.start_line,
        end_line=function.end_line,
        code=code_of(content(function.blob), function.start_line, function.end_line),
        credit=function.credit,
        signal=signal,
        touches=function.touches,
        fixes=function.fixes,
        metrics=metrics,
        lineage=lineage,
        split=place.side,
        group=place.group,
    )


def _sentence(result: dict[str, Any]) -> str:
    counted = f"{result['pairs']:,} training pairs ({result['learned_from']:,} of them used for training) and "
    counted += f"{result['holdout']:,} holdout functions ({result['held_out']:,} of them held out)"
    note = "; too little history for a fine-tuning run" if result["too_little_history"] else ""
    return f"Wrote {counted} to {result['file']}{note}"
