from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.messages.charts import WIDTH, draw_density_chart
from bot.messages.check_run import MAX_TITLE, NEVER_BLOCKS
from bot.messages.markdown import MAX_BYTES
from bot.messages.screen_check import FINE_TUNE, RESCREEN, screen_check
from bot.records import CheckRunFields
from pipeline.calibration.threshold import borrow
from pipeline.label_recipe import MESSAGES_API
from pipeline.records import (
    Density,
    Diagnosis,
    ExcludedFolder,
    IssueLabels,
    Obstacle,
    OtherDensity,
    SourceFiles,
    Standing,
    Threshold,
)
from pipeline.screening.measurement import ExcludedCount, Measurement
from tests.bot.messages.screenings import (
    CALIBRATION,
    DENSE,
    HEAD,
    MEASUREMENT,
    NEWER_HEAD,
    WINDOWS,
    at_density,
    failed,
    screened,
    situation,
)
from tests.bot.messages.test_markdown import HOSTILE, LIST, LIVE, STRUCTURE, assert_inert, tokens_of

OURS = STRUCTURE | LIST | {"heading_open", "heading_close", "strong_open", "strong_close", "em_open", "em_close"}
YOUNG = dataclasses.replace(
    MEASUREMENT,
    windows=dataclasses.replace(WINDOWS, history_days=100.0, window_days=44.0, too_little_history=True),
    held_out=12,
    held_out_positives=0,
)

DIAGNOSIS = Diagnosis(
    credited=612, keyword_alone=200, effective_positives=166.2, inflation=3.355, issues=IssueLabels(340, 312, 12)
)
DIAGNOSED = dataclasses.replace(
    MEASUREMENT,
    diagnosis=DIAGNOSIS,
    other=OtherDensity(MESSAGES_API.name, MESSAGES_API.id, dataclasses.replace(DENSE, value=0.0473)),
    evidence_note="640 issues and pull requests of this period are known.",
)


def checked(measurement: Measurement = MEASUREMENT, **changes: object) -> CheckRunFields:
    return screen_check(screened(measurement), situation(**changes))


class TestTitles:
    def test_the_title_gives_the_verdict_and_the_conclusion_never_blocks(self, subtests: pytest.Subtests) -> None:
        cases: list[tuple[Measurement, str, str]] = [
            (
                MEASUREMENT,
                "worth trying (RUN): density 0.0394 (0.0331–0.0462), threshold 0.0193",
                "success",
            ),
            (
                at_density(0.021),
                "too close to call, leaning RUN: density 0.0210 (0.0176–0.0246), threshold 0.0193",
                "success",
            ),
            (
                at_density(0.018),
                "too close to call, leaning SKIP: density 0.0180 (0.0151–0.0211), threshold 0.0193",
                "neutral",
            ),
            (
                at_density(0.0065),
                "not worth it (SKIP): use the ranking; density 0.00650 (0.00546–0.00762), threshold 0.0193",
                "neutral",
            ),
            (
                YOUNG,
                "a run could not be judged (SKIP), too little history: density 0.0394 (0.0331–0.0462), "
                "threshold 0.0193",
                "neutral",
            ),
            (
                dataclasses.replace(MEASUREMENT, density=None),
                "cannot be measured (SKIP), too little code: no density, threshold 0.0193",
                "neutral",
            ),
            (
                dataclasses.replace(MEASUREMENT, held_out=90),
                "a run could not be judged (SKIP), too few held-out functions or fixes: density 0.0394 "
                "(0.0331–0.0462), threshold 0.0193",
                "neutral",
            ),
            (
                dataclasses.replace(at_density(0.0065), held_out=90),
                "cannot be measured (SKIP), too few held-out functions or fixes: density 0.00650 (0.00546–0.00762), "
                "threshold 0.0193",
                "neutral",
            ),
        ]
        for measurement, title, conclusion in cases:
            with subtests.test(measurement=measurement, title=title, conclusion=conclusion):
                fields = checked(measurement)
                assert fields.title == title
                assert fields.conclusion == conclusion

    def test_a_carried_verdict_says_where_and_when_it_was_measured(self) -> None:
        fields = checked(head_sha=NEWER_HEAD)
        assert fields.title.endswith("; measured at abc1234 on 2026-11-22")
        assert "Measured at `abc1234` on 2026-11-22 and carried over to this commit." in fields.summary
        assert fields.head_sha == NEWER_HEAD

    def test_a_verdict_on_its_own_commit_does_not(self) -> None:
        fields = checked()
        assert "measured at" not in fields.title
        assert "carried" not in fields.summary


