"""`assay labels`: drawing commits, filling in, scoring, and what is said of files that make no sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.cli.local.labels import read_filled_in, sample, score_files, sealed_path
from bot.cli.main import run
from pipeline.records import AssayError
from tests.pipeline.ranking.subjects import long_history
from tests.pipeline.ranking.test_dataset import BEFORE, HORIZON, TRAINING


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(long_history([*BEFORE, *TRAINING, *HORIZON]).write(tmp_path_factory.mktemp("labels") / "shop.git"))


def drawn(repository: str, out: Path, n: int = 8, seed: int = 3) -> dict[str, Any]:
    sample(repository, out, n, seed, None, 1, False)
    found = json.loads(sealed_path(out).read_text())
    assert isinstance(found, dict)
    return found


def fill_in(out: Path, answers: dict[str, str]) -> None:
    lines = [line.partition("\t")[0] for line in out.read_text().splitlines() if not line.startswith("#")]
    out.write_text("".join(f"{sha}\t{answers.get(sha, '')}\n" for sha in lines))


def test_the_file_to_fill_in_lists_shas_in_random_order(repository: str, tmp_path: Path) -> None:
    sealed = drawn(repository, tmp_path / "labels.tsv")
    head, *lines = (tmp_path / "labels.tsv").read_text().splitlines()
    shas = [line.removesuffix("\t") for line in lines]
    assert head.startswith("#")
    assert sorted(shas) == sorted([*sealed["fixes"], *sealed["others"]])
    assert all(len(sha) == 40 for sha in shas)
    assert shas not in (sealed["fixes"] + sealed["others"], sealed["others"] + sealed["fixes"])
    assert (len(sealed["fixes"]), len(sealed["others"]), sealed["repo"]) == (4, 4, "shop")


def test_a_json_file_can_be_filled_in_too(repository: str, tmp_path: Path) -> None:
    sealed = drawn(repository, tmp_path / "labels.json")
    content = json.loads((tmp_path / "labels.json").read_text())
    assert [list(row) for row in content["commits"]] == [["sha", "answer"]] * 8
    for row in content["commits"]:
        row["answer"] = "fix" if row["sha"] in sealed["fixes"] else "Not"
    (tmp_path / "labels.json").write_text(json.dumps(content))
    repo, _, answers = read_filled_in(tmp_path / "labels.json")
    assert repo == "shop"
    assert sorted(answers.values()) == ["fix"] * 4 + ["not"] * 4


def test_answers_give_precision_and_recall(repository: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "labels.tsv"
    sealed = drawn(repository, out)
    fixes, others = sealed["fixes"], sealed["others"]
    fill_in(out, {fixes[0]: "not", **dict.fromkeys(fixes[1:], "fix"), **dict.fromkeys(others[1:], "not")})
    capsys.readouterr()
    score_files([out], as_json=True)
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["precision"]["value"] == pytest.approx(0.75)
    assert row["recall"]["value"] == 1
    assert row["others"] == [{"population": sealed["others_in_all"], "fix": 0, "not_fix": 3, "unsure": 0}]
    score_files([out, out], as_json=False)
    lines = capsys.readouterr().out.splitlines()
    # Wilson for 3 of 4.
    assert lines[0].startswith("shop: precision 75 % (30 to 95), recall 100 % (")
    assert lines[0].endswith("; 7 commits judged, 0 unsure and left out")
    assert lines[2].startswith("together: precision 75 %")


def test_without_answers_estimates_are_unknown(
    repository: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn(repository, tmp_path / "labels.tsv")
    capsys.readouterr()
    score_files([tmp_path / "labels.tsv"], as_json=False)
    told = "shop: precision unknown, recall unknown; 0 commits judged, 0 unsure and left out\n"
    assert capsys.readouterr().out == told


def test_answers_are_never_overwritten(repository: str, tmp_path: Path) -> None:
    drawn(repository, tmp_path / "labels.tsv")
    with pytest.raises(AssayError, match="may hold answers"):
        drawn(repository, tmp_path / "labels.tsv")


def test_another_file_extension_is_refused(repository: str, tmp_path: Path) -> None:
    with pytest.raises(AssayError, match=r"\.tsv or \.json"):
        drawn(repository, tmp_path / "labels.csv")


BROKEN = [
    ("{sha}\tmaybe\n", "has the answer maybe: write fix, not or unsure"),
    ("{sha}\tfix\n{sha}\tnot\n", "is listed twice"),
    ("0123456789\tfix\n", "0123456789 is not in the sample"),
    ("\x1b[31m\tfix\n", r"\x1b[31m is not in the sample"),
]


@pytest.mark.parametrize(("text", "told"), BROKEN)
def test_an_invalid_answer_is_named(repository: str, tmp_path: Path, text: str, told: str) -> None:
    out = tmp_path / "labels.tsv"
    sealed = drawn(repository, out)
    out.write_text(text.format(sha=sealed["fixes"][0]))
    with pytest.raises(AssayError) as caught:
        read_filled_in(out)
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"commits": [{}]}', '{"commits": 3}'])
def test_an_invalid_json_file_is_named(repository: str, tmp_path: Path, text: str) -> None:
    out = tmp_path / "labels.json"
    drawn(repository, out)
    out.write_text(text)
    with pytest.raises(AssayError, match="must have the form"):
        read_filled_in(out)


@pytest.mark.parametrize("text", ["", "[]", '{"repo": "shop"}'])
def test_a_damaged_sealed_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.strata.json").write_text(text)
    with pytest.raises(AssayError, match="is damaged: draw a new sample"):
        read_filled_in(tmp_path / "labels.tsv")


def test_the_command_line_draws_and_scores(repository: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "labels.tsv")
    assert run(["labels", "sample", repository, "--n", "6", "--seed", "5", "--out", out, "-j", "1"]) == 0
    assert capsys.readouterr().out.startswith("Wrote 6 commits to label to ")
    assert run(["labels", "score", out]) == 0
    assert run(["labels", "sample", repository, "--n", "9999", "--out", str(tmp_path / "more.tsv"), "-j", "1"]) == 2
    assert "use a smaller --n" in capsys.readouterr().err
