from itertools import pairwise

import pytest

from pipeline.calibration.reproduced import reproduced_of
from pipeline.calibration.seed_json import parse_seed, render_seed
from pipeline.calibration.seed_records import CURVES
from pipeline.reports.published_table import render_published_table
from tests.builders.screenings import windows
from tests.builders.seeds import day, measurement, seed, unmeasurable
from tests.pipeline.calibration.test_reproduced import RUN

PAGE = render_published_table(seed())


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its header."""
    section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_table_has_published_and_measured_figures_and_the_verdict() -> None:
    assert rows(PAGE, "The published table")[1] == [
        "win/two",
        "WIN",
        "",
        "",
        "high",
        "0.0600",
        "0.0540 to 0.0660",
        "2,000",
        "2023-11-14",
        "4 months",
        "too close to call, leaning RUN",
        "SKIP at 0.0650",
        "yes",
    ]


def test_the_others_are_not_fitted() -> None:
    found = rows(PAGE, "Others, not fitted")
    assert [row[0] for row in found] == ["extra/win", "extra/loss"]
    assert [row[-1] for row in found] == ["yes", "no"]


def test_threshold_band_and_warnings_come_first() -> None:
    head = PAGE.partition("## ")[0]
    assert "Threshold **0.0450**, near-boundary band 0.0" in head
    assert "Every fitted winner is denser than every fitted loser" in head
    assert (
        "The threshold rests on 4 outcomes (4 published, 0 measured here); leave-one-out gets 75 % of them right."
        in head
    )
    assert "4 of 4 fitted outcomes are on the right side" in head
    assert "counter-examples: none" in head
    assert "confirms nothing" in head
    assert "falls with the size" in head


def test_every_curve_has_rows_at_full_and_at_matched_size() -> None:
    found = [line for line in PAGE.splitlines() if line.startswith(tuple(f"| {curve} |" for curve in CURVES))]
    assert len(found) == 6 * len(CURVES)
    assert "| relative | table | win/two | loss/one | 2.00 | yes | 0 |" in PAGE
    assert "| relative | all | win/two | extra/loss | 0.86 | no | 1 |" in PAGE
    assert "| relative | table | 10 of 10 | 2.00 | 2.00 to 2.00 | 0 | 0 |" in PAGE


def test_disagreements_are_listed_with_a_cause() -> None:
    section = PAGE.partition("## Disagreements")[2].partition("\n## ")[0]
    assert "- **extra/loss** (published SOFT LOSS, here RUN, not fitted): no measured property sets it apart" in section
    assert section.count("\n- ") == 1


def test_without_a_disagreement_the_section_says_none() -> None:
    page = render_published_table(seed(extra_loss=measurement(0.01)))
    assert page.partition("## Disagreements")[2].partition("\n## ")[0].rstrip().endswith("None.")


def test_an_unmeasurable_history_is_in_the_table_but_not_fitted() -> None:
    page = render_published_table(seed(win_two=unmeasurable(0.06)))
    row = rows(page, "The published table")[1]
    assert row[-3:] == ["cannot be measured (SKIP)", "not fitted", "no"]
    assert "1 of them cannot be measured and is not fitted." in page


def test_an_overlap_is_stated_with_its_counterexample() -> None:
    page = render_published_table(seed(win_two=measurement(0.005)))
    assert "Winners and losers overlap" in page
    assert "counter-examples: win/two." in page


@pytest.mark.parametrize(("before", "lag"), [(-5, "none"), (20, "20 days"), (2_000, "5.5 years")])
def test_a_lag_is_shown_in_natural_units(before: int, lag: str) -> None:
    page = render_published_table(seed(win_one=measurement(0.1, windows=windows(as_of=day(before)))))
    assert rows(page, "The published table")[0][9] == lag


def test_a_single_class_at_matched_size_is_stated() -> None:
    few = {name: unmeasurable(0.01) for name in ("extra_loss", "extra_win")}
    page = render_published_table(seed(**few))
    assert page.count("one class only") == 0
    assert rows(page, "What was measured")[4][-2:] == ["48", "9"]


def test_notes_are_carried_over_and_a_bar_breaks_no_table() -> None:
    page = render_published_table(seed(win_one=measurement(0.1, notes=("9 objects missing",))))
    assert "- win/one: 9 objects missing" in page
    noted = seed(win_one=measurement(0.1, evidence={}))
    assert rows(render_published_table(noted), "What was measured")[0][7] == "none"


def test_the_page_is_the_same_from_the_file_as_from_the_measurement() -> None:
    assert render_published_table(parse_seed(render_seed(seed()).encode(), "seed.json")) == PAGE


def test_every_row_of_a_table_has_the_same_number_of_cells() -> None:
    widths = []
    for line in PAGE.splitlines():
        widths.append(line.count("|") if line.startswith("|") else 0)
    for before, after in pairwise(widths):
        assert before == after or 0 in (before, after)


def test_the_page_is_the_same_from_fresh_values_and_from_the_file() -> None:
    one = measurement(0.10, 900, evidence={"keyword": 0.3, "prefix": 0.7})
    other = measurement(0.10, 900, evidence={"prefix": 0.7, "keyword": 0.3})
    assert render_published_table(seed(win_one=one)) == render_published_table(seed(win_one=other))
    assert "prefix 70 %, keyword 30 %" in render_published_table(seed(win_one=one))


def test_repositories_without_a_run_are_marked() -> None:
    here = reproduced_of("win/two", RUN, None)
    found = rows(render_published_table(seed(), {"win/two": here}), "Fine-tuned here")
    assert found[0][3:] == ["not run", found[0][4], *["not run"] * 8]
    assert found[1][2:9] == ["", "+0.210", "", "+0.200", "+0.010 (−0.020 to +0.040)", "SOFT LOSS", "640, 88"]
    assert found[1][9:] == ["+0.190", "past fixes: +0.250", "not run", "tiny, 256, 2"]
