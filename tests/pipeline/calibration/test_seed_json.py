import json
from typing import Any

import pytest

from pipeline.calibration.seed_json import parse_seed, render_seed
from pipeline.json_fields import MalformedError
from tests.builders.outcomes import RECIPE
from tests.builders.seeds import measurement, seed, unmeasurable

SEED = seed(win_two=measurement(1 / 30, notes=("9 objects missing: 3 pairs left out",)), extra_win=unmeasurable(0.07))


def changed(*path: Any, value: Any) -> bytes:
    """The file with the value at `path` replaced, or removed where the value is `...`."""
    whole = json.loads(render_seed(SEED))
    inner = whole
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return json.dumps(whole).encode()


def test_a_seed_survives_a_round_trip_to_the_last_digit() -> None:
    assert parse_seed(render_seed(SEED).encode(), "seed.json") == SEED


def test_the_file_has_the_documented_fields() -> None:
    first = json.loads(render_seed(SEED))["repositories"][0]
    assert (first["name"], first["outcome"], first["as_of"]) == ("win/one", "win", "2023-11-14T22:13:20Z")
    assert (first["density"], first["pairs"], first["measurable"]) == (0.10, 2_000, True)
    assert list(first["curves"]) == ["relative", "saturating", "maximum", "share", "presence"]
    assert [len(samples) for samples in first["samples"].values()] == [10] * 5


R = ("repositories", 1)


def test_a_wrong_field_is_named(subtests: pytest.Subtests) -> None:
    cases: list[tuple[tuple, Any, str]] = [
        (("schema_version",), 2, "schema_version: this version of Assay reads 1"),
        (("label_recipe_id",), "messages", "label_recipe_id: expected 12 hexadecimal digits"),
        (("label_recipe_id",), "f" * 12, "repositories[0].label_recipe_id: differs from that of the file"),
        (("published_as_of",), "last year", "published_as_of: expected a day such as"),
        (("threshold", "band"), [0.5], "threshold.band: expected two numbers"),
        (("threshold", "band"), [0.5, 0.4], "threshold.band: expected two numbers"),
        (("threshold", "value"), "0.05", "threshold.value: expected a number"),
        (("repositories",), {}, "repositories: expected a list"),
        ((*R, "name"), "win/one", "repositories: contains a repository twice"),
        ((*R, "outcome"), "WIN", "repositories[1].outcome: expected one of win, loss"),
        ((*R, "rho_adapter"), 1.5, "repositories[1].rho_adapter"),
        ((*R, "head_sha"), "HEAD", "repositories[1].head_sha: expected 40 hexadecimal digits"),
        ((*R, "as_of"), "2023-11-14T22:13:21Z", "repositories[1].as_of: differs from windows.as_of"),
        ((*R, "windows", "as_of"), 1e9, "repositories[1].windows.as_of: expected a whole number"),
        ((*R, "windows", "as_of"), 10**17, "repositories[1].windows.as_of: expected a whole number"),
        ((*R, "density"), 0.2, "repositories[1].density: differs from curves.relative"),
        ((*R, "density"), ..., "repositories[1].density: is missing"),
        ((*R, "pairs"), 0, "repositories[1].pairs: expected a whole number of at least 1"),
        ((*R, "positives"), 2_001, "repositories[1].positives: expected a whole number"),
        ((*R, "fix_commits"), 1_001, "repositories[1].fix_commits: expected a whole number"),
        ((*R, "held_out"), 9_999, "repositories[1].held_out: expected a whole number"),
        ((*R, "measurable"), False, "repositories[1].measurable: does not follow"),
        ((*R, "curves", "share"), ..., "repositories[1].curves.share: is missing"),
        ((*R, "samples", "share"), [0.1] * 9, "repositories[1].samples.share: expected 10 densities"),
        ((*R, "samples", "share", 3), None, "repositories[1].samples.share.3: expected a number"),
        ((*R, "notes"), [3], "repositories[1].notes.0: expected printable text"),
    ]
    for path, value, complaint in cases:
        with subtests.test(path=path, value=value, complaint=complaint):
            with pytest.raises(MalformedError) as refusal:
                parse_seed(changed(*path, value=value), "seed.json")
            assert f"seed.json.{complaint}" in str(refusal.value)


def test_the_builder_of_invalid_files_starts_from_a_valid_one() -> None:
    assert parse_seed(changed("label_recipe_id", value=RECIPE), "seed.json") == SEED
