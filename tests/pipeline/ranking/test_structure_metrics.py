from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES
from pipeline.ranking.structure_metrics import measure_functions, parsed_files
from pipeline.records import FunctionHistory
from pipeline.screening.measure import measure
from pipeline.syntax.languages import language_of
from pipeline.syntax.metrics import measure_structure
from pipeline.syntax.parser import parse_file
from tests.builders.code import module
from tests.builders.history import History
from tests.pipeline.syntax.measured_sources import MEASURED


def functions_of(path: str, source: str, blob: str) -> list[FunctionHistory]:
    language = language_of(path.encode())
    assert language is not None
    return [
        FunctionHistory(path, f.qualified_name, f.ordinal, language.name, f.start_line, f.end_line, blob, 0.0, 0, 0)
        for f in parse_file(language, source.encode()).functions
    ]


BLOBS = {str(i) * 4: source.encode() for i, (source, _) in enumerate(MEASURED.values())}
FUNCTIONS = [
    function
    for blob, (path, (source, _)) in zip(BLOBS, MEASURED.items(), strict=True)
    for function in functions_of(path, source, blob)
]


def test_functions_of_many_files_get_their_metrics_in_any_order() -> None:
    metrics = measure_functions(FUNCTIONS, BLOBS.__getitem__)
    assert measure_functions(FUNCTIONS[::-1], BLOBS.__getitem__) == metrics[::-1]
    expected = [row[1:] for _, rows in MEASURED.values() for row in rows]
    got = [(m.cyclomatic_complexity, m.nesting_depth, m.fan_out, m.exits, m.parameters) for m in metrics]
    assert got == expected


def test_a_file_at_two_paths_is_read_once() -> None:
    read: list[str] = []
    copied = [*FUNCTIONS, *(replace(f, path=f"copy/{f.path}") for f in FUNCTIONS)]

    def noted(blob: str) -> bytes:
        read.append(blob)
        return BLOBS[blob]

    measure_functions(copied, noted)
    assert read == list(BLOBS)


def test_the_indices_beside_a_file_are_those_of_its_functions() -> None:
    for parsed, indices in parsed_files(FUNCTIONS, BLOBS.__getitem__):
        assert [FUNCTIONS[i].qualified_name for i in indices] == [f.qualified_name for f in parsed.functions]
        assert len(measure_structure(parsed)) == len(indices)


def test_a_function_missing_from_its_file_is_an_error() -> None:
    lost = replace(FUNCTIONS[0], start_line=2)
    with pytest.raises(ValueError, match=r"a\.py::straight is not in blob 0000"):
        measure_functions([lost], BLOBS.__getitem__)


def test_without_functions_no_file_is_read() -> None:
    assert measure_functions([], BLOBS.__getitem__) == []


def test_every_function_that_mining_names_is_found_in_its_file(tmp_path: Path) -> None:
    history = History()
    sources = {path: source for path, (source, _) in MEASURED.items()}
    history.commit("start", {**sources, "src/m.py": module("1", "2", "3")}, day=0)
    for day in range(30, 2_000, 30):
        edited = {path: source + "\n" * (day // 30) for path, source in sources.items()}
        history.commit(f"fix: {day}", {**edited, "src/m.py": module(str(day), "2", "3")}, day=day)
    repository = open_repository(history.write(tmp_path / "repo.git"))
    mined = measure(repository, MESSAGES, jobs=1, data_dir=tmp_path / "data").mined
    functions = [*mined.train, *mined.holdout]
    assert len(functions) > 2 * len(FUNCTIONS)
    with repository.reader() as reader:
        metrics = measure_functions(functions, lambda blob: reader.blob(bytes.fromhex(blob), 1 << 20))
    assert [m.lines for m in metrics] == [f.end_line - f.start_line + 1 for f in functions]
