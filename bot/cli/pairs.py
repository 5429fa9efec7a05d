"""`assay pairs`: the training pairs and the holdout of a repository as a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.cli.output import print_result, progress_display
from bot.cli.screen import AsOf, Jobs, Source
from bot.cli.source import default_jobs, open_source, parse_as_of
from bot.settings import load_settings
from pipeline.mining.objects import ObjectReader
from pipeline.mining.packs import ObjectProblem
from pipeline.ranking.metrics import measure_functions
from pipeline.recipe import MESSAGES, LabelRecipe
from pipeline.records import AssayError, FunctionHistory, Mined, PairMetrics, PairRow
from pipeline.reports.pairs_parquet import PairsOrigin, write_pairs
from pipeline.screening.density import signals_of
from pipeline.screening.measure import measure
from pipeline.screening.screening import NO_CONFIG_HASH


def pairs(
    source: Source,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.parquet", help="Where to write; replaced when whole.")],
    as_of: AsOf = None,
    jobs: Jobs = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Write the training pairs and the holdout functions of a repository; docs/pairs_schema.md has the columns."""
    settings = load_settings()
    with progress_display() as progress:
        repository = open_source(source, settings, progress)
        mined = measure(
            repository,
            MESSAGES,
            data_dir=settings.data_dir,
            as_of=parse_as_of(as_of),
            jobs=jobs or default_jobs(),
            progress=progress,
        ).mined
        with repository.reader() as reader:
            write_pairs(rows(mined, MESSAGES, reader), out, PairsOrigin.of(mined, MESSAGES.id, NO_CONFIG_HASH))
    result = {
        "repo": mined.repo,
        "head_sha": mined.head_sha,
        "pairs": len(mined.train),
        "holdout": len(mined.holdout),
        "label_recipe_id": MESSAGES.id,
        "file": str(out),
    }
    print_result(result, as_json, _sentence)


def rows(mined: Mined, recipe: LabelRecipe, reader: ObjectReader) -> Iterator[PairRow]:
    """The rows of both snapshots, training first, each with its code and its structure."""
    train, holdout = (_measured(functions, reader) for functions in (mined.train, mined.holdout))
    for function, metrics, signal in zip(mined.train, train, signals_of(mined.train, recipe).tolist(), strict=True):
        yield _row("train", function, metrics, signal, reader)
    for function, metrics in zip(mined.holdout, holdout, strict=True):
        yield _row("holdout", function, metrics, None, reader)


def _row(
    snapshot: Any, function: FunctionHistory, metrics: PairMetrics, signal: float | None, reader: ObjectReader
) -> PairRow:
    return PairRow(
        snapshot=snapshot,
        path=function.path,
        qualified_name=function.qualified_name,
        ordinal=function.ordinal,
        language=function.language,
        start_line=function.start_line,
        end_line=function.end_line,
        code=_code(function, reader),
        credit=function.credit,
        signal=signal,
        touches=function.touches,
        fixes=function.fixes,
        metrics=metrics,
    )


def _measured(functions: Sequence[FunctionHistory], reader: ObjectReader) -> list[PairMetrics]:
    return measure_functions(functions, lambda blob: _read(blob, reader))


def _code(function: FunctionHistory, reader: ObjectReader) -> str:
    lines: Sequence[bytes] = _read(function.blob, reader).split(b"\n")[function.start_line - 1 : function.end_line]
    return b"\n".join(lines).decode("utf-8", "replace")


def _read(blob: str, reader: ObjectReader) -> bytes:
    try:
        return reader.blob(bytes.fromhex(blob), MESSAGES.most_file_bytes)
    except ObjectProblem:
        raise AssayError(f"{blob} has become unreadable while pairs were written; try again") from None


def _sentence(result: dict[str, Any]) -> str:
    return f"{result['pairs']:,} training pairs and {result['holdout']:,} holdout functions written to {result['file']}"
