"""The figures of labels against those of others, on cases worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.independent_functions import Seen, end_by_braces, python_functions
from bench.labels import BEGIN, END, JSON_FILE, PAGE, in_both, measure_fixes, write_page
from bench.labels_page import LARGE, OTHERS, render_figures
from pipeline.label_recipe import MESSAGES, MESSAGES_1


def test_commits_are_counted_by_recipe_set_and_project() -> None:
    rows = [
        {"set": "one", "project": "a", "label": 1, "message": "fix: count the last row"},
        {"set": "one", "project": "a", "label": 1, "message": "Count the last row"},
        {"set": "one", "project": "a", "label": 0, "message": "fix: explain the last row"},
        {"set": "two", "project": "b", "label": 0, "message": "Explain the last row"},
        *[{"set": "two", "project": "large", "label": 0, "message": "Explain the last row"}] * (LARGE + 1),
    ]
    counted = measure_fixes(rows)
    kinds = ("found", "missed", "false", "rejected")
    assert [(row["recipe"], row["set"], row["project"], *(row[kind] for kind in kinds)) for row in counted] == [
        (recipe, *values)
        for recipe in (MESSAGES_1.name, MESSAGES.name)
        for values in (("one", OTHERS, 1, 1, 1, 0), ("two", "large", 0, 0, 0, LARGE + 1), ("two", OTHERS, 0, 0, 0, 1))
    ]


def test_functions_pair_one_to_one_by_name_and_place() -> None:
    ours = [Seen("f", 1, 10), Seen("g", 3, 5), Seen("f", 20, 30)]
    assert in_both(ours, [Seen("f", 2, 10), Seen("g", 3, 5), Seen("f", 20, 25), Seen("f", 21, 25)]) == 3
    assert in_both(ours, [Seen("h", 3, 5), Seen("g", 6, 9)]) == 0


def test_python_functions_are_those_of_three_lines_or_more() -> None:
    source = (
        b"@cached\n@checked\ndef f(): return 1\n\n\nclass A:\n    async def g(self):\n        x = 1\n        return x\n"
    )
    assert python_functions(source) == [Seen("f", 3, 3), Seen("g", 7, 9)]


def test_a_function_ends_where_its_braces_do() -> None:
    source = b"fn f() {\n    if x { y() }\n}\nfn declared();\nfn open() {\n"
    assert [end_by_braces(source, line) for line in (1, 4, 5)] == [3, 0, 0]


def test_the_page_follows_from_the_figures(tmp_path: Path) -> None:
    figures = json.loads(JSON_FILE.read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    assert f"{BEGIN}\n\n{render_figures(figures)}\n{END}" in page
    copy = tmp_path / "page.md"
    copy.write_text(page.replace("precision", "x"), encoding="utf-8")
    write_page(figures, copy)
    assert render_figures(figures) in copy.read_text(encoding="utf-8")


def test_a_page_without_a_place_for_the_figures_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Labels\n", encoding="utf-8")
    with pytest.raises(ValueError, match="lacks the line"):
        write_page({}, page)
