"""`assay calibration ... --installation LOGIN` and `versions`, on the database of an App."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cli.local import screen
from bot.cli.main import run
from bot.cli.server.calibration_cache import calibration_source
from bot.settings import load_settings
from bot.store.repositories import delete_repository
from bot.store.tables import calibrations, jobs
from pipeline.label_recipe import MESSAGES
from tests.bot.calibration.conftest import database_url, every_statement_names_its_installation, migrated_file, store
from tests.bot.calibration.scene import Scene
from tests.bot.store.conftest import Store
from tests.builders.outcomes import RECIPE
from tests.builders.seeds import seed

__all__ = ["database_url", "every_statement_names_its_installation", "migrated_file", "store"]

Assay = Callable[..., dict[str, Any]]


@pytest.fixture
def dialect() -> str:
    return "sqlite"


@pytest.fixture
def scene(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Scene:
    """The server's default base model is of the scene's family, and its label recipe that of the seed."""
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("ASSAY_DATABASE_URL", store.url)
    monkeypatch.setenv("ASSAY_BASE_MODELS", "tiny=/models/tiny")
    monkeypatch.setattr(screen, "load_seed", seed)
    monkeypatch.setattr(screen, "RECIPES", {RECIPE: MESSAGES})
    made = Scene(store)
    made.install(1)
    return made


@pytest.fixture
def assay(scene: Scene, capsys: pytest.CaptureFixture[str]) -> Assay:
    def call(*args: str, code: int = 0) -> dict[str, Any]:
        assert run(["calibration", *args, "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return call


def test_an_installation_shows_its_own_outcomes_beside_the_seed(scene: Scene, assay: Assay) -> None:
    scene.ran(7, 0.05, "SOFT LOSS")
    shown = assay("show", "--installation", "ACME-1")
    assert (shown["installation"], shown["base_model_family"]) == ("acme-1", "tiny")
    assert shown["threshold"] == pytest.approx(0.055)
    assert (shown["published"], shown["measured"], shown["shared"]) == (4, 1, 0)
    assert shown["predictions"]["false_positives"] == ["acme-1/shop-7"]
    assert [o["counts"] for o in shown["outcomes"] if o["repo"] == "acme-1/shop-7"] == [True]


def test_excluding_and_including_moves_the_threshold_and_requests_recalibration(scene: Scene, assay: Assay) -> None:
    scene.screened(8, 0.05)
    scene.ran(7, 0.05, "SOFT LOSS")
    of_it = "--installation", "acme-1"
    excluded = assay("exclude", "acme-1/SHOP-7", "--reason", "half of it is generated", *of_it)
    assert (excluded["threshold_before"], excluded["threshold_after"]) == (pytest.approx(0.055), pytest.approx(0.045))
    assert excluded["exclusions"] == {"acme-1/shop-7": "half of it is generated"}
    assert [(flip["repo"], flip["verdict_after"]) for flip in excluded["flips"]] == [
        ("acme-1/shop-7", "RUN"),
        ("acme-1/shop-8", "RUN"),
    ]
    assert "recalibrate" in {row["kind"] for row in scene.store.rows(jobs)}
    again = assay("exclude", "acme-1/shop-7", "--reason", "half of it is generated", *of_it)
    assert (again["flips"], again["threshold_before"]) == ([], again["threshold_after"])
    assert assay("include", "acme-1/shop-7", *of_it)["threshold_after"] == pytest.approx(0.055)
    assert len(assay("versions")["versions"]) == 4


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (
            ["show", "--installation", "nobody"],
            "not installed on nobody; accounts with an installation: acme-1",
        ),
        (["exclude", "x/y", "--reason", "z", "--installation", "acme-1"], "repositories with outcomes: acme-1/shop-7"),
        (["include", "acme-1/shop-7", "--installation", "acme-1"], "excluded repositories: none"),
        (["exclude", "acme-1/shop-7", "--reason", "z" * 501, "--installation", "acme-1"], "at most 500 characters"),
    ],
)
def test_a_user_error_is_one_line_and_changes_nothing(
    scene: Scene, capsys: pytest.CaptureFixture[str], command: list[str], told: str
) -> None:
    scene.ran(7, 0.05, "SOFT LOSS")
    before = scene.store.rows(calibrations)
    assert run(["calibration", *command]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error
    assert scene.store.rows(calibrations) == before


def test_versions_are_recomputed_unless_their_inputs_are_gone(scene: Scene, assay: Assay) -> None:
    scene.ran(6, 0.07, "WIN")
    scene.ran(7, 0.05, "SOFT LOSS")
    listed = assay("versions", "--verify", "--installation", "acme-1")["versions"]
    assert [row["recomputed"] for row in listed] == ["the same"] * 3
    scene.store(delete_repository, 1, 7)
    listed = assay("versions", "--verify")["versions"]
    assert [row["recomputed"] for row in listed] == ["the same", "the same", "not recomputable: inputs deleted"]


def test_a_version_that_differs_from_its_inputs_fails_the_command(scene: Scene, assay: Assay) -> None:
    async def tamper(connection: AsyncConnection, threshold: dict[str, Any]) -> None:
        mine = calibrations.c.installation_id == 1
        await connection.execute(update(calibrations).where(mine).values(threshold=threshold))

    scene.ran(7, 0.05, "SOFT LOSS")
    scene.store(tamper, {**scene.store.rows(calibrations)[-1]["threshold"], "value": 0.2})
    assert {row["recomputed"] for row in assay("versions", "--verify", code=1)["versions"]} == {"another threshold"}


def test_the_list_is_rendered_as_text(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["calibration", "versions"]) == 0
    assert "No outcome has moved a threshold yet" in capsys.readouterr().out
    scene.ran(7, 0.05, "SOFT LOSS")
    assert run(["calibration", "versions", "--verify"]) == 0
    out = capsys.readouterr().out
    assert "acme-1" in out
    assert "1 of 1" in out
    assert "the same" in out


@pytest.mark.parametrize(
    ("base_models", "chosen", "family"),
    [
        ("", "", ""),
        ("tiny=/models/tiny", "", "tiny"),
        ("Qwen/Qwen2.5-Coder-0.5B,tiny=/models/tiny", "", "Qwen2.5-Coder-0.5B"),
        ("Qwen/Qwen2.5-Coder-0.5B,tiny=/models/tiny", "tiny", "tiny"),
    ],
)
def test_the_threshold_is_of_the_family_of_the_default_base_model(
    monkeypatch: pytest.MonkeyPatch, base_models: str, chosen: str, family: str
) -> None:
    monkeypatch.setenv("ASSAY_BASE_MODELS", base_models)
    monkeypatch.setenv("ASSAY_BASE_MODEL", chosen)
    assert calibration_source(load_settings()).family == family
