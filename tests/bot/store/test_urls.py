"""Which database URLs are accepted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.store.database import normal_url
from bot.store.urls import parse, path_of
from pipeline.records import AssayError

UNDERSTOOD = {
    "sqlite:////srv/assay/assay.db": "sqlite+aiosqlite:////srv/assay/assay.db",
    "sqlite:///assay.db": "sqlite+aiosqlite:///assay.db",
    "sqlite+aiosqlite:///assay.db": "sqlite+aiosqlite:///assay.db",
    "  sqlite:////srv/assay.db\n": "sqlite+aiosqlite:////srv/assay.db",
    "postgres://ada:s3cr3t@db.example.org/assay": "postgresql+asyncpg://ada:s3cr3t@db.example.org/assay",
    "postgresql://db.example.org:5433/assay": "postgresql+asyncpg://db.example.org:5433/assay",
    "postgresql://ada:p%40ss@db/assay?sslmode=verify-full": "postgresql+asyncpg://ada:p%40ss@db/assay?ssl=verify-full",
    "postgresql:///assay?host=/run/postgresql": "postgresql+asyncpg:///assay?host=%2Frun%2Fpostgresql",
}


def test_a_url_and_its_normal_form_are_accepted(subtests: pytest.Subtests) -> None:
    for text, url in UNDERSTOOD.items():
        with subtests.test(text=text, url=url):
            assert normal_url(text) == url
            assert normal_url(url) == url


REFUSED = {
    "": "is malformed",
    "assay.db": "is malformed",
    "mysql://ada:s3cr3t@db/assay": "only SQLite and PostgreSQL",
    "postgresql+psycopg2://ada:s3cr3t@db/assay": "only SQLite and PostgreSQL",
    "sqlite://": "must be a file",
    "sqlite:///": "must be a file",
    "sqlite:///:memory:": "must be a file",
    "sqlite:///file:assay?mode=memory": "must be a file",
    "sqlite://host/assay.db": "must be a file",
    "postgresql://ada:s3cr3t@db": "names no database",
    "postgresql://ada:s3cr3t@db:port/assay": "is malformed",
    "postgresql://ada:s3cr3t@db/assay?password=s3cr3t": "an unknown option",
    "postgresql://ada:s3cr3t@db/assay?sslmode=s3cr3t": "sslmode of the database URL must be one of",
}


def test_a_bad_url_is_refused_in_one_line_without_its_password(subtests: pytest.Subtests) -> None:
    for text, says in REFUSED.items():
        with subtests.test(text=text, says=says):
            with pytest.raises(AssayError, match=says) as raised:
                normal_url(text)
            assert "s3cr3t" not in str(raised.value)
            assert raised.value.__cause__ is None
            assert "\n" not in str(raised.value)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_a_file_path_is_taken_verbatim(name: str) -> None:
    url = normal_url(f"sqlite:////srv/{name}/a?b#c%20.db")
    assert str(path_of(parse(url))) == str(Path(f"/srv/{name}/a?b#c%20.db"))
