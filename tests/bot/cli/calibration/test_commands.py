import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot.cli.calibration import commands
from bot.cli.calibration.commands import parse_outcome_kind
from bot.cli.main import run
from pipeline.calibration.ledger import open_ledger, read_entries
from pipeline.calibration.ledger_entries import Adopted
from pipeline.records import AssayError
from tests.builders.outcomes import RECIPE
from tests.builders.predictions import prediction
from tests.builders.seeds import seed

SEED = seed()  # winners .10 and .06, losers .03 and .02: threshold .045
Assay = Callable[..., dict[str, Any]]


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(commands, "load_seed", lambda: SEED)
    return tmp_path / "data"


@pytest.fixture
def assay(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> Assay:
    def call(*args: str, code: int = 0) -> dict[str, Any]:
        assert run(["calibration", *args, "--json"]) == code
        out = capsys.readouterr().out
        assert out.count("\n") == 1
        return json.loads(out)

    return call


def test_a_fresh_installation_shows_the_seed_and_writes_nothing(assay: Assay, data_dir: Path) -> None:
    shown = assay("show")
    assert (shown["threshold"], shown["threshold_source"], shown["label_recipe_id"]) == (0.045, "seed", RECIPE)
    assert len(shown["outcomes"]) == 4
    assert not data_dir.exists()


def test_an_added_outcome_moves_the_threshold_and_stays(assay: Assay) -> None:
    added = assay("add", "new/new", "--density", "0.05", "--outcome", "soft-loss")
    assert (added["threshold_before"], added["threshold_after"]) == (pytest.approx(0.045), pytest.approx(0.055))
    assert added["threshold_source"] == "calibration"
    shown = assay("show")
    assert shown["threshold"] == pytest.approx(0.055)
    new = next(o for o in shown["outcomes"] if o["repo"] == "new/new")
    assert (new["outcome"], new["provenance"], new["counts"]) == ("SOFT LOSS", "measured", True)
    assert new["decided_at"]


def test_verdicts_that_flip_are_listed(assay: Assay, data_dir: Path) -> None:
    with open_ledger(data_dir / "calibration") as ledger:
        ledger.append(prediction("x/x", 0.05), prediction("y/y", 0.2))
    added = assay("add", "new/new", "--density", "0.052", "--outcome", "HARD LOSS")
    assert [(f["repo"], f["verdict_before"], f["verdict_after"]) for f in added["flips"]] == [("x/x", "RUN", "SKIP")]


def test_an_inconclusive_outcome_is_kept_and_moves_nothing(assay: Assay) -> None:
    added = assay("add", "new/new", "--density", "0.05", "--outcome", "inconclusive")
    assert added["threshold_after"] == added["threshold_before"]
    assert "new/new" in [o["repo"] for o in added["outcomes"]]


def test_a_newer_outcome_of_a_repository_replaces_the_older(assay: Assay) -> None:
    assay("add", "a/a", "--density", "0.05", "--outcome", "soft-loss", "--decided-at", "2026-01-01")
    assay("add", "a/a", "--density", "0.05", "--outcome", "win", "--decided-at", "2026-01-02")
    shown = assay("show")
    assert [o["counts"] for o in shown["outcomes"] if o["repo"] == "a/a"] == [False, True]
    assert shown["threshold"] == pytest.approx(0.04)


def test_an_excluded_outcome_does_not_count_until_it_is_included(assay: Assay) -> None:
    assay("add", "new/new", "--density", "0.05", "--outcome", "soft-loss")
    excluded = assay("exclude", "new/new", "--reason", "half of it is generated")
    assert excluded["threshold"] == pytest.approx(0.045)
    assert excluded["exclusions"] == {"new/new": "half of it is generated"}
    assert assay("include", "new/new")["threshold"] == pytest.approx(0.055)
    assert assay("show")["exclusions"] == {}


def test_excluding_twice_for_one_reason_adds_nothing(assay: Assay, data_dir: Path) -> None:
    assay("exclude", "win/two", "--reason", "x")
    before = read_entries(data_dir / "calibration")
    assay("exclude", "win/two", "--reason", "x")
    assert read_entries(data_dir / "calibration") == before


def test_a_set_is_exported_and_imported(assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assay("add", "new/new", "--density", "0.05", "--outcome", "soft-loss")
    assay("exclude", "win/two", "--reason", "doubtful")
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    assert assay("export", str(first))["exported"] == 5
    here = assay("show")
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "elsewhere"))
    imported = assay("import", str(first))
    assert {key: imported[key] for key in ("threshold", "band", "outcomes", "exclusions")} == {
        key: here[key] for key in ("threshold", "band", "outcomes", "exclusions")
    }
    assay("export", str(second))
    assert second.read_bytes() == first.read_bytes()
    assert assay("import", str(first))["threshold_before"] == imported["threshold"]


