from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.calibration import seed as seed_module
from pipeline.calibration.seed import SeedError, assemble, load_seed
from pipeline.calibration.seed_json import render_seed
from pipeline.records import AssayError
from tests.builders.outcomes import RECIPE
from tests.builders.screenings import windows
from tests.builders.seeds import facts, measurement, seed, unmeasurable


def test_the_threshold_is_fitted_on_the_table_alone() -> None:
    made = seed()
    assert made.threshold.value == 0.045  # between .06 and .03; the loser at .07 is outside the table
    assert (made.threshold.source, made.threshold.separable) == ("seed", True)
    assert [o.repo for o in made.outcomes()] == ["win/one", "win/two", "loss/one", "loss/two"]


def test_an_unmeasurable_repository_is_kept_but_does_not_calibrate() -> None:
    made = seed(win_two=unmeasurable(0.06))
    assert len(made.records) == 6
    assert made.threshold.value == pytest.approx(0.065)
    assert "win/two" not in [o.repo for o in made.outcomes()]


@pytest.mark.parametrize(("held_out", "positives", "measurable"), [(200, 20, True), (199, 20, False), (200, 19, False)])
def test_a_repository_is_measurable_if_a_run_could_be_judged(held_out: int, positives: int, measurable: bool) -> None:
    assert measurement(held_out=held_out, held_out_positives=positives).measurable is measurable


def test_too_little_history_cannot_be_measured() -> None:
    assert not measurement(windows=windows(too_little_history=True)).measurable


def test_published_outcomes_are_older_than_any_measured_here() -> None:
    first = seed().outcomes()[0]
    assert (first.provenance, first.decided_at, first.label_recipe_id) == ("published", "", RECIPE)
    assert (first.outcome, first.density, first.pairs) == ("WIN", 0.10, 2_000)
    assert first.density_low == pytest.approx(0.09)


def test_the_stored_threshold_follows_from_the_records() -> None:
    made = seed()
    derived = made.calibrate().threshold
    assert (derived.value, derived.band_low, derived.band_high) == (
        made.threshold.value,
        made.threshold.band_low,
        made.threshold.band_high,
    )


def test_the_fix_share_of_no_commits_is_zero() -> None:
    assert measurement(commits=0, fix_commits=0).fix_share == 0.0
    assert measurement(commits=400, fix_commits=100).fix_share == 0.25


def test_missing_measurements_are_named() -> None:
    with pytest.raises(SeedError, match="not measured: win/two, loss/one, loss/two, extra/win, extra/loss"):
        assemble(facts(), {"win/one": measurement()}, RECIPE)


def test_records_of_one_class_give_no_seed() -> None:
    few = {p.name: unmeasurable() if p.outcome == "win" else measurement() for p in facts().repositories}
    with pytest.raises(AssayError, match="has no win"):
        assemble(facts(), few, RECIPE)


def test_the_seed_is_read_from_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed_module, "files", lambda package: tmp_path)
    earlier = replace(seed(), threshold=replace(seed().threshold, value=0.01))
    (tmp_path / "seed.json").write_text(render_seed(seed()), encoding="utf-8")
    (tmp_path / "seed_1.json").write_text(render_seed(earlier), encoding="utf-8")
    loaded = load_seed()
    assert replace(loaded, earlier=()) == seed()
    assert [e.threshold.value for e in loaded.earlier] == [0.01]


def test_a_missing_seed_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed_module, "files", lambda package: tmp_path)
    with pytest.raises(SeedError, match="is missing: reinstall Assay, or measure it with `assay calibration seed`"):
        load_seed()
