"""Every table. Whatever belongs to an installation carries its id, and the repository's where it belongs to one.

The database is the truth: Redis only says that there may be something to do.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
)
from sqlalchemy.engine import Dialect

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts up only what is an INTEGER; and gives the number of a deleted row again unless told not to
# (sqlite_autoincrement): GitHub may know a check run by that number.
Id = BigInteger().with_variant(Integer, "sqlite")


class Utc(TypeDecorator[datetime]):
    """An aware UTC time. SQLite would drop the zone, so it is taken off before and put back after."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


installations = Table(
    "installations",
    metadata,
    Column("installation_id", BigInteger, primary_key=True, autoincrement=False),
    Column("account_id", BigInteger, nullable=False),
    Column("account_login", String(255), nullable=False),
    Column("account_type", String(40), nullable=False),
    Column("state", String(20), nullable=False),
    Column("permissions", JSON, nullable=False),
    Column("synced_at", Utc, nullable=False),
    Column("served_at", Utc),  # when a job of it was last taken: the next turn is whose this is oldest
)

repositories = Table(
    "repositories",
    metadata,
    Column("installation_id", BigInteger, primary_key=True, autoincrement=False),
    Column("repository_id", BigInteger, primary_key=True, autoincrement=False),
    Column("full_name", String(255), nullable=False),
    Column("default_branch", String(1024), nullable=False),
    Column("private", Boolean, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("pushed_head", String(40), nullable=False, server_default=""),
    Column("push_burst_since", Utc),
    Column("pushed_at", Utc),
    Column("history_changed", Boolean, nullable=False, server_default=false()),
    Column("suites_off", Boolean, nullable=False, server_default=false()),
    Column("measured_at", Utc),
    Column("posted_at", Utc),
    Column("last_error", Text, nullable=False, server_default=""),
    ForeignKeyConstraint(["installation_id"], ["installations.installation_id"], ondelete="CASCADE"),
)


def _of_a_repository() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["installation_id", "repository_id"],
        ["repositories.installation_id", "repositories.repository_id"],
        ondelete="CASCADE",
    )


deliveries = Table(
    "deliveries",
    metadata,
    Column("delivery_id", Id, primary_key=True, autoincrement=True),
    Column("guid", String(64), nullable=False, unique=True),  # the X-GitHub-Delivery header
    Column("installation_id", BigInteger, nullable=False),  # 0: none
    Column("repository_id", BigInteger, nullable=False),
    Column("event", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("facts", JSON, nullable=False),
    Column("received_at", Utc, nullable=False),
    Column("state", String(20), nullable=False),
    Column("job_id", BigInteger),  # the job that answers it
    Index(None, "state", "received_at"),
    Index(None, "installation_id", "repository_id"),
    sqlite_autoincrement=True,
)

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", Id, primary_key=True, autoincrement=True),
    Column("installation_id", BigInteger, nullable=False),
    Column("repository_id", BigInteger, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("open_key", String(160), unique=True),  # held while open or running, so that there is only one; else NULL
    Column("arguments", JSON, nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("made_at", Utc, nullable=False),
    Column("not_before", Utc, nullable=False),
    Column("again_at", Utc),  # asked for once more while it was running
    Column("again_arguments", JSON),
    Column("lease_token", String(40), nullable=False, server_default=""),
    Column("lease_until", Utc),  # real time, whatever clock the App runs on
    Column("started_at", Utc),
    Column("finished_at", Utc),
    Column("reason", Text, nullable=False, server_default=""),
    Column("forgotten", Boolean, nullable=False, server_default=false()),  # its subject is gone: so is it, at its end
    Index(None, "state", "not_before"),
    Index(None, "state", "installation_id", "kind", "not_before"),  # whose turn it is, without reading every job
    Index(None, "installation_id", "repository_id"),
    sqlite_autoincrement=True,
)

screenings = Table(
    "screenings",
    metadata,
    Column("screening_id", Id, primary_key=True, autoincrement=True),
    Column("installation_id", BigInteger, nullable=False),
    Column("repository_id", BigInteger, nullable=False),
    Column("head_sha", String(40), nullable=False),
    Column("measured_at", Utc, nullable=False),
    Column("measurement", JSON, nullable=False),
    Column("judgement", JSON, nullable=False),
    Column("failure", Text, nullable=False),
    Column("label_recipe_id", String(40), nullable=False),
    Column("config_hash", String(80), nullable=False),
    Column("ranking", JSON(none_as_null=True)),  # NULL: none was made, or a newer screening took its place
    Index(None, "installation_id", "repository_id", "screening_id"),
    _of_a_repository(),
    sqlite_autoincrement=True,
)

check_runs = Table(
    "check_runs",
    metadata,
    Column("row_id", Id, primary_key=True, autoincrement=True),
    Column("installation_id", BigInteger, nullable=False),
    Column("repository_id", BigInteger, nullable=False),
    Column("name", String(40), nullable=False),
    Column("head_sha", String(40), nullable=False),
    Column("screening_id", BigInteger, nullable=False),
    Column("check_run_id", BigInteger, nullable=False),
    Column("conclusion", String(20), nullable=False),
    Column("made_at", Utc, nullable=False),
    Column("posted_at", Utc),
    Index(None, "installation_id", "repository_id", "row_id"),
    _of_a_repository(),
    sqlite_autoincrement=True,
)

# Requests that made content, for GitHub's secondary limits: 80 a minute and 500 an hour.
content_writes = Table(
    "content_writes",
    metadata,
    Column("write_id", Id, primary_key=True, autoincrement=True),
    Column("installation_id", BigInteger, nullable=False),
    Column("written_at", Utc, nullable=False),
    Index(None, "installation_id", "written_at"),
    sqlite_autoincrement=True,
)

# What the server remembers of itself, such as how far the deliveries were reconciled.
bookmarks = Table(
    "bookmarks",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("value", JSON, nullable=False),
)
