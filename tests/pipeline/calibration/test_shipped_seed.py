"""No figure in the published table is typed by hand: everything follows from the shipped records."""

from importlib.resources import files
from pathlib import Path

import pytest

from pipeline.calibration.published import load_published
from pipeline.calibration.reproduced import load_reproduced
from pipeline.calibration.seed import Seed, load_seed
from pipeline.calibration.seed_json import render_seed
from pipeline.label_recipe import MESSAGES
from pipeline.reports.published_table import render_published_table

DOCS = Path(__file__).parents[3] / "docs" / "results" / "published-table.md"


@pytest.fixture(scope="module")
def shipped() -> Seed:
    return load_seed()


def test_it_was_measured_under_the_label_recipe_of_this_release(shipped: Seed) -> None:
    assert shipped.label_recipe_id == MESSAGES.id


def test_it_holds_the_published_facts_of_all_twelve_repositories(shipped: Seed) -> None:
    facts = load_published()
    assert tuple(record.published for record in shipped.records) == facts.repositories
    assert shipped.published_as_of == facts.published_as_of


def test_threshold_and_band_follow_from_the_records(shipped: Seed) -> None:
    derived, stored = shipped.calibrate().threshold, shipped.threshold
    assert derived.separable == stored.separable
    # The resamples are the same on every machine; a last digit may differ.
    for field in ("value", "band_low", "band_high"):
        assert getattr(derived, field) == pytest.approx(getattr(stored, field), rel=1e-12)


def test_the_page_follows_from_the_records(shipped: Seed) -> None:
    assert DOCS.read_text(encoding="utf-8") == render_published_table(shipped, load_reproduced())


def test_the_file_is_exactly_as_the_command_writes_it(shipped: Seed) -> None:
    assert (files("pipeline.calibration") / "seed.json").read_text(encoding="utf-8") == render_seed(shipped)
