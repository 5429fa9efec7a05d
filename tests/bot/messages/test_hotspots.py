"""The section "Look here first": who sees it, its whole text, and foreign text in it."""

from __future__ import annotations

import dataclasses
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.messages.hotspots import render_hotspots
from bot.messages.markdown import MAX_BYTES
from bot.messages.screen_check import screen_check
from bot.messages.screen_context import ScreenContext, WonAdapter
from bot.records import StoredScreening
from pipeline.ranking.shortlist import MAX_NAME_LENGTH, MAX_PATH_LENGTH, Place, Retrained, Shortlist, dump_shortlist
from pipeline.reports.finetune_figures import Measured
from tests.bot.messages.screenings import (
    HEAD,
    MEASURED_AT,
    MEASUREMENT,
    NEWER_HEAD,
    at_density,
    failed,
    screened,
    situation,
)
from tests.bot.messages.test_markdown import HOSTILE, assert_inert, tokens_of
from tests.bot.messages.test_screen_check import OURS

ADD = Place("src/cart.py", "Cart.add", 12, ("touched 14 times in a year by 5 people", "3 fixes in two years"))
PAY = Place("src/pay ment.py", "pay", 7, ("complexity 23", "130 lines"))
SHORTLIST = Shortlist("baseline", 4_210, 2, (ADD, PAY), (ADD, PAY))
BLOB = f"https://github.com/acme/shop/blob/{HEAD}"
LINKS = {"link_open", "link_close", "ordered_list_open", "ordered_list_close"}

GOLDEN = f"""\
### Look here first

The first 2 of 4,210 functions by risk of needing a fix. Ranked by a fixed formula over the size and structure of the \
code and over its past changes and fixes, the same for every repository. Assay’s `docs/concepts/ranking.md` explains \
it and says how good it is. This is not a list of defects: it shows where looking is most likely to pay off.

1. `Cart.add` in [`src/cart.py:12`]({BLOB}/src/cart.py#L12): \
touched 14 times in a year by 5 people, 3 fixes in two years
2. `pay` in [`src/pay ment.py:7`]({BLOB}/src/pay%20ment.py#L7): complexity 23, 130 lines

2 files, each with its riskiest function:

1. [`src/cart.py`]({BLOB}/src/cart.py): `Cart.add`: touched 14 times in a year by 5 people, 3 fixes in two years
2. [`src/pay ment.py`]({BLOB}/src/pay%20ment.py): `pay`: complexity 23, 130 lines"""


def ranked(shortlist: Shortlist = SHORTLIST, density: float = 0.0394) -> StoredScreening:
    measurement = MEASUREMENT if density == 0.0394 else at_density(density)
    return screened(measurement, ranking=dump_shortlist(shortlist))


def seen_in(private: bool = True, full_name: str = "acme/shop", **changes: Any) -> ScreenContext:
    repository = dataclasses.replace(situation().repository, private=private, full_name=full_name)
    return situation(repository=repository, **changes)


def with_place(path: str = "a.py", name: str = "f", reason: str = "4 lines") -> Shortlist:
    place = Place(path, name, 3, (reason,))
    return Shortlist("baseline", 1, 1, (place,), (place,))


def links_of(markdown: str) -> list[str]:
    return [str(token.attrGet("href")) for token in tokens_of(markdown) if token.type == "link_open"]


def test_functions_and_files_are_listed_with_reasons_and_links() -> None:
    assert render_hotspots(ranked(), seen_in()) == GOLDEN


@pytest.mark.parametrize(
    ("private", "publish_ranking", "is_there"),
    [(True, False, True), (True, True, True), (False, False, False), (False, True, True)],
)
def test_it_is_shown_if_the_repository_is_private_or_publishes_it(
    private: bool, publish_ranking: bool, is_there: bool
) -> None:
    fields = screen_check(ranked(), seen_in(private, publish_ranking=publish_ranking))
    assert ("### Look here first" in fields.text) is is_there
    assert ("Cart.add" in fields.summary + fields.text) is is_there


def test_it_comes_before_the_details() -> None:
    text = screen_check(ranked(), seen_in()).text
    assert text.startswith("### Look here first\n")
    assert "\n\n### What was left out\n" in text


def test_a_carried_ranking_links_to_the_commit_that_was_measured() -> None:
    text = screen_check(ranked(), seen_in(head_sha=NEWER_HEAD)).text
    assert {link.split("/")[6] for link in links_of(text)} == {HEAD}


class TestInTheSummary:
    def test_a_skip_points_to_the_ranking_below(self) -> None:
        summary = screen_check(ranked(density=0.0065), seen_in()).summary
        assert "Use the ranking instead: **Look here first**, below, lists the functions and files" in summary

    def test_a_skip_without_a_ranking_names_the_command(self) -> None:
        for stored in (ranked(density=0.0065), screened(at_density(0.0065))):
            summary = screen_check(stored, seen_in(private=False)).summary
            assert "Use the ranking instead: run `assay rank PATH` on a clone" in summary
            assert "Look here first" not in summary

    def test_a_run_does_not_point_to_the_ranking(self) -> None:
        assert "Use the ranking" not in screen_check(ranked(), seen_in()).summary

    def test_without_functions_there_is_nothing_to_rank(self) -> None:
        nothing = screened(dataclasses.replace(MEASUREMENT, density=None))
        assert "Use the ranking" not in screen_check(nothing, seen_in()).summary


