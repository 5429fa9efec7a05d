import pytest

from pipeline.calibration.import_export import parse_exchange
from pipeline.calibration.seed import load_seed
from pipeline.calibration.threshold import fit
from pipeline.label_recipe import MESSAGES
from pipeline.records import Outcome
from tests.builders.demo_calibration import (
    FIRST_THRESHOLD,
    LOSERS,
    WINNERS,
    demo_exchange,
    demo_outcomes,
    threshold_after_a_win,
)
from tests.builders.demo_story import BUSY


def fitted(*more: Outcome, family: str | None = "tiny") -> float:
    outcomes = (*load_seed().outcomes(), *demo_outcomes("tiny"), *more)
    return fit(outcomes, label_recipe_id=MESSAGES.id, base_model_family=family).threshold.value


def outcome(kind: str) -> Outcome:
    return Outcome("demo/busy-checkout", BUSY.density, kind, "measured", MESSAGES.id, base_model_family="tiny")  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ["tiny", None])
def test_the_demo_set_alone_decides_at_first(family: str | None) -> None:
    calibration = fit(
        (*load_seed().outcomes(), *demo_outcomes("tiny")), label_recipe_id=MESSAGES.id, base_model_family=family
    )
    assert calibration.threshold.value == pytest.approx(0.11, abs=1e-12) == pytest.approx(FIRST_THRESHOLD)
    assert (calibration.standing.published, calibration.standing.measured) == (0, 20)
    assert calibration.threshold.separable


def test_every_point_of_the_demo_set_is_named_as_made_up() -> None:
    assert {o.repo.partition("-")[0] for o in demo_outcomes("tiny")} == {"demo/made"}
    assert len({o.repo for o in demo_outcomes("tiny")}) == len(WINNERS) + len(LOSERS) == 20


def test_a_win_of_the_busy_one_moves_the_threshold_to_the_middle_between_it_and_the_strongest_loser() -> None:
    """(161 / 1,104 + 0.02) / 2 = 0.0829167 to seven digits."""
    assert fitted(outcome("WIN")) == pytest.approx(0.082916667, abs=1e-9)
    assert threshold_after_a_win(BUSY.density) == pytest.approx(0.082916667, abs=1e-9)


@pytest.mark.parametrize("kind", ["SOFT LOSS", "HARD LOSS"])
def test_a_loss_would_move_it_the_other_way(kind: str) -> None:
    """(0.20 + 161 / 1,104) / 2."""
    assert fitted(outcome(kind)) == pytest.approx((0.20 + 161 / 1_104) / 2, abs=1e-12)


def test_without_a_conclusive_outcome_nothing_moves() -> None:
    assert fitted(outcome("INCONCLUSIVE")) == pytest.approx(0.11, abs=1e-12)


def test_the_file_for_an_import_holds_the_set_and_nothing_else() -> None:
    assert parse_exchange(demo_exchange("tiny").encode(), "demo.json") == demo_outcomes("tiny")
