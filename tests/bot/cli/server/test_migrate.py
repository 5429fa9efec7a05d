import json
from pathlib import Path

import pytest

from bot.cli.main import run
from bot.store.migrate import newest


def test_an_empty_database_is_migrated_and_back(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "data"))
    steps = []
    for arguments in (["migrate", "--json"], ["migrate", "--json"], ["migrate", "--to", "base", "--json"]):
        assert run(arguments) == 0
        steps.append(json.loads(capsys.readouterr().out))
    assert [(step["before"], step["after"]) for step in steps] == [
        (None, newest()), (newest(), newest()), (newest(), None),
    ]  # fmt: skip
    assert (tmp_path / "data" / "assay.sqlite").stat().st_mode & 0o777 == 0o600


def test_the_text_names_both_revisions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path))
    assert run(["migrate"]) == 0
    assert capsys.readouterr().out == f"Migrated the database from revision base to {newest()}.\n"
    assert run(["migrate"]) == 0
    assert capsys.readouterr().out == f"The database is already at revision {newest()}.\n"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://user:hush@host/assay", "only SQLite and PostgreSQL are supported"),
        ("postgresql://user:hush@127.0.0.1:1/assay", "the database cannot be reached"),
        ("nonsense", "the database URL is malformed"),
    ],
)
def test_an_unusable_database_is_one_line_without_the_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str, words: str
) -> None:
    monkeypatch.setenv("ASSAY_DATABASE_URL", url)
    assert run(["migrate"]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert "hush" not in err


def test_an_unknown_revision_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path))
    assert run(["migrate", "--to", "no-such-revision"]) == 2
    assert "cannot be migrated" in capsys.readouterr().err