@pytest.mark.parametrize(
    "stored",
    [
        screened(),
        ranked(Shortlist("baseline", 0, 0, (), ())),
        screened(ranking={}),
        screened(ranking={**dump_shortlist(SHORTLIST), "functions": [{"path": 5}]}),
        screened(ranking={**dump_shortlist(SHORTLIST), "scorer": None}),
    ],
    ids=["none", "empty", "nothing", "no place", "no scorer"],
)
def test_without_a_readable_ranking_the_verdict_is_posted_alone(stored: StoredScreening) -> None:
    fields = screen_check(stored, seen_in())
    assert "Look here first" not in fields.text + fields.summary
    assert fields.title == screen_check(screened(), seen_in()).title


def test_a_failed_screening_shows_no_ranking() -> None:
    stored = dataclasses.replace(failed("too large"), ranking=dump_shortlist(SHORTLIST))
    assert screen_check(stored, seen_in()).text == ""


def test_an_unknown_scorer_is_named_without_a_claim() -> None:
    markdown = render_hotspots(ranked(dataclasses.replace(SHORTLIST, scorer="@adapter")), seen_in())
    assert "Ranked by `@adapter`. This is not a list of defects" in markdown
    assert "a fixed formula" not in markdown


BY_ADAPTER = dataclasses.replace(
    SHORTLIST,
    scorer="adapter",
    retrained=Retrained("7", "2026-11-22T12:00:00+00:00", 1_700_000_000, 1_760_000_000, "tiny"),
)
BY_BLEND = dataclasses.replace(BY_ADAPTER, scorer="blend of adapter and activity")
WON = WonAdapter(7, "adapter", MEASURED_AT, Measured(0.549, 0.378, 0.682), "ranks")
STANDS_ON = (
    "Its recipe was judged on 2026-11-22 with `tiny`: Δρ against the baseline +0.549 (95 %: +0.378 to +0.682). It was "
    "then retrained on all labels from 2023-11-14 to 2025-10-09 and not judged again. This is not a list of defects"
)


class TestAdapter:
    @pytest.mark.parametrize(
        ("shortlist", "what"),
        [
            (BY_ADAPTER, "Ranked by a language model that was fine-tuned on this repository’s bug fixes."),
            (
                BY_BLEND,
                "Ranked half by a language model that was fine-tuned on this repository’s bug fixes and half by recent "
                "changes.",
            ),
        ],
        ids=["adapter", "blend"],
    )
    def test_its_ranking_says_how_it_was_judged_and_retrained(self, shortlist: Shortlist, what: str) -> None:
        markdown = render_hotspots(ranked(shortlist), seen_in(adapter=WON))
        assert f"{what} {STANDS_ON}" in markdown
        assert "a fixed formula" not in markdown

    def test_figures_of_another_run_are_not_shown_for_it(self) -> None:
        for adapter in (None, dataclasses.replace(WON, run_id=8)):
            markdown = render_hotspots(ranked(BY_ADAPTER), seen_in(adapter=adapter))
            assert "Its recipe was judged on 2026-11-22 with `tiny`. It was then retrained" in markdown
            assert "0.549" not in markdown

    @pytest.mark.parametrize(
        ("state", "said"),
        [
            ("coming", "It is about to rank this commit; until then the baseline is shown."),
            ("failed", "It could not rank this commit, so the baseline is shown. Reason: out of memory"),
            ("waits", "It ranks newer commits at most once a day and within the GPU budget."),
        ],
    )
    def test_the_text_says_why_the_baseline_stands_in_for_it(self, state: Any, said: str) -> None:
        adapter = dataclasses.replace(WON, state=state, reason="out of memory")
        markdown = render_hotspots(ranked(), seen_in(adapter=adapter))
        assert "A fine-tuned model did better here when it was judged: Δρ against the baseline +0.549" in markdown
        assert said in markdown
        assert "a fixed formula" in markdown

    def test_a_public_repository_shows_nothing_of_it(self) -> None:
        fields = screen_check(ranked(BY_ADAPTER), seen_in(private=False, adapter=WON))
        assert "0.549" not in fields.summary + fields.text

    def test_hostile_text_in_it_is_inert(self, subtests: pytest.Subtests) -> None:
        for hostile in HOSTILE:
            with subtests.test(hostile=hostile):
                said = "".join(c if c.isprintable() else "\ufffd" for c in hostile)[:MAX_NAME_LENGTH] or "x"
                shortlist = dataclasses.replace(BY_ADAPTER, retrained=Retrained(said, said, 1, 2, said))
                adapter = dataclasses.replace(WON, state="failed", reason=hostile)
                for stored in (ranked(shortlist), ranked()):
                    assert_ours(screen_check(stored, seen_in(adapter=adapter)).text, "acme/shop")


