"""Structural metrics of functions (docs/reference/metrics.md); each file is read and parsed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pipeline.label_recipe import MINER_VERSION
from pipeline.records import FunctionHistory, PairMetrics
from pipeline.syntax.languages import LANGUAGES
from pipeline.syntax.metrics import measure_structure
from pipeline.syntax.parser import Function, ParsedFile, parse_file
from pipeline.syntax.tokens import code_tokens

ReadBlob = Callable[[str], bytes]  # 40 hexadecimal digits -> content

_BY_NAME = {language.name: language for language in LANGUAGES}


def parsed_files(
    functions: Sequence[FunctionHistory], read: ReadBlob, version: int = MINER_VERSION
) -> Iterator[tuple[ParsedFile, list[int]]]:
    """Yield each distinct file once, parsed, with the indices of the `functions` in it."""
    files: dict[tuple[str, str], list[int]] = {}
    for index, function in enumerate(functions):
        files.setdefault((function.blob, function.language), []).append(index)
    for (blob, language), indices in files.items():
        yield parse_file(_BY_NAME[language], read(blob), version=version), indices


class Examined(NamedTuple):
    """The metrics and code tokens of a function."""

    metrics: PairMetrics
    tokens: tuple[bytes, ...]


def measure_functions(
    functions: Sequence[FunctionHistory], read: ReadBlob, version: int = MINER_VERSION
) -> list[PairMetrics]:
    """Return the metrics of each function, in order; exceptions from `read` propagate.

    Raises ValueError for a function that is not in its blob: mining uses the same parser, so that would be a bug.
    """
    metrics: list[PairMetrics | None] = [None] * len(functions)
    for parsed, indices in parsed_files(functions, read, version):
        for index, measured in _metrics_in(parsed, functions, indices):
            metrics[index] = measured
    return [_require(function, m) for function, m in zip(functions, metrics, strict=True)]


def examine_functions(
    functions: Sequence[FunctionHistory], read: ReadBlob, version: int = MINER_VERSION
) -> list[Examined]:
    """Do the same, returning code tokens too; equal tokens are the same object to save memory."""
    examined: list[Examined | None] = [None] * len(functions)
    interned: dict[bytes, bytes] = {}
    for parsed, indices in parsed_files(functions, read, version):
        tokens: dict[tuple[int, int], tuple[bytes, ...]] = {}
        for index, metrics in _metrics_in(parsed, functions, indices):
            lines = (functions[index].start_line, functions[index].end_line)
            if lines not in tokens:
                tokens[lines] = tuple(interned.setdefault(token, token) for token in code_tokens(parsed, *lines))
            examined[index] = Examined(_require(functions[index], metrics), tokens[lines])
    return [e for e in examined if e is not None]


def _metrics_in(
    parsed: ParsedFile, functions: Sequence[FunctionHistory], indices: Sequence[int]
) -> Iterator[tuple[int, PairMetrics | None]]:
    """Yield the metrics of the functions at `indices`, which are in the parsed file."""
    metrics = dict(zip(parsed.functions, measure_structure(parsed), strict=True))
    for index in indices:
        function = functions[index]
        lines = (function.start_line, function.end_line)
        yield index, metrics.get(Function(function.qualified_name, function.ordinal, *lines))


def _require(function: FunctionHistory, metrics: PairMetrics | None) -> PairMetrics:
    if metrics is None:
        raise ValueError(f"{function.path}::{function.qualified_name} is not in blob {function.blob}")
    return metrics
