"""Parse the database URLs that operators write, and render them for SQLAlchemy."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from pipeline.records import AssayError

_SQLITE: Final = ("sqlite+aiosqlite://", "sqlite://")
_POSTGRES: Final = ("postgresql+asyncpg", "postgresql", "postgres")
_SSL_MODES: Final = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})


def normal_url(text: str) -> str:
    """Return the URL as SQLAlchemy's async engine takes it. Raises AssayError, which never contains a password."""
    return render(parse(text))


def render(url: URL) -> str:
    """Render with the password, for the engine only."""
    if url.drivername == "sqlite+aiosqlite":
        return f"sqlite+aiosqlite:///{url.database}"
    return url.render_as_string(hide_password=False)


def parse(text: str) -> URL:
    """Parse `sqlite:///PATH` (the path verbatim) or `postgresql://USER:PASSWORD@HOST/DATABASE`. Raises AssayError."""
    text = text.strip()
    for prefix in _SQLITE:
        if text.startswith(prefix):
            return _sqlite(text.removeprefix(prefix))
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise AssayError("the database URL is malformed: give sqlite:///PATH or postgresql://HOST/DATABASE") from None
    if url.drivername not in _POSTGRES:
        raise AssayError("only SQLite and PostgreSQL are supported: give sqlite:///PATH or postgresql://HOST/DATABASE")
    return _postgres(url)


def _sqlite(rest: str) -> URL:
    path = rest.removeprefix("/")
    if not rest.startswith("/") or path in ("", ":memory:") or path.startswith("file:"):
        raise AssayError("the database must be a file that every process can open: give sqlite:///PATH")
    if "\0" in path:
        raise AssayError("the database path contains a NUL: give sqlite:///PATH")
    return URL.create("sqlite+aiosqlite", database=path)


def _postgres(url: URL) -> URL:
    if not url.database:
        raise AssayError("the database URL names no database: give postgresql://HOST/DATABASE")
    options = dict(url.query)
    mode = options.pop("sslmode", None) or options.pop("ssl", None)
    unknown = sorted(set(options) - {"host", "port"})
    if unknown:
        raise AssayError("the database URL has an unknown option: only sslmode, host and port are known")
    if mode is not None:
        if mode not in _SSL_MODES:
            raise AssayError(f"sslmode of the database URL must be one of {', '.join(sorted(_SSL_MODES))}")
        options["ssl"] = mode  # as asyncpg calls it
    return url.set(drivername="postgresql+asyncpg", query=options)


def path_of(url: URL) -> Path | None:
    """Return the file of a SQLite database; None for PostgreSQL."""
    return Path(url.database) if url.drivername == "sqlite+aiosqlite" and url.database else None