class TestHostileNames:
    def test_they_are_inert(self, subtests: pytest.Subtests) -> None:
        for hostile in HOSTILE:
            with subtests.test(hostile=hostile):
                said = "".join(c if c.isprintable() else "\ufffd" for c in hostile)
                shortlist = with_place(said[:MAX_PATH_LENGTH] or "a", said[:MAX_NAME_LENGTH], said[:120] or "x")
                assert_ours(screen_check(ranked(shortlist), seen_in(full_name=hostile)).text, "")
                assert_ours(screen_check(ranked(shortlist), seen_in()).text, "acme/shop")

    def test_a_hostile_scorer_and_repository_are_inert(self, subtests: pytest.Subtests) -> None:
        for hostile in HOSTILE:
            with subtests.test(hostile=hostile):
                said = "".join(c if c.isprintable() else "\ufffd" for c in hostile)[:200]
                shortlist = dataclasses.replace(SHORTLIST, scorer=said or "x")
                assert_ours(screen_check(ranked(shortlist), seen_in(full_name=hostile)).text, "")

    @given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=60))
    def test_a_link_leads_to_the_path_and_nowhere_else(self, path: str) -> None:
        for link in links_of(render_hotspots(ranked(with_place(path)), seen_in())):
            parts = urlsplit(link)
            assert (parts.scheme, parts.netloc, parts.query) == ("https", "github.com", "")
            assert unquote(parts.path) == f"/acme/shop/blob/{HEAD}/{path}"
            assert parts.fragment in ("", "L3")


def test_an_inexact_path_has_no_link() -> None:
    cases: list[str] = [
        "../../../evil/repo",
        "a/../b.py",
        "./a.py",
        "a//b.py",
        "/a.py",
        "a/",
        "caf\ufffd.py",
        "d" * 299 + "…",
    ]
    wrong = [
        (path, got) for path in cases if (got := links_of(render_hotspots(ranked(with_place(path)), seen_in()))) != []
    ]
    assert wrong == []


def test_an_uncertain_address_is_not_linked(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"web_url": "http://127.0.0.1:8000"}, HEAD),
        ({"web_url": "javascript:alert(1)//"}, HEAD),
        ({"full_name": "acme"}, HEAD),
        ({"full_name": "acme/../evil"}, HEAD),
        ({"full_name": "../shop"}, HEAD),
        ({"full_name": "acme/.."}, HEAD),
        ({"full_name": "acme/shop?x"}, HEAD),
        ({"full_name": "acme/shop\n"}, HEAD),
        ({}, "main"),
        ({}, HEAD[:7]),
    ]
    for changes, head_sha in cases:
        with subtests.test(changes=changes, head_sha=head_sha):
            stored = dataclasses.replace(ranked(), head_sha=head_sha)
            markdown = render_hotspots(stored, seen_in(**changes))
            assert links_of(markdown) == []
            assert "2. `pay` in `src/pay ment.py:7`: complexity 23, 130 lines" in markdown


def test_another_server_has_links_of_its_own() -> None:
    markdown = render_hotspots(ranked(), seen_in(web_url="https://ghes.example"))
    assert set(links_of(markdown)) == {link.replace("github.com", "ghes.example") for link in links_of(GOLDEN)}


def test_long_names_are_cut_and_long_paths_keep_their_end() -> None:
    markdown = render_hotspots(ranked(with_place("d" * 90 + "/" + "e" * 90 + "/cart.py", "n" * 160)), seen_in())
    assert f"`{'n' * 80}…` in [`…{'e' * 90}" not in markdown  # the path's last 99 characters begin before the e's
    assert f"1. `{'n' * 80}…` in [`…/{'e' * 90}/cart.py:3`](" in markdown


def test_the_largest_ranking_that_can_be_stored_fits_and_the_details_after_it_are_cut_first() -> None:
    said = (
        "touched 1,000 times in a year by 1,000 people",
        "1,000 fixes in two years",
        "complexity 1000",
        "9,999 lines",
    )
    place = Place("😀" * MAX_PATH_LENGTH, "`" * MAX_NAME_LENGTH, 1 << 40, said)
    shortlist = Shortlist("baseline", 1 << 40, 1 << 40, (place,) * 20, (place,) * 10)
    notes = tuple(f"{n} @bob ä" * 40 for n in range(1_000))
    fields = screen_check(
        screened(dataclasses.replace(MEASUREMENT, notes=notes), ranking=dump_shortlist(shortlist)), seen_in()
    )
    assert_ours(fields.text, "acme/shop")
    assert links_of(fields.text) == []  # its address would be longer than anyone's
    assert "10. " in fields.text.partition("each with its riskiest function")[2]
    assert fields.text.endswith("Run `assay screen` on a clone to see everything.*")


def assert_ours(markdown: str, full_name: str) -> None:
    """Inert, of the size that GitHub takes, and with links to one repository only."""
    assert_inert(markdown, OURS | LINKS)
    assert len(markdown.encode()) <= MAX_BYTES
    assert all(full_name and link.startswith(f"https://github.com/{full_name}/blob/") for link in links_of(markdown))