class TestButtons:
    def test_without_fine_tuning_there_is_no_button_and_the_text_names_the_alternative(self) -> None:
        fields = checked()
        assert fields.actions == (RESCREEN,)
        assert "This server does not offer fine-tuning." in fields.summary
        assert "`assay pairs PATH --out pairs.parquet`" in fields.summary

    @pytest.mark.parametrize(
        ("off_because", "text"),
        [
            (
                "server",
                "This server does not offer fine-tuning. Its operator has not set up a base model. `assay pairs",
            ),
            ("budget", "Fine-tuning is off until the operator of this server grants one. `assay pairs"),
            ("configuration", "The configuration of this repository or of its organization disables it. `assay pairs"),
        ],
    )
    def test_if_it_is_off_the_text_says_why(self, off_because: str, text: str) -> None:
        assert text in checked(off_because=off_because).summary

    @pytest.mark.parametrize(
        ("measurement", "comments_enabled", "said"),
        [
            (MEASUREMENT, True, "Press **Fine-tune** above, or comment `/finetune` on an issue."),
            (MEASUREMENT, False, "Press **Fine-tune** above."),
            (
                at_density(0.0065),
                True,
                "may start runs can override it: comment `/finetune --force` on an issue.",
            ),
            (at_density(0.0065), False, "The verdict advises against it."),
            (YOUNG, True, "Not yet: there is too little data to judge a run by"),
        ],
        ids=["run", "run, no comments", "skip", "skip, no comments", "cannot be judged"],
    )
    def test_if_it_is_on_the_text_says_how(self, measurement: Measurement, comments_enabled: bool, said: str) -> None:
        summary = checked(measurement, fine_tuning_on=True, comments_enabled=comments_enabled).summary
        how_to = summary.partition("### How to fine-tune\n\n")[2].partition("\n\n")[0]
        assert said in how_to
        assert comments_enabled or "comment" not in how_to

    def test_if_it_is_on_a_run_has_the_button_and_a_skip_does_not(self) -> None:
        run, skip = checked(fine_tuning_on=True), checked(at_density(0.0065), fine_tuning_on=True)
        assert run.actions == (FINE_TUNE, RESCREEN)
        assert skip.actions == (RESCREEN,)
        assert "does not offer fine-tuning" not in run.summary

    @pytest.mark.parametrize("action", [FINE_TUNE, RESCREEN])
    def test_buttons_keep_to_the_limits_of_github(self, action: object) -> None:
        sizes = {name: len(text) for name, text in dataclasses.asdict(action).items()}  # type: ignore[call-overload]
        assert sizes["label"] <= 20
        assert sizes["description"] <= 40
        assert sizes["identifier"] <= 20


