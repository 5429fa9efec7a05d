import dataclasses

import pytest

from pipeline.calibration.calibration_set import CalibrationSet, adoption, change, replay, require_known, track_record
from pipeline.calibration.ledger_entries import Entry, Excluded, Included, Moved, Recorded
from pipeline.calibration.seed_records import Seed, SeedRecord, fit_records
from pipeline.label_recipe import MESSAGES, MESSAGES_1, MESSAGES_API, MESSAGES_API_1
from pipeline.records import AssayError
from tests.builders.outcomes import RECIPE, outcome, outcomes
from tests.builders.predictions import AT, prediction
from tests.builders.seeds import seed

OTHER = "f" * 12
SEED = seed()  # winners .10 and .06, losers .03 and .02: threshold .045


def after(*entries: Entry) -> CalibrationSet:
    return replay(entries, SEED)


def test_without_a_ledger_the_seed_decides() -> None:
    fresh = after()
    assert (fresh.deciding, fresh.pinned) == (RECIPE, False)
    assert [o.repo for o in fresh.outcomes] == ["win/one", "win/two", "loss/one", "loss/two"]
    assert fresh.calibrate().threshold == SEED.threshold
    assert fresh.calibrate().threshold.source == "seed"


def test_a_recorded_outcome_joins_the_published_ones_and_moves_the_threshold() -> None:
    moved = after(Recorded(AT, (outcome("loss", "new", 0.05),))).calibrate()
    assert moved.threshold.source == "calibration"
    assert moved.threshold.value == pytest.approx(0.055)
    assert (moved.standing.published, moved.standing.measured) == (4, 1)


def test_the_same_outcome_twice_is_one() -> None:
    entry = Recorded(AT, tuple(outcomes("loss a .05")))
    assert after(entry, entry) == dataclasses.replace(after(entry), history=(entry, entry))


def test_an_excluded_repository_does_not_count_before_or_after_until_it_is_included() -> None:
    early, late = (Recorded(AT, (outcome("loss", "a", density),)) for density in (0.05, 0.051))
    excluded = Excluded(AT, "a/a", "a fork of b")
    assert after(early, excluded, late).calibrate().threshold.value == SEED.threshold.value
    assert {o.excluded_because for o in after(early, excluded, late).outcomes if o.repo == "a/a"} == {"a fork of b"}
    assert after(early, excluded, late, Included(AT, "a/a")).calibrate().threshold.value > SEED.threshold.value


def test_published_outcomes_can_be_excluded_too() -> None:
    found = after(Excluded(AT, "win/two", "doubtful"))
    assert found.calibrate().threshold.value == pytest.approx(0.065)
    assert found.calibrate().threshold.source == "calibration"


def test_if_a_class_is_excluded_the_seed_threshold_is_used() -> None:
    found = after(Excluded(AT, "win/two", "x"), Excluded(AT, "win/one", "x"))
    assert found.calibrate().threshold == SEED.threshold


def test_a_recipe_without_a_seed_borrows_the_current_threshold_of_messages() -> None:
    found = after(Recorded(AT, (outcome("loss", "new", 0.05),))).calibrate(OTHER)
    assert found.threshold.source == "borrowed"
    assert found.threshold.value == pytest.approx(0.055)
    assert found.threshold.band_low <= 0.7 * 0.055 + 1e-9
    assert found.threshold.band_high >= 1.3 * 0.055 - 1e-9
    assert found.standing.outcomes == 0


def test_a_pinned_recipe_keeps_deciding_with_its_own_seed_when_a_release_ships_another() -> None:
    old = adoption(SEED, RECIPE, AT)
    newer = dataclasses.replace(
        SEED, label_recipe_id=OTHER, threshold=dataclasses.replace(SEED.threshold, value=0.2), records=()
    )
    found = replay([old], newer)
    assert (found.deciding, found.pinned) == (RECIPE, True)
    assert found.calibrate().threshold == SEED.threshold
    assert replay([old, adoption(newer, OTHER, AT)], newer).deciding == OTHER


def test_the_shipped_seed_replaces_the_recorded_seed_of_the_same_recipe() -> None:
    stale = dataclasses.replace(adoption(SEED, RECIPE, AT), seed_outcomes=())
    assert len(replay([stale], SEED).outcomes) == 4


def test_adopting_a_recipe_without_a_seed_records_none() -> None:
    assert adoption(SEED, OTHER, AT).seed_threshold is None
    assert adoption(SEED, OTHER, AT).seed_outcomes == ()
    assert replay([adoption(SEED, OTHER, AT)], SEED).calibrate().threshold.source == "borrowed"


def test_the_previous_threshold_decides_ties() -> None:
    # One error in each of .025-.045 and .055-.075, equally wide; the last recorded threshold is nearer the upper one.
    tie = "loss p .005, win q .105, loss a .025, win b .045, loss c .055, win d .075"
    gone: list[Entry] = [Excluded(AT, repo, "x") for repo in ("win/one", "win/two", "loss/one", "loss/two")]
    entries: list[Entry] = [*gone, Recorded(AT, tuple(outcomes(tie)))]
    assert after(*entries).calibrate().threshold.value == pytest.approx(0.035)  # the seed's .045 is nearer this one
    assert after(*entries, Moved(AT, RECIPE, 0.06, "v")).calibrate().threshold.value == pytest.approx(0.065)


