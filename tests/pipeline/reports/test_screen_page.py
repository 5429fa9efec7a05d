from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.label_recipe import MESSAGES
from pipeline.records import ExcludedGroup, Screening
from pipeline.reports.screen_page import MAX_COMMITS, MAX_FUNCTIONS, most_fix_prone, render_screen_page, score
from tests.builders import screenings as build

VOID = {"meta"}
HOSTILE = {
    "script": "<script>alert(1)</script>",
    "image": '<img src=x onerror="alert(1)">',
    "end of title": "</title></style></svg><script>alert(1)</script>",
    "attribute": '" onmouseover="alert(1)" x=\'',
    "entity": "&lt;script&gt;&#x3c;b&#62;",
    "comment": "<!-- --!> --> <![CDATA[ ]]>",
    "template": "{{ 7 * 7 }}{% raw %}{# #}",
    "link": "javascript:alert(1) https://example.org/ [a](b)",
    "style": "} body { display: none } @import 'x'; url(//x)",
    "bidi": "user\u202e\u2066 // \u2069 \u200f gnp.exe",
    "control": "a\x00b\x1b[2Jc\r\nd\x7f\x9b",
    "surrogate": "lone \udcff \ud800",
    "svg": "<svg onload=alert(1)><foreignObject><iframe src=//x>",
    "long": "A" * 1_000_000,
    "long and hostile": "<b>\u202e" * 250_000,
}


