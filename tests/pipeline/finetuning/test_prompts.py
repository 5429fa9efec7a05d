from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.finetuning.prompts import Prompted, code_of, render_prompt
from pipeline.finetuning.recipe import PROMPT_VERSION
from pipeline.mining.process_metrics import ProcessMetrics
from pipeline.records import FunctionHistory, PairMetrics
from pipeline.syntax.languages import LANGUAGES
from tests.pipeline.finetuning.pair_sets import prompted

PAY = prompted(
    "Shop.pay",
    "    def pay(self, total):\n        # in cents\n        return self.charge(total, 'eur')",
    metrics=PairMetrics(3, 1, 0, 1, 0, 2),
)

WHOLE = """\
Language: Python
File: src/shop.py
Function: Shop.pay
Structure: lines 3, cyclomatic complexity 1, nesting depth 0, fan-out 1, early exits 0, parameters 2
Source:
    def pay(self, total):
        # in cents
        return self.charge(total, 'eur')"""

WITHOUT_NAMES = """\
Language: Python
File: id0/id1.py
Function: id2.id3
Structure: lines 3, cyclomatic complexity 1, nesting depth 0, fan-out 1, early exits 0, parameters 2
Source:
    def id3(id4, id5):
{where_the_comment_stood}
        return id4.id6(id5, 'eur')"""

WITHOUT_CODE = """\
Language: Python
File: src/shop.py
Function: Shop.pay
Structure: lines 3, cyclomatic complexity 1, nesting depth 0, fan-out 1, early exits 0, parameters 2
Source:
"""


def test_a_complete_prompt_of_version_1() -> None:
    """Another text is another recipe: raise PROMPT_VERSION with it, so that no adapter reads what it was not taught."""
    assert PROMPT_VERSION == 1
    assert render_prompt(PAY) == WHOLE


def test_a_prompt_without_names() -> None:
    assert render_prompt(PAY, "names") == WITHOUT_NAMES.format(where_the_comment_stood=" " * 8)


def test_a_prompt_without_code() -> None:
    assert render_prompt(PAY, "code") == WITHOUT_CODE


def test_a_missing_metric_is_unknown() -> None:
    text = render_prompt(dataclasses.replace(PAY, metrics=PairMetrics(3)))
    assert "lines 3, cyclomatic complexity unknown, nesting depth unknown" in text


def test_a_prompt_is_made_of_exactly_these_fields() -> None:
    """Whoever adds one: nothing that git remembers may be known to the model."""
    assert [f.name for f in dataclasses.fields(Prompted)] == ["path", "qualified_name", "language", "metrics", "code"]
    structure = ["lines", "cyclomatic_complexity", "nesting_depth", "fan_out", "exits", "parameters"]
    assert [f.name for f in dataclasses.fields(PairMetrics)] == structure


def test_no_field_of_history_or_label_is_part_of_a_prompt() -> None:
    known = {f.name for f in (*dataclasses.fields(Prompted), *dataclasses.fields(PairMetrics))}
    assert known & {f.name for f in dataclasses.fields(ProcessMetrics)} == set()
    assert known & {"credit", "fixes", "touches", "blob", "signal", "label"} == set()
    assert {"credit", "fixes", "touches", "blob"} <= {f.name for f in dataclasses.fields(FunctionHistory)}


def test_a_prompted_function_has_no_other_attributes() -> None:
    with pytest.raises((AttributeError, TypeError)):
        PAY.touches = 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("ablation", ["none", "names", "code"])
@given(st.text(), st.text(), st.text(), st.sampled_from([language.name for language in LANGUAGES]))
def test_a_prompt_of_any_text_can_be_encoded(ablation, path, name, code, language) -> None:
    text = render_prompt(Prompted(path, name, language, PairMetrics(1), code), ablation)
    assert text.encode("utf-8")
    head, source = text.split("\nSource:\n", 1)
    assert [line.partition(":")[0] for line in head.split("\n")] == ["Language", "File", "Function", "Structure"]
    if ablation == "none":
        assert source == code.encode("utf-8", "replace").decode()
    if ablation == "code":
        assert source == ""


@given(st.text(), st.text())
def test_a_name_cannot_forge_another_line(name: str, path: str) -> None:
    lines = render_prompt(prompted(name, "x", path=path)).split("\n")
    assert len(lines) == 6
    assert lines[4:] == ["Source:", "x"]


def test_code_is_whole_lines_of_the_file_decoded_with_replacement() -> None:
    assert code_of(b"one\ntwo \xff\r\nthree\nfour", 2, 3) == "two \ufffd\r\nthree"
    assert code_of(b"one", 1, 1) == "one"