def test_flips_are_the_newest_predictions_whose_verdict_changes() -> None:
    before, later = after().calibrate(), after(Recorded(AT, (outcome("loss", "new", 0.05),))).calibrate()  # .045, .055
    predictions = [
        prediction("old/old", 0.050),
        prediction("a/a", 0.020, "SKIP"),
        prediction("a/a", 0.050),
        prediction("old/old", 0.099),
        prediction("low/low", 0.044, "SKIP"),
        prediction("few/few", 0.050, "SKIP", measurable=False),
        prediction("none/none", None, "SKIP", measurable=False),
        prediction("at/at", 0.055),
    ]
    found = change(predictions, before, later)
    assert [(f.repo, f.verdict_before, f.verdict_after) for f in found.flips] == [("a/a", "RUN", "SKIP")]
    assert found.not_measured == ()
    assert change(predictions, before, before).flips == ()


def test_each_label_recipe_judges_its_own_densities() -> None:
    found = after()
    predictions = [
        prediction("a/a", 0.050),
        prediction("a/a", 0.010, label_recipe_id=OTHER),
        prediction("b/b", 0.050),
        prediction("c/c", 0.050, label_recipe_id=OTHER),
    ]
    flips = change(predictions, found.calibrate(), found.calibrate(OTHER))
    assert [(f.repo, f.density_before, f.density_after) for f in flips.flips] == [("a/a", 0.05, 0.01)]
    assert flips.not_measured == ("b/b",)


def test_the_track_record_has_predictions_made_before_their_outcome() -> None:
    found = after(
        prediction("right/right", verdict="RUN"),
        prediction("fp/fp", verdict="SKIP"),
        prediction("fp/fp", verdict="RUN"),
        prediction("fn/fn", verdict="SKIP"),
        Recorded(AT, (outcome("win", "right"), outcome("hard", "fp"), outcome("win", "fn"), outcome("win", "unasked"))),
        prediction("unasked/unasked", verdict="SKIP"),
        prediction("fp/fp", verdict="SKIP"),
    )
    track = track_record(found, RECIPE)
    assert (track.false_positives, track.false_negatives) == (("fp/fp",), ("fn/fn",))
    assert track.accuracy is not None
    assert (track.accuracy.right, track.accuracy.of) == (1, 3)
    assert track_record(found, OTHER).accuracy is None


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "INCONCLUSIVE"},
        {"provenance": "published"},
        {"label_recipe_id": OTHER},
        {"decided_at": "2026-02-28"},  # decided the day before the prediction, recorded after it
    ],
)
def test_outcomes_that_do_not_test_a_prediction_are_not_in_the_track_record(changes: dict) -> None:
    found = after(prediction("a/a"), Recorded(AT, (outcome("win", "a", **changes),)))
    assert track_record(found, RECIPE).settled == ()


def test_an_excluded_repository_is_not_in_the_track_record() -> None:
    entries: list[Entry] = [prediction("a/a"), Recorded(AT, (outcome("win", "a"),))]
    assert len(track_record(after(*entries), RECIPE).settled) == 1
    assert track_record(after(*entries, Excluded(AT, "a/a", "x")), RECIPE).settled == ()


def test_an_unknown_repository_is_an_error_that_lists_known_ones() -> None:
    require_known(after(), "win/one")
    with pytest.raises(
        AssayError, match=r"win/three is not in the calibration set, which has: loss/one, loss/two, win"
    ):
        require_known(after(), "win/three")


def _measured_under(label_recipe_id: str, denser: float) -> Seed:
    """The usual seed, under another recipe by which every repository is denser by so much."""

    def measured(record: SeedRecord) -> SeedRecord:
        known = record.measured
        density = dataclasses.replace(known.density, value=known.density.value + denser)
        return dataclasses.replace(
            record, measured=dataclasses.replace(known, label_recipe_id=label_recipe_id, density=density)
        )

    records = tuple(map(measured, SEED.records))
    threshold = dataclasses.replace(fit_records(records, label_recipe_id).threshold, source="seed")
    return Seed(label_recipe_id, SEED.published_as_of, threshold, records)


class TestAnEarlierVersionOfTheLabelRules:
    """Pinned to it, a server goes on as before when a release brings a new version with a seed of its own."""

    OLD = _measured_under(MESSAGES_1.id, 0)
    NEW = _measured_under(MESSAGES.id, 0.1)

    def test_the_adopted_recipe_goes_on_deciding_by_its_own_seed(self) -> None:
        pin = adoption(self.OLD, MESSAGES_1.id, AT)
        before = replay([pin], self.OLD)
        upgraded = replay([pin], dataclasses.replace(self.NEW, earlier=(self.OLD,)))
        assert (upgraded.deciding, upgraded.pinned) == (MESSAGES_1.id, True)
        assert upgraded.calibrate() == before.calibrate()

    def test_with_issues_it_borrows_from_its_own_version(self) -> None:
        pin = adoption(self.OLD, MESSAGES_API_1.id, AT)
        upgraded = replay([pin], dataclasses.replace(self.NEW, earlier=(self.OLD,)))
        assert upgraded.calibrate() == replay([pin], self.OLD).calibrate()
        assert upgraded.calibrate(MESSAGES_API.id).threshold.value == pytest.approx(0.145)

    def test_it_can_be_adopted_by_a_new_server(self) -> None:
        release = dataclasses.replace(self.NEW, earlier=(self.OLD,))
        adopted = replay([adoption(release, MESSAGES_1.id, AT)], release)
        assert adopted.calibrate().threshold == self.OLD.threshold
        assert release.calibrate().threshold.value == pytest.approx(0.145)