def test_a_hostile_file_is_refused_in_one_line_and_changes_nothing(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    cases: list[bytes] = [b"", b"[]", b"{", b'{"format": 1}', b"\xff", b"[" * 100_000, b'{"format": NaN}']
    for content in cases:
        with subtests.test(content=content):
            (tmp_path / "set.json").write_bytes(content)
            assert run(["calibration", "import", str(tmp_path / "set.json")]) == 2
            out, err = capsys.readouterr()
            assert (out, err.count("\n")) == ("", 1)
            assert err.startswith("assay: set.json")
            assert not data_dir.exists()


def test_a_user_error_is_one_line_and_changes_nothing(
    data_dir: Path, capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    cases: list[tuple[list[str], str]] = [
        (["add", "a/a", "--density", "1.5", "--outcome", "win"], "--density must be a number from 0 to 1"),
        (["add", "a/a", "--density", "nan", "--outcome", "win"], "--density must be a number from 0 to 1"),
        (["add", "a/a", "--density", "0.5", "--outcome", "loss"], "one of WIN, SOFT-LOSS, HARD-LOSS, INCONCLUSIVE"),
        (["add", "a/a", "--density", "0.5", "--outcome", "win", "--decided-at", "soon"], "not a time in ISO 8601"),
        (["add", "a\x1b[2J", "--density", "0.5", "--outcome", "win"], "repo: expected printable text"),
        (["add", "", "--density", "0.5", "--outcome", "win"], "repo: is empty"),
        (["add", "a/a", "--outcome", "win"], "Missing option '--density'"),
        (["exclude", "a/a", "--reason", "x"], "a/a is not in the calibration set, which has: loss/one"),
        (["exclude", "win/one", "--reason", " "], "--reason is empty"),
        (["include", "win/one"], "win/one is not excluded; excluded repositories: none"),
        (["import", "/no/such/file"], "cannot read /no/such/file"),
        (["export", "/no/such/folder/file"], "the folder /no/such/folder does not exist"),
    ]
    for args, words in cases:
        with subtests.test(args=args, words=words):
            assert run(["calibration", *args]) == 2
            out, err = capsys.readouterr()
            assert (out, err.count("\n")) == ("", 1)
            assert words in err
            assert read_entries(data_dir / "calibration") == ()


@pytest.mark.parametrize(
    ("text", "kind"),
    [("win", "WIN"), ("Soft-Loss", "SOFT LOSS"), ("hard_loss", "HARD LOSS"), ("  soft  loss ", "SOFT LOSS")],
)
def test_an_outcome_may_be_spelled_in_several_ways(text: str, kind: str) -> None:
    assert parse_outcome_kind(text) == kind


def test_an_unknown_outcome_is_refused_with_the_known_ones() -> None:
    with pytest.raises(AssayError, match="INCONCLUSIVE, not 'draw'"):
        parse_outcome_kind("draw")


def test_a_damaged_ledger_is_one_line_that_names_it(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data_dir / "calibration").mkdir(parents=True)
    (data_dir / "calibration" / "ledger.jsonl").write_text("rubbish\n")
    assert run(["calibration", "show"]) == 2
    assert "ledger.jsonl is damaged (line 1: not valid JSON" in capsys.readouterr().err


NEWER = "f" * 12


@pytest.fixture
def newer_release(assay: Assay, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Assay:
    """An installation with two screened repositories, updated to a release whose label recipe is another."""
    assay("add", "new/new", "--density", "0.001", "--outcome", "soft-loss")
    with open_ledger(data_dir / "calibration") as ledger:
        ledger.append(
            prediction("x/x", 0.05),
            prediction("y/y", 0.05),
            prediction("x/x", 0.05, label_recipe_id=NEWER),
        )
    records = tuple(
        dataclasses.replace(
            record,
            measured=dataclasses.replace(
                record.measured,
                label_recipe_id=NEWER,
                density=dataclasses.replace(record.measured.density, value=record.measured.density.value * 2),
            ),
        )
        for record in SEED.records
    )
    release = dataclasses.replace(SEED, label_recipe_id=NEWER, records=records)
    release = dataclasses.replace(release, threshold=dataclasses.replace(SEED.threshold, value=0.09))
    monkeypatch.setattr(commands, "load_seed", lambda: release)
    return assay


def test_the_old_label_recipe_decides_until_the_new_one_is_adopted(newer_release: Assay) -> None:
    assert (newer_release("show")["label_recipe_id"], newer_release("show")["threshold"]) == (RECIPE, 0.045)
    adopted = newer_release("adopt")
    assert (adopted["label_recipe_id"], adopted["threshold"]) == (NEWER, pytest.approx(0.09))
    assert newer_release("show")["label_recipe_id"] == NEWER


def test_a_dry_run_lists_the_flips_and_changes_nothing(newer_release: Assay, data_dir: Path) -> None:
    before = read_entries(data_dir / "calibration")
    found = newer_release("adopt", "--dry-run")
    assert found["dry_run"] is True
    assert (found["label_recipe_id_before"], found["label_recipe_id"]) == (RECIPE, NEWER)
    assert [(f["repo"], f["verdict_before"], f["verdict_after"]) for f in found["flips"]] == [("x/x", "RUN", "SKIP")]
    assert found["not_measured"] == ["y/y"]
    assert read_entries(data_dir / "calibration") == before
    assert newer_release("show")["label_recipe_id"] == RECIPE


def test_adopting_the_deciding_recipe_adds_nothing(assay: Assay, data_dir: Path) -> None:
    assay("adopt")
    assert sum(isinstance(entry, Adopted) for entry in read_entries(data_dir / "calibration")) == 1
    before = read_entries(data_dir / "calibration")
    assay("adopt")
    assert read_entries(data_dir / "calibration") == before


def test_every_command_has_a_help_page(capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests) -> None:
    cases: list[str] = ["show", "add", "exclude", "include", "import", "export", "adopt", "seed"]
    for command in cases:
        with subtests.test(command=command):
            assert run(["calibration", command, "--help"]) == 0
            assert "--json" in capsys.readouterr().out


def test_showing_text_exits_with_0(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["calibration", "show"]) == 0
    assert "Threshold 0.0450" in capsys.readouterr().out


def test_nothing_heavy_is_imported_to_show_a_calibration() -> None:
    code = (
        "import sys, bot.cli.calibration.commands; "
        "print([m for m in ('scipy', 'sklearn', 'pipeline.mining.miner', 'dulwich', 'pyarrow') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
