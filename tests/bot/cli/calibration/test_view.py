import io
from typing import Any

import pytest
from rich.console import Console

from bot.cli.calibration.view import change_fields, density_axis, describe, render
from pipeline.calibration.calibration_set import change, replay
from pipeline.calibration.ledger_entries import Entry, Excluded, Recorded
from tests.builders.outcomes import outcome
from tests.builders.predictions import AT, prediction
from tests.builders.seeds import seed

SEED = seed()


def fields(*entries: Entry) -> dict[str, Any]:
    return describe(replay(entries, SEED))


def page(result: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(render(result))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_documented_fields_are_present() -> None:
    found = fields()
    assert found["threshold"] == 0.045
    assert found["threshold_source"] == "seed"
    assert found["band"][0] < 0.045 < found["band"][1]
    assert found["separable"] is True
    assert found["winners"] == [{"repo": "win/one", "density": 0.1}, {"repo": "win/two", "density": 0.06}]
    assert [loser["repo"] for loser in found["losers"]] == ["loss/one", "loss/two"]
    assert found["counterexamples"] == []
    assert (found["accuracy"], found["leave_one_out"]) == (1.0, 0.75)
    assert found["accuracy_low"] < found["accuracy"] <= found["accuracy_high"]
    assert [o["left_out_right"] for o in found["outcomes"]] == [True, False, True, True]
    assert (found["published"], found["measured"]) == (4, 0)


def test_an_outcome_shows_whether_it_counts_and_why_not() -> None:
    found = fields(
        Recorded(AT, (outcome("loss", "a", 0.01), outcome("INCONCLUSIVE", "b", 0.01))),
        Excluded(AT, "win/two", "doubtful"),
    )
    by_repo = {o["repo"]: o for o in found["outcomes"]}
    assert (by_repo["a/a"]["counts"], by_repo["b/b"]["counts"], by_repo["win/two"]["counts"]) == (True, False, False)
    assert by_repo["win/two"]["excluded_because"] == "doubtful"
    assert found["exclusions"] == {"win/two": "doubtful"}
    assert by_repo["b/b"]["left_out_threshold"] is None


def test_outcomes_of_other_label_recipes_are_counted_but_not_mixed_in() -> None:
    found = fields(Recorded(AT, (outcome("loss", "a", 0.9, label_recipe_id="f" * 12),)))
    assert found["other_label_recipes"] == 1
    assert "a/a" not in [o["repo"] for o in found["outcomes"]]
    assert "Not shown: 1 outcome of other label recipes" in page(found)


def test_settled_predictions_are_reported_with_their_selection_bias() -> None:
    found = fields(prediction("a/a"), Recorded(AT, (outcome("hard", "a", 0.05),)))
    assert found["predictions"]["false_positives"] == ["a/a"]
    assert found["predictions"]["accuracy"] == 0.0
    assert "1 wrong RUN, 0 wrong SKIP" in page(found)
    assert "Normally only repositories with the verdict RUN are fine-tuned" in page(found)


def test_the_win_curve_is_given_at_the_threshold() -> None:
    many = tuple(outcome("win" if i % 2 else "loss", f"r{i}", 0.03 + i / 1000) for i in range(30))
    curve = fields(Recorded(AT, many))["win_curve"]
    assert 0 < curve["at_threshold"] < 1
    assert fields()["win_curve"] is None


def test_the_text_shows_threshold_band_outcomes_and_their_basis() -> None:
    shown = page(fields())
    assert "Threshold 0.0450 from the shipped seed data; too close to call from" in shown
    assert "The threshold rests on 4 outcomes (4 published, 0 measured here)" in shown
    for name in ("win/one", "win/two", "loss/one", "loss/two"):
        assert name in shown


def test_the_axis_has_winners_above_losers_below_and_the_threshold_between() -> None:
    winners, axis, losers, labels = (line.plain for line in density_axis(fields(), columns=40))
    assert winners.count("▲") == 2
    assert losers.count("▼") == 2
    assert losers.rindex("▼") < axis.index("┃") < winners.index("▲")
    assert axis[axis.index("┃") - 1] == axis[axis.index("┃") + 1] == "▒"
    assert len(axis) == 9 + 40
    assert "0.05" in labels


def test_marks_on_one_column_are_counted() -> None:
    same = Recorded(AT, tuple(outcome("loss", f"x{i}", 0.03) for i in range(11)))
    losers = density_axis(fields(same))[2].plain
    assert "9" in losers


def test_a_change_says_what_moved_and_which_verdicts_flipped() -> None:
    before, after = replay([], SEED), replay([Recorded(AT, (outcome("loss", "new", 0.05),))], SEED)
    changed = change([prediction("x/x", 0.05), prediction("y/y", 0.09)], before.calibrate(), after.calibrate())
    result = describe(after) | change_fields(changed)
    assert (result["threshold_before"], result["threshold_after"]) == (pytest.approx(0.045), pytest.approx(0.055))
    assert [flip["repo"] for flip in result["flips"]] == ["x/x"]
    assert "Threshold 0.0450 → 0.0550, 1 verdict flipped." in page(result)
    assert "x/x: RUN → SKIP (density 0.0500 → 0.0500)" in page(result)
    assert "1 verdict would flip." in page(result | {"dry_run": True})


def test_a_repository_not_yet_screened_under_the_new_recipe_is_named() -> None:
    found = replay([], SEED)
    changed = change([prediction("x/x")], found.calibrate(), found.calibrate("f" * 12))
    assert "Not yet screened under label recipe" in page(describe(found) | change_fields(changed))


def test_names_and_reasons_are_not_markup() -> None:
    sly = Recorded(AT, (outcome("loss", "[red]x[/red][link=http://evil]", 0.02),))
    shown = page(fields(sly, Excluded(AT, "win/two", "[bold]no")))
    assert "[red]x[/red]" in shown
    assert "no: [bold]no" in shown


def test_an_empty_set_is_rendered() -> None:
    excluded = [Excluded(AT, repo, "x") for repo in ("win/one", "win/two", "loss/one", "loss/two")]
    shown = page(fields(*excluded))
    assert "The calibration set has no outcome" in shown
