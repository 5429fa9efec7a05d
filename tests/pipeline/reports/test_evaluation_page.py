from __future__ import annotations

import re
from typing import Any

import pytest

from pipeline.label_recipe import MESSAGES
from pipeline.ranking.evaluate import Evaluation
from pipeline.reports.evaluation_page import render_evaluation_page
from tests.builders import evaluations as build
from tests.builders import screenings
from tests.pipeline.reports.test_screen_page import HOSTILE, Structure, _luminance

REASON = "32 held-out functions: at least 200 are needed"


def page(evaluation: Evaluation) -> str:
    return render_evaluation_page(evaluation, MESSAGES, seconds=4.25, peak_rss_mb=131.4, version="1.2.3")


def read(evaluation: Evaluation) -> Structure:
    return Structure(page(evaluation))


def full_of(text: str) -> Evaluation:
    """An evaluation with `text` wherever a repository or the name of a folder is shown."""
    scores = {"baseline": [4, 3, 2, 1], text: [1, 2, 3, 4], f"{text} ": [1, 1, 1, 1]}
    return build.evaluation(
        mined=screenings.mined(repo=text, head_sha=text, notes=(text,)),
        functions=build.table(scores, [2, 0, 1, 0]),
        files=build.table(scores, [2, 0, 1, 0]),
        reasons=(text,),
    )


PLAIN = read(full_of("plain"))
USUAL = read(build.evaluation())


def test_question_and_conclusion_come_first() -> None:
    question = USUAL.text.index("If the functions had been ranked on 2022-11-14")
    assert question < USUAL.text.index("Yes, better than chance") < USUAL.text.index("How well each scorer ranks")


def test_the_page_states() -> None:
    cases: list[str] = [
        "Functions held out 240",
        "fitted scorers learned from 321 others",
        "Fixed functions 48",
        "20 % of those held out",
        "all 240 scores are equal: no ranking",
        "All 4 files that had functions on 2022-11-14; 2 of them had one that was fixed.",
        "12 objects missing: 9 pairs left out",
        "training window: 2.0 years",
        f"Head {screenings.HEAD}",
        f"Label recipe messages/2 {MESSAGES.id}",
        "Assay 1.2.3",
    ]
    wrong = [(shown, got) for shown in cases if shown not in (got := USUAL.text)]
    assert wrong == []


def test_significantly_better_scorers_are_named_with_a_warning() -> None:
    ahead = r"2 other scorers compared with the baseline; significantly better: size \(Δρ \+0\.\d{3}, "
    assert re.search(
        ahead + r"\+0\.\d{3} to \+0\.\d{3}\)\. The best of several tends to look better than it is\.", USUAL.text
    )


def test_the_page_says_if_no_scorer_is_better() -> None:
    labels = [float(i % 5 == 0) for i in range(240)]
    same = [float((i * 7) % 31) + 40 * label for i, label in enumerate(labels)]
    text = read(build.evaluation(functions=build.table({"baseline": same, "twin": same}, labels))).text
    assert "1 other scorer compared with the baseline: none is significantly better." in text


@pytest.mark.parametrize(
    ("sign", "words", "tone"),
    [(1, "Yes, better than chance", "run"), (-1, "No, worse than chance", "skip")],
)
def test_the_conclusion_follows_from_the_interval_of_the_baseline(sign: int, words: str, tone: str) -> None:
    labels = [float(i % 4 == 0) for i in range(240)]
    scores = [sign * (float((i * 7) % 31) + 20 * label) for i, label in enumerate(labels)]
    made = read(build.evaluation(functions=build.table({"baseline": scores}, labels)))
    assert words in made.text
    assert ("div", "class", f"verdict {tone}") in made.values


def test_an_interval_that_contains_0_is_not_distinguishable_from_chance() -> None:
    labels = [float(i % 4 == 0) for i in range(240)]
    made = read(build.evaluation(functions=build.table({"baseline": [(i * 37) % 101 for i in range(240)]}, labels)))
    assert "Not distinguishable from chance" in made.text


def test_without_an_interval_there_is_no_conclusion() -> None:
    labels = [float(i % 4 == 0) for i in range(240)]
    table = build.table({"baseline": list(range(240))}, labels, files=["a.py"] * 240)
    text = read(build.evaluation(functions=table)).text
    assert "No interval, so no conclusion Baseline: all held-out functions are in one file: no interval" in text


def test_an_inconclusive_evaluation_shows_its_reasons_and_its_numbers_and_no_verdict() -> None:
    made = read(build.evaluation(reasons=(REASON,)))
    assert f"Inconclusive {REASON}" in made.text
    assert ("div", "class", "verdict quiet") in made.values
    assert "better than chance" not in made.text
    assert "Fixed functions 48" in made.text


def test_a_scorer_without_a_ranking_is_marked_and_has_no_curve() -> None:
    assert USUAL.text.count("no ranking") >= 3  # in the drawing, in its description, in the table
    legend = USUAL.text[USUAL.text.index("Ties are drawn as straight lines") :]
    assert "nothing" not in legend[: legend.index("best possible")]


