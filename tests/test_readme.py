"""The README promises only what is there: its commands, targets, links, figures and output."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from bench.labels_page import BOTH_LABELS
from bot.cli.main import COMMANDS, run
from pipeline.calibration.seed import load_seed
from pipeline.label_recipe import MESSAGES
from tests.builders import demo_story
from tests.flows.demo_scenes import CARELESS
from tests.flows.pictures import MAX_BYTES, chart_page

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXT = " ".join(README.split())
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
MIN_WORDS, MAX_WORDS = 450, 650


def load(place: str) -> Any:
    return json.loads((ROOT / place).read_text(encoding="utf-8"))


def test_it_fits_one_screen() -> None:
    prose = re.sub(r"```.*?```|<[^>]+>|\]\([^)]*\)", " ", README, flags=re.DOTALL)
    assert MIN_WORDS <= len([word for word in prose.split() if re.search(r"\w", word)]) <= MAX_WORDS


def test_every_make_target_it_names_exists() -> None:
    named = set(re.findall(r"\bmake ([a-z-]+)\b(?=`|\s{2}|\s[A-Z]|$)", README, re.MULTILINE))
    assert {"setup", "run", "demo"} <= named <= TARGETS


def test_every_target_says_what_it_does() -> None:
    assert set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE)) == TARGETS


def test_every_suite_of_ci_is_a_target() -> None:
    suites = re.findall(r"^suite ([a-z-]+)$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"lint", "test", "demo"} <= set(suites) <= TARGETS


def test_every_command_it_names_exists() -> None:
    named = set(re.findall(r"(?:`|bin/)assay ([a-z-]+)\b", README))
    assert {"screen", "rank", "finetune"} <= named <= {name for name, _, _ in COMMANDS}


def test_the_tree_it_draws_is_there() -> None:
    tree = re.findall(r"^([a-z]+)/  ", README, re.MULTILINE)
    assert len(tree) == 5
    assert [folder for folder in tree if not (ROOT / folder).is_dir()] == []


def test_it_says_what_the_threshold_rests_on() -> None:
    calibration = load_seed().calibrate()
    standing = calibration.standing
    assert standing.leave_one_out is not None
    assert f"{calibration.threshold.value:.4f} as shipped; near it" in TEXT
    assert f"rests on {standing.published} published outcomes" in TEXT
    assert f"leave-one-out gets {100 * standing.leave_one_out:.0f} % of them right" in TEXT


def test_it_counts_the_outcomes_measured_here() -> None:
    outcomes = [one["outcome"] for one in load("pipeline/calibration/reproduced.json")]
    assert f"The {len(outcomes)} outcomes measured here" in TEXT
    assert all(outcome.endswith("LOSS") for outcome in outcomes)


def test_its_figures_of_the_labels_are_those_of_the_page() -> None:
    rows = [row for row in load("bench/labels.json")["fixes"] if row["recipe"] == MESSAGES.name]
    found, missed, false = (
        sum(row[kind] for row in rows if row["set"] in BOTH_LABELS) for kind in ("found", "missed", "false")
    )
    precision, recall = round(100 * found / (found + false)), round(100 * found / (found + missed))
    assert f"that count as fixes, {precision} % are fixes; {recall} % of all fixes are found" in TEXT


def test_its_figures_of_the_ranking_are_derived_from_the_report_set() -> None:
    report = [one for one in load("bench/rankings.json") if one["set"] == "report"]
    past = [one["year_back"]["functions"] for one in report]
    first = fmean(one["first_10"] / 10 for one in past)
    chance = fmean(one["fixed"] / one["ranked"] for one in past)
    baselines = [
        scorer
        for one in report
        if one["conclusive"]
        for scorer in one["functions"]["scorers"]
        if scorer["name"] == "baseline"
    ]
    lines = fmean(scorer["recall_at_20_percent"] for scorer in baselines)
    assert f"{first:.0%}".replace("%", " %") + " of its first ten functions were fixed" in TEXT
    assert f"({100 * chance:.1f} % by chance)" in TEXT
    assert f"only {100 * lines:.0f} % of the fixed ones" in TEXT


def test_its_figures_of_speed_are_the_committed_ones() -> None:
    figures = load("bench/figures.json")
    ratios = [row["ratio"][0] for row in figures["screening"]]
    cores = {1: "one", 2: "two"}[figures["measured"]["cores"]]
    assert f"Measured during the development of {figures['measured']['release'][:3]} on {cores} cores" in TEXT
    assert f"takes {min(ratios)} to {max(ratios)} times as long as `git log -p`" in TEXT
    assert f"PyDriller {figures['pydriller_geometric_mean']:.0f} times the CPU time" in TEXT


def test_the_quick_start_prints_what_it_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = re.findall(r"```text\n(.*?)```", README, re.DOTALL)[0].rstrip().splitlines()
    history = demo_story.build(CARELESS).write(tmp_path / f"{CARELESS.name}.git")
    assert run(["screen", str(history), "--jobs", "1"]) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert shown == printed[: len(shown)]
    assert len(shown) == 10  # the verdict, the figures, the chart


@pytest.mark.parametrize("place", re.findall(r'(?:src|srcset)="([^"]+)"', README))
def test_its_pictures_are_small_png_files(place: str) -> None:
    content = (ROOT / place).read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(content) <= MAX_BYTES
    width, height = struct.unpack(">II", content[16:24])
    assert width > 640
    assert height < 1_200


def test_it_has_each_picture_light_and_dark() -> None:
    names = {Path(place).stem for place in re.findall(r'(?:src|srcset)="([^"]+)"', README)}
    assert {name.rpartition("-")[0] for name in names} == {"check-run", "benchmark"}
    assert {name.rpartition("-")[2] for name in names} == {"light", "dark"}
    assert len(names) == 4


def test_the_chart_shows_the_committed_figures() -> None:
    rows = load("bench/figures.json")["screening"]
    chart = chart_page(rows)
    for row in rows:
        assert f">{row['history']}</text>" in chart
        for key in ("git_log_s", "cold_s", "second_s"):
            assert f">{row[key]:g} s</text>" in chart
