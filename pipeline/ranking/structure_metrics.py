"""Functions of a snapshot -> their structure metrics (docs/reference/metrics.md). Each file is read and parsed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pipeline.records import FunctionHistory, PairMetrics
from pipeline.syntax.languages import LANGUAGES
from pipeline.syntax.metrics import measure_structure
from pipeline.syntax.parser import Function, ParsedFile, parse_file
from pipeline.syntax.tokens import code_tokens

ReadBlob = Callable[[str], bytes]  # 40 hexadecimal digits -> content

_BY_NAME = {language.name: language for language in LANGUAGES}


def parsed_files(functions: Sequence[FunctionHistory], read: ReadBlob) -> Iterator[tuple[ParsedFile, list[int]]]:
    """Each file once, and which of `functions` (their indices) stand in it; copies of a file are one file."""
    files: dict[tuple[str, str], list[int]] = {}
    for index, function in enumerate(functions):
        files.setdefault((function.blob, function.language), []).append(index)
    for (blob, language), indices in files.items():
        yield parse_file(_BY_NAME[language], read(blob)), indices


class Examined(NamedTuple):
    metrics: PairMetrics
    tokens: tuple[bytes, ...]  # of its code


def measure_functions(functions: Sequence[FunctionHistory], read: ReadBlob) -> list[PairMetrics]:
    """The metrics of each function, in the order of `functions`; whatever `read` raises passes through.

    Raises ValueError for a function that is not in its blob: mining and measuring parse alike, so that is our mistake.
    """
    metrics: list[PairMetrics | None] = [None] * len(functions)
    for parsed, indices in parsed_files(functions, read):
        for index, found in _found(functions, parsed, indices):
            metrics[index] = found
    return [_measured(function, m) for function, m in zip(functions, metrics, strict=True)]


def examine_functions(functions: Sequence[FunctionHistory], read: ReadBlob) -> list[Examined]:
    """As `measure_functions`, with the code tokens of each function; equal tokens are one object."""
    examined: list[Examined | None] = [None] * len(functions)
    keep: dict[bytes, bytes] = {}
    for parsed, indices in parsed_files(functions, read):
        tokens: dict[tuple[int, int], tuple[bytes, ...]] = {}
        for index, metrics in _found(functions, parsed, indices):
            lines = (functions[index].start_line, functions[index].end_line)
            if lines not in tokens:
                tokens[lines] = tuple(keep.setdefault(token, token) for token in code_tokens(parsed, *lines))
            examined[index] = Examined(_measured(functions[index], metrics), tokens[lines])
    return [e for e in examined if e is not None]


def _found(
    functions: Sequence[FunctionHistory], parsed: ParsedFile, indices: Sequence[int]
) -> Iterator[tuple[int, PairMetrics | None]]:
    """The metrics of each of `functions` that stand in a file."""
    found = dict(zip(parsed.functions, measure_structure(parsed), strict=True))
    for index in indices:
        wanted = functions[index]
        lines = (wanted.start_line, wanted.end_line)
        yield index, found.get(Function(wanted.qualified_name, wanted.ordinal, *lines))


def _measured(function: FunctionHistory, metrics: PairMetrics | None) -> PairMetrics:
    if metrics is None:
        raise ValueError(f"{function.path}::{function.qualified_name} is not in blob {function.blob}")
    return metrics