class TestSummary:
    def test_it_begins_with_the_answer_and_ends_with_the_advice(self) -> None:
        summary = checked().summary
        headings = [line for line in summary.splitlines() if line.startswith("#")]
        assert summary.startswith("**Fine-tuning a language model on the bug fixes of `acme/shop` is worth trying.**")
        assert headings == [
            "### Where it stands",
            "### What counted as evidence",
            "### Why this verdict",
            "### What would change it",
            "### What the threshold rests on",
            "### How to fine-tune",
        ]
        assert summary.endswith(
            f"{NEVER_BLOCKS} It is advice about GPU time and says nothing about the quality of the code."
        )

    def test_it_says(self) -> None:
        cases: list[str] = [
            "- 612 of 4,120 commits between 2023-11-23 and 2025-11-22 fix a bug.",
            "83 % of their credit comes from words such as fix or bug in the subject, 17 % from subjects that begin "
            "with `fix:`.",
            "- 389 of 4,210 functions (9.2 %) had such a fix.",
            "about 1,702 functions would be held out, 131 of them with a fix",
            "The threshold rests on 7 outcomes (7 published, 0 measured here); leave-one-out gets 86 % of them right.",
            "On the wrong side of it: `acme/rocket`.",
            "The nearest above is `vuejs/core` (0.0481), which won. The nearest below is `facebook/react` (0.0298), "
            "which won.",
        ]
        wrong = [(said, got) for said in cases if said not in (got := checked().summary)]
        assert wrong == []

    def test_the_basis_of_the_threshold_is_given_once(self) -> None:
        assert checked().summary.count("leave-one-out") == 1

    def test_the_densest_of_all_has_no_neighbour_above(self) -> None:
        assert "None is denser." in checked(at_density(0.06)).summary

    def test_an_empty_calibration_set_is_shown_without_neighbours(self) -> None:
        empty = dataclasses.replace(CALIBRATION, standing=Standing(0, 0, 0, None))
        summary = screen_check(screened(calibration=empty), situation()).summary
        assert "The nearest " not in summary
        assert "The calibration set has no outcome" in summary

    def test_notes_on_the_configuration_are_listed(self) -> None:
        summary = checked(config_note="line 3: `bug_label` is not known\nline 9: @nobody").summary
        assert "### Configuration\n\n- line 3: `bug_label` is not known\n- line 9: `@nobody`" in summary

    def test_details_say_what_was_left_out_and_how_it_was_measured(self) -> None:
        text = checked().text
        assert "- tests only: 64 commits" in text
        assert "- shallow clone: `1f0c2ab` counts as the first commit" in text
        assert f"- Commit `{HEAD}`, on 2026-11-22" in text
        assert "own configuration" not in text
        assert "own configuration, `c0ffee`" in screen_check(screened(config_hash="c0ffee"), situation()).text


class TestDiagnosis:
    def test_the_diagnosis_both_densities_and_the_note_are_listed_under_the_evidence(self) -> None:
        evidence = checked(DIAGNOSED).summary.partition("### What counted as evidence")[2].partition("\n### ")[0]
        assert evidence.splitlines()[-6:] == [
            "- A keyword in the subject is the only evidence for 200 of 612 fix commits (33 %).",
            "- The effective sample size is 166 of 389 fixed functions; it falls as fixes concentrate in a few.",
            "- Labelling whole files would mark 3.4 times as many functions as fixed; Assay labels only "
            "functions whose lines a fix changed.",
            "- Of 340 issues closed in these years, 12 are labelled as bugs and 312 have no label.",
            "- With evidence from issues, pull requests and labels as well (label recipe messages+api/2), the "
            "density would be 0.0473; this does not affect the verdict.",
            "- 640 issues and pull requests of this period are known.",
        ]

    def test_advice_for_a_maintainer_is_listed_under_what_would_change_it(self) -> None:
        advice = checked(DIAGNOSED).summary.partition("### What would change it\n\n")[2].partition("\n\n")[0]
        assert advice.splitlines()[1:] == ["- Label bug issues: 312 of 340 closed issues have no label."]

    def test_if_issues_were_read_the_text_does_not_claim_that_only_subjects_were(self) -> None:
        unread = dataclasses.replace(DIAGNOSIS, issues=None)
        assert "Only commit subjects were read." in checked(dataclasses.replace(DIAGNOSED, diagnosis=unread)).summary
        assert "Only commit subjects were read." not in checked(DIAGNOSED).summary

    def test_missing_evidence_from_issues_is_explained(self) -> None:
        note = "The App may not read issues, so this verdict is based on commit messages alone."
        assert f"- {note}" in checked(dataclasses.replace(MEASUREMENT, evidence_note=note)).summary

    def test_a_measurement_of_an_earlier_release_is_shown_without_the_diagnosis(self) -> None:
        stored = screened()
        kept = {k: v for k, v in stored.measurement.items() if k not in ("diagnosis", "other", "evidence_note")}
        old = screen_check(dataclasses.replace(stored, measurement=kept), situation())
        assert old == screen_check(stored, situation())
        assert "nothing but a word" not in old.summary

    def test_a_borrowed_threshold_is_marked_with_its_band(self) -> None:
        borrowed = dataclasses.replace(CALIBRATION, threshold=borrow(CALIBRATION.threshold))
        rests_on = screen_check(screened(calibration=borrowed), situation()).summary
        rests_on = rests_on.partition("### What the threshold rests on")[2].partition("###")[0]
        # 0.01934 less and more 30 %
        assert (
            "It is borrowed from the recipe of commit messages alone; densities from 0.0135 to 0.0251 are too close "
            "to call." in rests_on
        )
        assert "borrowed" not in checked().summary

    def test_the_five_largest_groups_are_named_and_the_others_counted(self) -> None:
        groups = tuple(ExcludedCount(f"reason {name}", 70 - 10 * n) for n, name in enumerate("abcdefg"))
        text = checked(dataclasses.replace(MEASUREMENT, excluded=groups)).text
        named = [line for line in text.splitlines() if line.startswith("- reason")]
        assert named == [f"- reason {name}: {70 - 10 * n} commits" for n, name in enumerate("abcde")]
        assert "- 2 other reasons: 30 commits" in text
        assert "other reason" not in checked().text