class Structure(HTMLParser):
    """Tags with their attribute names in order, all text, and whether every tag was closed in its place."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, ...]] = []
        self.values: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))
        self.values += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def full_of(text: str) -> Screening:
    """A screening with `text` wherever a repository, a configuration or a calibration file is shown."""
    functions = (
        build.function(0, path=text, qualified_name=text, language=text, credit=2.0, fixes=1),
        build.function(1),
    )
    fix = build.counted_fix(0, sha=text, landing=text, subject=text, functions=(text, text, text, text))
    mined = build.mined(
        repo=text,
        head_sha=text,
        train=functions,
        counted=(fix,),
        excluded=(ExcludedGroup(text, 3, ((text, text),)),),
        notes=(text,),
    )
    return build.screening(
        mined=mined,
        evidence={text: 1.0},
        standing=build.standing(winners=((text, 0.3),), losers=((text, 0.01),), counterexamples=(text,)),
        verdict=build.verdict(words=text, reasons=(text,)),
        label_recipe_id=text,
        config_hash=text,
    )


def page(screening: Screening) -> str:
    return render_screen_page(screening, MESSAGES, version="1.2.3")


def read(screening: Screening) -> Structure:
    return Structure(page(screening))


PLAIN = read(full_of("plain"))


def test_the_verdict_comes_first_with_its_reasons() -> None:
    text = read(build.screening()).text
    assert text.index("Worth trying (RUN)") < text.index("density 0.0593 is above the threshold 0.0412")
    assert text.index("density 0.0593 is above the threshold 0.0412") < text.index("Where this repository stands")


def test_the_page_states() -> None:
    cases: list[str] = [
        "95 % interval 0.0521 to 0.0672",
        "too close to call from 0.0350 to 0.0474",
        "10 of them (25 %) were fixed",
        "75 % of the functions have no signal: 30 of 40.",
        "If every function of a fixed file counted as fixed, 60 % would have one.",
        "75 % fix: prefix",
        "2020-11-14",
        "Tests only",
        "fix: flaky test",
        "12 objects missing: 9 pairs left out",
        "ore/barely",
        "0.0467",
        f"Head {build.HEAD}",
        "As of 2023-11-14T22:13:20Z",
        f"Label recipe messages/2 {MESSAGES.id}",
        "Configuration the default",
        "Assay 1.2.3",
        "49 source files left out by their path, beside 35 that are read.",
        "tests/ test 38",
    ]
    wrong = [(shown, got) for shown in cases if shown not in (got := read(build.screening()).text)]
    assert wrong == []


def test_the_repositorys_own_configuration_is_stated() -> None:
    assert "measured with this repository’s own, feedc0de" in read(build.screening(config_hash="feedc0de")).text


@pytest.mark.parametrize(
    ("changes", "tone"),
    [
        ({}, "verdict run"),
        ({"verdict": build.verdict("SKIP")}, "verdict skip"),
        ({"verdict": build.verdict("SKIP", measurable=False)}, "verdict quiet"),
    ],
)
def test_the_colour_follows_the_verdict(changes: dict[str, object], tone: str) -> None:
    assert ("div", "class", tone) in read(build.screening(**changes)).values


def test_without_functions_the_page_still_renders() -> None:
    mined = build.mined(train=(), holdout=(), counted=(), excluded=(), notes=())
    verdict = build.verdict("SKIP", words="cannot be measured (SKIP)", measurable=False)
    text = read(build.screening(mined=mined, density=None, evidence={}, verdict=verdict)).text
    assert "Cannot be measured (SKIP)" in text
    assert "No fix commit in the training window gave credit." in text
    assert "this repository, with its 95 % interval" not in text
    assert "What could not be read" not in text


def test_without_positives_there_is_no_histogram() -> None:
    density = build.density(value=0.0, low=0.0, high=0.0, positives=0, positive_share=0.0, file_positive_share=0.0)
    text = read(build.screening(density=density, mined=build.mined(train=(build.function(),)), evidence={})).text
    assert "100 % of the functions have no signal" in text
    assert "by signal" not in text


def test_an_empty_calibration_set_can_be_rendered() -> None:
    standing = build.standing(winners=(), losers=(), outcomes=0, published=0, measured=0, leave_one_out=None)
    assert "this repository" in read(build.screening(standing=standing)).text


def test_overlapping_outcomes_are_stated() -> None:
    assert "they overlap" in read(build.screening(threshold=build.threshold(separable=False))).text
    assert "they overlap" not in read(build.screening()).text


def test_of_many_commits_the_newest_are_listed_and_the_total_is_stated() -> None:
    fixes = tuple(build.counted_fix(i, subject=f"fix number {i}.", landed_at=i) for i in range(MAX_COMMITS + 50))
    made = read(build.screening(mined=build.mined(counted=fixes)))
    assert f"The newest {MAX_COMMITS} of {MAX_COMMITS + 50} fix commits" in made.text
    listed = [int(number) for number in re.findall(r"fix number (\d+)\.", made.text)]
    assert listed == list(range(MAX_COMMITS + 49, 49, -1))


def test_the_most_fix_prone_functions_come_with_most_credit_first() -> None:
    functions = tuple(build.function(i, credit=float(i % 30)) for i in range(60))
    rows = most_fix_prone(score(build.screening(mined=build.mined(train=functions)), MESSAGES))
    credits = [row.function.credit for row in rows]
    assert len(rows) == MAX_FUNCTIONS
    assert credits == sorted(credits, reverse=True)
    assert credits[:3] == [29.0, 29.0, 28.0]


def test_functions_without_credit_are_not_listed_as_fix_prone() -> None:
    assert most_fix_prone(score(build.screening(mined=build.mined(train=(build.function(),))), MESSAGES)) == []


@pytest.mark.parametrize(("curve", "signals"), [("relative", [0.0, 0.5, 1.0]), ("presence", [0.0, 1.0, 1.0])])
def test_signals_are_those_of_the_curve_that_the_density_was_measured_with(curve: str, signals: list[float]) -> None:
    functions = (
        build.function(0),
        build.function(1, credit=1.0),
        *(build.function(i, credit=2.0) for i in range(2, 12)),
    )
    screening = build.screening(mined=build.mined(train=tuple(functions)), density=build.density(curve=curve))
    assert [row.signal for row in score(screening, MESSAGES)][:3] == signals


def test_hostile_text_does_not_change_the_structure_of_the_page(subtests: pytest.Subtests) -> None:
    for case, text in HOSTILE.items():
        with subtests.test(case):
            made = read(full_of(text))
            assert made.tags == PLAIN.tags
            assert made.open == []


@given(st.text(st.characters(), min_size=1))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_text_changes_the_structure_of_the_page(text: str) -> None:
    assert read(full_of(text)).tags == PLAIN.tags


def test_the_page_is_printable_utf_8_of_bounded_size(subtests: pytest.Subtests) -> None:
    for case, text in HOSTILE.items():
        with subtests.test(case):
            made = page(full_of(text))
            made.encode("utf-8")
            assert len(made) < 100_000
            assert all(character.isprintable() or character == "\n" for character in made)


def test_hostile_text_is_shown_escaped() -> None:
    text = read(full_of(HOSTILE["script"] + HOSTILE["bidi"])).text
    assert text.count("<script>alert(1)</script>user\\u202e\\u2066 // \\u2069") > 5


def test_the_page_loads_runs_and_links_nothing() -> None:
    made = read(full_of(HOSTILE["link"]))
    assert not {tag[0] for tag in made.tags} & {
        "script",
        "a",
        "img",
        "link",
        "iframe",
        "object",
        "form",
        "use",
        "image",
    }
    assert not {name for _, name, _ in made.values if name.startswith("on")}
    assert not {name for _, name, _ in made.values} & {"href", "src", "srcset", "style", "action", "xlink:href"}
    assert "url(" not in page(build.screening())


def test_the_content_security_policy_allows_only_inline_styles() -> None:
    made = read(build.screening())
    policy = made.values.index(("meta", "http-equiv", "Content-Security-Policy"))
    rules = made.values[policy + 1][2].split("; ")
    assert set(rules) == {"default-src 'none'", "style-src 'unsafe-inline'", "base-uri 'none'", "form-action 'none'"}


def test_every_plot_has_a_title_and_every_table_its_headers() -> None:
    made = read(build.screening())
    plots = [tag for tag in made.tags if tag[0] == "svg" and "role" in tag]
    assert len(plots) == 4
    assert all("aria-label" in tag for tag in plots)
    for tag, name, value in made.values:
        assert (tag, name) != ("svg", "aria-label") or value
    tables = sum(tag[0] == "table" for tag in made.tags)
    assert tables == sum(tag[0] == "thead" for tag in made.tags) == 6
    assert all("scope" in tag for tag in made.tags if tag[0] == "th")


def test_heading_ids_are_unique_and_every_label_refers_to_one() -> None:
    made = read(build.screening())
    ids = [value for _, name, value in made.values if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value for _, name, value in made.values if name == "aria-labelledby"} <= set(ids)
    assert sum(tag[0] == "h1" for tag in made.tags) == 1


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_has_the_contrast_that_wcag_requires(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, int]] = [("light", 0), ("dark", 1), ("print", 2)]
    for case, scheme in cases:
        for name in ("ink", "soft", "win", "lose", "here", "cut", "quiet"):
            with subtests.test(case):
                blocks = re.findall(r":root \{(.*?)\}", page(build.screening()), re.DOTALL)
                colours = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", blocks[scheme]))
                for ground in ("paper", "page"):
                    light, dark = sorted((_luminance(colours[name]), _luminance(colours[ground])), reverse=True)
                    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_the_page_is_deterministic() -> None:
    screening = build.screening()
    assert page(screening) == page(replace(screening))