def test_without_fixes_there_is_no_curve_and_the_page_still_renders() -> None:
    table = build.table({"baseline": [3, 2, 1]}, [0, 0, 0])
    text = read(build.evaluation(functions=table, files=table, reasons=(REASON,))).text
    assert "No scorer could rank these functions." in text
    assert "No scorer could rank these files." in text
    assert "There is no curve to draw" in text
    assert "There is nothing to compare" in text
    assert "none of the 3 held-out functions was fixed: nothing to find" in text


def test_without_functions_the_page_still_renders() -> None:
    table = build.table({"baseline": []}, [])
    made = read(build.evaluation(functions=table, files=table, reasons=(REASON,)))
    assert "Functions held out 0" in made.text
    assert "nothing to rank" in made.text
    assert made.open == []


def test_the_recall_of_the_baseline_is_compared_with_a_random_order() -> None:
    # The second and third have one score, the first and third were fixed: two of ten lines are the first function and
    # half of the two that follow.
    four = build.table({"baseline": [3, 2, 2, 1]}, [1, 0, 1, 0], [1, 1, 1, 7])
    text = read(build.evaluation(functions=four)).text
    assert "the baseline finds 75 %; a random order finds 20 %." in text
    flat = build.table({"baseline": [1, 1, 1], "size": [3, 2, 1]}, [1, 0, 0])
    assert "a random order finds" not in read(build.evaluation(functions=flat)).text


def test_hostile_text_does_not_change_the_structure_of_the_page(subtests: pytest.Subtests) -> None:
    for case, text in HOSTILE.items():
        with subtests.test(case):
            made = read(full_of(text))
            assert made.tags == PLAIN.tags
            assert made.open == []


def test_the_page_is_printable_utf_8_of_bounded_size(subtests: pytest.Subtests) -> None:
    for case, text in HOSTILE.items():
        with subtests.test(case):
            made = page(full_of(text))
            made.encode("utf-8")
            assert len(made) < 150_000
            assert all(character.isprintable() or character == "\n" for character in made)


def test_the_size_of_the_page_does_not_grow_with_the_number_of_functions() -> None:
    assert len(page(build.evaluation(functions=build.functions(20_000)))) < 100_000


def test_the_page_loads_runs_and_links_nothing() -> None:
    made = read(full_of(HOSTILE["link"]))
    names = {tag[0] for tag in made.tags}
    assert not names & {"script", "a", "img", "link", "iframe", "object", "form", "use", "image"}
    attributes = {name for _, name, _ in made.values}
    assert not attributes & {"href", "src", "srcset", "style", "action", "xlink:href"}
    assert not {name for name in attributes if name.startswith("on")}
    assert "url(" not in page(build.evaluation())


def test_the_content_security_policy_allows_only_inline_styles() -> None:
    policy = USUAL.values.index(("meta", "http-equiv", "Content-Security-Policy"))
    rules = USUAL.values[policy + 1][2].split("; ")
    assert set(rules) == {"default-src 'none'", "style-src 'unsafe-inline'", "base-uri 'none'", "form-action 'none'"}


def test_every_plot_has_a_title_and_figures_and_every_table_has_headers() -> None:
    plots = [tag for tag in USUAL.tags if tag[0] == "svg" and "role" in tag]
    assert len(plots) == 5
    assert all("aria-label" in tag for tag in plots)
    tags = [tag[0] for tag in USUAL.tags]
    assert (tags.count("desc"), tags.count("table"), tags.count("thead")) == (4, 4, 4)
    assert all("scope" in tag for tag in USUAL.tags if tag[0] == "th")


def test_heading_ids_are_unique_and_every_label_refers_to_one() -> None:
    ids = [value for _, name, value in USUAL.values if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value for _, name, value in USUAL.values if name == "aria-labelledby"} <= set(ids)
    assert [tag[0] for tag in USUAL.tags].count("h1") == 1


def test_curve_styles_are_distinct() -> None:
    drawn = {name for _, key, name in USUAL.values if key == "class" and name.startswith("curve series-")}
    assert drawn == {"curve series-0", "curve series-1"}
    styles = re.findall(r"svg \.series-(\d) \{ (.*?) \}", page(build.evaluation()))
    assert [number for number, _ in styles] == list("0123456")
    assert len({style for _, style in styles}) == 7
    dashes = [dash for _, style in styles for dash in re.findall("stroke-dasharray: ([0-9 ]+)", style)]
    assert len(dashes) == len(set(dashes)) == 5  # two are solid, one of them thicker


@pytest.mark.parametrize(("scheme", "paper"), [(0, "#ffffff"), (1, "#181c21"), (2, "#ffffff")])
def test_curves_have_the_contrast_that_wcag_requires_of_graphics(scheme: int, paper: str) -> None:
    blocks = [b for b in re.findall(r":root \{(.*?)\}", page(build.evaluation()), re.DOTALL) if "--series-1" in b]
    colours: dict[str, Any] = dict(re.findall(r"--(series-\d): (#[0-9a-f]{6});", blocks[scheme]))
    assert len(colours) == 6
    for colour in colours.values():
        light, dark = sorted((_luminance(colour), _luminance(paper)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_the_page_is_deterministic() -> None:
    assert page(build.evaluation()) == page(build.evaluation())