class TestFailures:
    def test_a_failure_gives_its_reason_and_what_to_do(self) -> None:
        fields = screen_check(failed("https://github.com/acme/shop sends more than 4,295 MB: raise it"), situation())
        assert (fields.conclusion, fields.title) == ("neutral", "could not be measured")
        assert "Reason: `https://github.com/acme/shop` sends more than 4,295 MB: raise it" in fields.summary
        assert "press **Re-screen** above" in fields.summary
        assert fields.actions == (RESCREEN,)

    def test_a_hostile_reason_is_inert(self, subtests: pytest.Subtests) -> None:
        for hostile in HOSTILE:
            with subtests.test(hostile=hostile):
                assert_markdown_is_ours(screen_check(failed(hostile or " "), situation(config_note=hostile)))


def assert_markdown_is_ours(fields: CheckRunFields) -> None:
    for markdown in (fields.summary, fields.text):
        assert_inert(markdown, OURS)
        assert len(markdown.encode()) <= MAX_BYTES
    assert len(fields.title) <= MAX_TITLE
    assert fields.title.isprintable()


def as_kept(text: str) -> str:
    """What a measurement keeps of a text: it refuses to be read back with more."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)[:500] or "?"


class TestLeftOut:
    FILES = SourceFiles(
        read=35,
        excluded=(("test", 40), ("vendored", 9)),
        folders=(ExcludedFolder("tests/", "test", 38), ExcludedFolder("app/@pods/", "vendored", 1)),
    )

    def test_files_are_listed_by_rule_with_the_largest_folders(self) -> None:
        text = checked(dataclasses.replace(MEASUREMENT, files=self.FILES)).text
        left_out = text.partition("### What was left out")[2].partition("###")[0]
        assert "49 source files left out by path, by rule; 35 are read:" in left_out
        assert "- test: 40 files\n- vendored: 9 files" in left_out
        assert "Largest: `tests/` (38 files), `app/@pods/` (1 file)." in left_out

    def test_nothing_is_said_of_files_that_an_earlier_release_did_not_count(self) -> None:
        assert "source file" not in checked(MEASUREMENT).text

    def test_what_keeps_the_code_from_being_read_is_named_in_title_and_summary(self) -> None:
        partial = Obstacle("partial clone", "This is a partial clone: 3 objects were never fetched.")
        nothing = dataclasses.replace(MEASUREMENT, density=None, held_out=0, held_out_positives=0, obstacle=partial)
        fields = checked(nothing)
        assert fields.title == "cannot be measured (SKIP), partial clone: no density, threshold 0.0193"
        assert "so the verdict is SKIP: partial clone." in fields.summary
        assert "This is a partial clone: 3 objects were never fetched." in fields.summary
        assert "not enough data" not in fields.summary
        assert "too little" not in fields.title + fields.summary


class TestHostileRepositories:
    def test_hostile_text_from_a_repository_is_inert(self, subtests: pytest.Subtests) -> None:
        for hostile in HOSTILE:
            with subtests.test(hostile=hostile):
                said = as_kept(hostile)
                measurement = dataclasses.replace(
                    MEASUREMENT,
                    repo=said,
                    excluded=(ExcludedCount(said, 3),),
                    files=SourceFiles(1, (("test", 2),), (ExcludedFolder(said, "test", 2),)),
                    obstacle=Obstacle("partial clone", said),
                    notes=(said, as_kept(f"before {hostile} after")),
                    other=OtherDensity(said, said, DENSE),
                    evidence_note=said,
                )
                standing = Standing(2, 1, 1, 1.0, ((said, 0.05),), ((said, 0.01),), (said,))
                stored = screened(measurement, calibration=dataclasses.replace(CALIBRATION, standing=standing))
                stored = dataclasses.replace(stored, label_recipe_id=hostile, config_hash=hostile)
                named = dataclasses.replace(situation().repository, full_name=hostile, default_branch=hostile)
                assert_markdown_is_ours(screen_check(stored, situation(repository=named, config_note=hostile)))

    def test_more_notes_than_github_takes_are_cut_at_a_line(self) -> None:
        notes = tuple(f"{n} @bob ä" * 40 for n in range(1_000))
        fields = screen_check(screened(dataclasses.replace(MEASUREMENT, notes=notes)), situation())
        assert_markdown_is_ours(fields)
        assert len(fields.text.encode()) > MAX_BYTES - 2_000
        assert fields.text.endswith("Run `assay screen` on a clone to see everything.*")


class TestChart:
    def test_a_whole_chart(self) -> None:
        assert draw_density_chart(DENSE, CALIBRATION.threshold, CALIBRATION.standing) == [
            "won               o                          ░░░│░o    o      o",
            "this one                                     ░░░│░░     ├──#──┤",
            "did not win                o               o ░o░│░░",
            "density      ──────────────┴──────────┴──────────┴─────────────┴────",
            "                         0.005      0.01       0.02          0.05",
            "",
            "             │ threshold 0.0193   ░ too close to call, 0.0164 to 0.0222",
        ]

    def test_more_outcomes_than_can_be_told_apart_are_counted(self) -> None:
        standing = Standing(30, 30, 0, 1.0, tuple((f"w{n}", 0.03 + n / 1_000) for n in range(30)))
        assert draw_density_chart(DENSE, CALIBRATION.threshold, standing)[-1].strip() == (
            "6 outcomes farther from the threshold not shown"
        )

    def test_without_a_density_its_row_is_left_out(self) -> None:
        lines = draw_density_chart(None, CALIBRATION.threshold, CALIBRATION.standing)
        assert not any(line.startswith("this one") for line in lines)

    @given(
        st.lists(st.floats(0, 1), max_size=40),
        st.lists(st.floats(0, 1), max_size=40),
        st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)).map(sorted),
        st.tuples(st.floats(1e-9, 1), st.floats(1e-9, 1), st.floats(1e-9, 2)).map(sorted),
    )
    def test_no_chart_is_wider_than_72_columns(
        self, winners: list[float], losers: list[float], own: list[float], band: list[float]
    ) -> None:
        density = Density(own[1], own[0], own[2], 10, 5, 0.5, 0.5, 1.0, "relative")
        standing = Standing(1, 1, 0, None, tuple(("w", d) for d in winners), tuple(("l", d) for d in losers))
        lines = draw_density_chart(density, Threshold(band[1], band[0], band[2], "seed", True), standing)
        assert max(map(len, lines)) <= WIDTH


def test_the_text_of_every_verdict_is_inert() -> None:
    for measurement in (MEASUREMENT, DIAGNOSED, YOUNG, at_density(0.021), at_density(0.0065)):
        assert_markdown_is_ours(checked(measurement, head_sha=NEWER_HEAD))


def test_a_carried_verdict_is_dated_by_its_measurement() -> None:
    stored = dataclasses.replace(screened(), measured_at=datetime(2025, 1, 2, 23, 59, tzinfo=UTC))
    assert screen_check(stored, situation(head_sha=NEWER_HEAD)).title.endswith("on 2025-01-02")


def test_the_check_for_live_text_can_fail() -> None:
    assert all(LIVE.search(text) for text in ("@bob", "#1", "http://x", "www.x", "GH-1", ":tada:", "deadbeef"))
    assert "image" in {token.type for token in tokens_of("![x](y)")}
    assert "html_inline" in {token.type for token in tokens_of("a <b>")}
