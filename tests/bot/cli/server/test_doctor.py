import errno
import json
import multiprocessing
import shutil
from importlib import metadata
from pathlib import Path

import pytest

from bot.cli.main import run
from bot.cli.output import Check
from bot.cli.server import doctor
from pipeline.label_recipe import GRAMMARS, MESSAGES

WELL = Check("this", True, "here")
ILL = Check("that", False, "missing", "install that")
NOTE = Check("other", False, "old", "think about it", required=False)


def with_checks(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> None:
    monkeypatch.setattr(doctor, "check_up", lambda _: iter(checks))


@pytest.mark.parametrize(("checks", "code"), [((), 0), ((WELL,), 0), ((WELL, NOTE), 0), ((WELL, ILL, NOTE), 1)])
def test_it_fails_only_if_something_required_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], checks: tuple[Check, ...], code: int
) -> None:
    with_checks(monkeypatch, *checks)
    assert run(["doctor", "--json"]) == code
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] is (code == 0)
    assert [check["name"] for check in result["checks"]] == [check.name for check in checks]


def test_each_failed_check_says_what_to_do(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with_checks(monkeypatch, WELL, ILL, NOTE)
    run(["doctor"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:6] == [
        ["ok", "this", "here"],
        ["missing", "that", "missing"],
        ["install", "that"],
        ["note", "other", "old"],
        ["think", "about", "it"],
    ]


def test_this_installation_is_complete(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "data"))
    run(["doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert [name for name, check in checks.items() if check["required"] and not check["ok"]] == []


@pytest.mark.parametrize(("version", "ok"), [((3, 10, 13), False), ((3, 11, 0), True), ((3, 14, 1), True)])
def test_python_must_be_new_enough(version: tuple[int, ...], ok: bool) -> None:
    assert doctor.check_python(version).ok is ok


def test_a_parser_of_another_version_is_named_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = dict(GRAMMARS) | {"tree-sitter-go": "0.1.0"}
    del installed["tree-sitter-c"]
    monkeypatch.setattr(doctor, "_version", installed.get)
    check = doctor.check_grammars()
    assert (check.ok, check.found) == (False, "tree-sitter-c missing, tree-sitter-go 0.1.0")
    wanted = dict(GRAMMARS)
    assert (
        check.to_do
        == f"run pip install tree-sitter-c=={wanted['tree-sitter-c']} tree-sitter-go=={wanted['tree-sitter-go']}"
    )


REQUIRES = ["rich>=14", 'torch>=2; extra == "finetune"', "typer", 'tomli; python_version < "3"']


@pytest.mark.parametrize(
    ("installed", "ok", "found"),
    [
        ({"rich", "typer", "tomli"}, True, "3 installed"),
        ({"tomli"}, False, "missing: rich, typer"),
    ],
)
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, installed: set[str], ok: bool, found: str) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: REQUIRES)
    monkeypatch.setattr(doctor, "_version", lambda name: "1" if name in installed else None)
    check = doctor.check_dependencies()
    assert (check.ok, check.found) == (ok, found)


def test_a_source_tree_without_installation_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DISTRIBUTION", "no-distribution-has-this-name")
    assert not doctor.check_dependencies().ok


def test_a_data_folder_is_created_and_left_empty(tmp_path: Path) -> None:
    assert doctor.check_data_dir(tmp_path / "a" / "b").ok
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_an_unwritable_data_folder_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check = doctor.check_data_dir(tmp_path / "file")
    assert not check.ok
    assert "ASSAY_DATA_DIR" in check.to_do


@pytest.mark.parametrize(("free_bytes", "ok"), [((2 << 30) - 1, False), (2 << 30, True)])
def test_free_space_is_measured_on_the_disk_of_the_future_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_bytes: int, ok: bool
) -> None:
    asked: list[Path] = []

    def usage(folder: Path) -> object:
        asked.append(folder)
        return shutil._ntuple_diskusage(0, 0, free_bytes)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    check = doctor.check_free_space(tmp_path / "not" / "yet")
    assert (check.ok, check.required, asked) == (ok, False, [tmp_path])


def test_child_processes_that_cannot_start_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forbidden:
        def __init__(self, **_: object) -> None:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(multiprocessing.context.SpawnContext, "Process", Forbidden)
    check = doctor.check_processes()
    assert (check.ok, check.found) == (False, "spawn: Resource temporarily unavailable")


@pytest.mark.parametrize(("size_bytes", "ok"), [(None, True), (1 << 29, False), (1 << 30, True)])
def test_little_memory_is_a_note(size_bytes: int | None, ok: bool) -> None:
    assert doctor.check_memory(size_bytes).ok is ok


def test_the_seed_must_match_the_label_recipe(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str | None, bool, str]] = [
        (None, False, "missing"),
        ("{", False, "invalid"),
        ("[]", False, "invalid"),
        ("{}", False, "invalid"),
        ('{"label_recipe_id": "0123"}', False, "0123"),
        (json.dumps({"label_recipe_id": MESSAGES.id}), True, MESSAGES.id),
    ]
    for text, ok, words in cases:
        with subtests.test(text=text, ok=ok, words=words):
            check = doctor.check_seed(text, MESSAGES.id)
            assert check.ok is ok
            assert words in check.found


@pytest.mark.parametrize(("place", "ok"), [(None, False), ("/usr/bin/git", True)])
def test_git_is_recommended_but_not_required(place: str | None, ok: bool) -> None:
    check = doctor.check_git(place)
    assert (check.ok, check.required) == (ok, False)


def test_what_confinement_does_not_hold_is_a_note() -> None:
    assert doctor.check_confinement(()).ok
    check = doctor.check_confinement(("TCP", "UDP"))
    assert (check.ok, check.required, check.found) == (False, False, "children are not kept from TCP, UDP")


def test_unknown_variables_are_named_and_a_misspelt_setting_is_required_to_be_mended() -> None:
    assert doctor.check_variables({}).ok
    check = doctor.check_variables({"ASSAY_OF_ANOTHER_RELEASE": ""})
    assert (check.ok, check.required, check.found) == (False, False, "unknown: ASSAY_OF_ANOTHER_RELEASE")
    check = doctor.check_variables({"ASSAY_ALLOWED_ACCOUNT": "ASSAY_ALLOWED_ACCOUNTS"})
    assert (check.ok, check.required) == (False, True)
    assert "did you mean ASSAY_ALLOWED_ACCOUNTS?" in check.found
