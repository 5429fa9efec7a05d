from __future__ import annotations

from pathlib import Path

import pytest

from bot.cli.repository_source import default_jobs, open_source, parse_as_of
from bot.settings import load_settings
from pipeline.records import AssayError
from tests.builders.code import module
from tests.builders.history import History
from tests.simulator.git_server import serve_git


def silent(stage: str, done: int, total: int | None) -> None:
    """Tells nobody."""


def test_a_date_means_its_end_and_a_time_without_zone_is_utc() -> None:
    cases: list[tuple[str | None, int | None]] = [
        (None, None),
        ("1970-01-02", 2 * 86_400 - 1),
        ("1970-01-02T00:00:00", 86_400),
        ("1970-01-02T00:00:00Z", 86_400),
        ("1970-01-02T02:00:00+02:00", 86_400),
        ("1969-12-31T23:59:59Z", -1),
    ]
    wrong = [(text, got, seconds) for text, seconds in cases if (got := parse_as_of(text)) != seconds]
    assert wrong == []


def test_an_invalid_date_is_refused_with_an_example(subtests: pytest.Subtests) -> None:
    for text in ("", "yesterday", "2024-13-01", "2024-01-01T25:00", "1e9", "٢٠٢٤"):
        with subtests.test(text=text), pytest.raises(AssayError, match="is not a date: write 2026-01-31"):
            parse_as_of(text)


def test_a_url_is_cloned_once_and_fetched_incrementally_afterwards(tmp_path: Path) -> None:
    history = History()
    history.commit("start", {"a.py": module("1")})
    folder = history.write(tmp_path / "forge" / "owner" / "name.git")
    told: list[tuple[str, int, int | None]] = []
    settings = load_settings()
    with serve_git(tmp_path / "forge") as server:
        url = f"{server.url}/owner/name.git"
        first = open_source(url, settings, lambda *step: told.append(step))
        again = open_source(url, settings, silent)
        assert again == first
        grown = History()
        grown.commit("start", {"a.py": module("1")})
        grown.commit("more", {"a.py": module("2")})
        grown.write(tmp_path / "grown.git")
        for name in ("objects", "refs"):
            (folder / name).rename(folder / f"old-{name}")
            (tmp_path / "grown.git" / name).rename(folder / name)
        assert open_source(url, settings, silent).head.hex() == grown.ids[2]
    assert first.name == "owner/name"
    assert first.git_dir.is_relative_to(settings.data_dir)
    assert ("indexing", 0, 100) in told


def test_there_is_at_least_one_process() -> None:
    assert 1 <= default_jobs() <= 8
