import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from bot.cli.calibration import seed
from bot.cli.calibration.seed import locate, locate_all, measure_all, urls
from bot.cli.main import run
from pipeline.calibration.reproduced import load_reproduced
from pipeline.calibration.seed import SeedMeasurement
from pipeline.calibration.seed_json import parse_seed
from pipeline.label_recipe import MESSAGES
from pipeline.records import AssayError
from pipeline.reports.published_table import render_published_table
from tests.builders.seeds import USUAL, facts, measurement


def bare(folder: Path) -> Path:
    (folder / "objects").mkdir(parents=True)
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    return folder


def work_tree(folder: Path) -> Path:
    bare(folder / ".git")
    return folder


@pytest.mark.parametrize("place", ["me+tool/repo", "me/tool", "me/tool.git", "tool.git", "tool"])
@pytest.mark.parametrize("make", [bare, work_tree])
def test_a_history_is_found_under_the_usual_names(tmp_path: Path, place: str, make) -> None:
    make(tmp_path / place)
    assert locate("me/tool", tmp_path) == tmp_path / place


def test_a_folder_that_is_not_a_repository_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "me" / "tool").mkdir(parents=True)
    assert locate("me/tool", tmp_path) is None
    bare(tmp_path / "tool.git")
    assert locate("me/tool", tmp_path) == tmp_path / "tool.git"


def test_all_missing_histories_are_named_together(tmp_path: Path) -> None:
    bare(tmp_path / "win" / "one")
    with pytest.raises(
        AssayError, match="not found: win/two, loss/one, loss/two, extra/win, extra/loss; clone each as"
    ):
        locate_all(facts().repositories, tmp_path)
    with pytest.raises(AssayError, match=r"--from: the folder .* does not exist"):
        locate_all(facts().repositories, tmp_path / "none")


def test_without_a_folder_histories_come_from_github() -> None:
    assert urls(facts().repositories)["win/one"] == "https://github.com/win/one.git"


def test_progress_counts_the_histories() -> None:
    told: list[tuple[str, int, int | None]] = []
    measure_all({"a": "1", "b": "2"}, lambda source: measurement(), lambda *what: told.append(what))
    assert told == [("histories", 0, 2), ("histories", 1, 2)]


DENSITIES = {name: density for name, _, _, density in USUAL}


def measured(name: str) -> SeedMeasurement:
    return dataclasses.replace(measurement(DENSITIES[name]), label_recipe_id=MESSAGES.id)


@pytest.fixture
def mining(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Replace mining by the densities of the test facts; return the sources that were mined."""
    sources: list[str] = []

    def measure_history(source: str, recipe: Any, settings: Any, progress: Any) -> SeedMeasurement:
        sources.append(source)
        return measured(next(name for name in DENSITIES if name in source))

    monkeypatch.setattr(seed, "measure_history", measure_history)
    monkeypatch.setattr(seed, "load_published", facts)
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "data"))
    return sources


def test_the_seed_and_the_page_are_written_and_agree(
    tmp_path: Path, mining: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in DENSITIES:
        bare(tmp_path / "clones" / name)
    out, docs = tmp_path / "seed.json", tmp_path / "table.md"
    args = ["calibration", "seed", "--from", str(tmp_path / "clones"), "--out", str(out), "--docs", str(docs)]
    assert run([*args, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert mining == [str(tmp_path / "clones" / name) for name in DENSITIES]
    written = parse_seed(out.read_bytes(), "seed.json")
    assert docs.read_text(encoding="utf-8") == render_published_table(written, load_reproduced())
    assert (told["threshold"], written.threshold.value) == (0.045, 0.045)
    assert [o["agrees"] for o in told["outcomes"]] == [True, True, True, True, True, False]
    assert [o["fitted"] for o in told["outcomes"]] == [True, True, True, True, False, False]
    assert run(args) == 0
    assert "Threshold 0.0450, band" in capsys.readouterr().out


def test_without_a_folder_the_urls_are_mined(tmp_path: Path, mining: list[str]) -> None:
    assert run(["calibration", "seed", "--out", str(tmp_path / "s.json"), "--docs", str(tmp_path / "t.md")]) == 0
    assert mining == [f"https://github.com/{name}.git" for name in DENSITIES]


def test_an_unwritable_path_is_refused_before_mining(
    tmp_path: Path, mining: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["calibration", "seed", "--out", str(tmp_path / "none" / "s.json")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert mining == []
