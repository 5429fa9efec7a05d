"""The tables. Rows carry the id of their installation, and of their repository if they belong to one.

The database is the source of truth; Redis only hints that there may be work.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
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

# SQLite increments only INTEGER columns, and reuses the ids of deleted rows without sqlite_autoincrement; GitHub may
# still know a check run by such an id.
Id = BigInteger().with_variant(Integer, "sqlite")


class Utc(TypeDecorator[datetime]):
    """An aware UTC time. SQLite drops the zone, so it is removed before storing and restored after loading."""

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
    Column("served_at", Utc),  # when a job of it was last claimed; the oldest comes next
    Column("config", JSON(none_as_null=True)),  # the organization's .github/assay.yml as last read
    Column("listed_at", Utc),  # when all of its repositories were last compared with GitHub's list
    Column("owed", String(20), nullable=False, server_default=""),  # what its repositories still need after a change
    Column("last_error", Text, nullable=False, server_default=""),  # of a job of the whole installation
    Column("refused_at", Utc),  # since when its account is not allowed
    Column("gone_since", Utc),  # when GitHub first reported it as gone
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
    Column("config", JSON(none_as_null=True)),  # its own .github/assay.yml as last read
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
    Column("job_id", BigInteger),  # the job that took over
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
    Column("open_key", String(160), unique=True),  # set while open or running, so that there is only one; else NULL
    Column("arguments", JSON, nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("made_at", Utc, nullable=False),
    Column("not_before", Utc, nullable=False),
    Column("again_at", Utc),  # requested again while running
    Column("again_arguments", JSON),
    Column("lease_token", String(40), nullable=False, server_default=""),
    Column("lease_until", Utc),  # real time, whatever clock the App uses
    Column("started_at", Utc),
    Column("finished_at", Utc),
    Column("reason", Text, nullable=False, server_default=""),
    Column("forgotten", Boolean, nullable=False, server_default=false()),  # deleted with its subject, once it ends
    Column("failing_since", Utc),  # the first of the attempts in a row that failed because of GitHub or the network
    Index(None, "state", "not_before"),
    Index(None, "state", "installation_id", "kind", "not_before"),  # for the next turn, without reading every job
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
    Column("ranking", JSON(none_as_null=True)),  # NULL: none was made, or a newer screening replaced it
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
    Column("run_id", BigInteger, nullable=False, server_default="0"),
    Column("check_run_id", BigInteger, nullable=False),
    Column("again", Boolean, nullable=False, server_default=false()),  # shown again on a commit, by request
    Column("conclusion", String(20), nullable=False),
    Column("made_at", Utc, nullable=False),
    Column("posted_at", Utc),
    Index(None, "installation_id", "repository_id", "row_id"),
    _of_a_repository(),
    sqlite_autoincrement=True,
)

# Fine-tuning runs. This is their only state; a GPU worker holds a run by its lease.
runs = Table(
    "runs",
    metadata,
    Column("run_id", Id, primary_key=True, autoincrement=True),
    Column("installation_id", BigInteger, nullable=False),
    Column("repository_id", BigInteger, nullable=False),
    Column("purpose", String(20), nullable=False),
    Column("state", String(20), nullable=False),
    Column("ending", String(20), nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Column("open_key", String(160), unique=True),  # set until it ends, so that there is only one; then NULL
    Column("head_sha", String(40), nullable=False),
    Column("screening_id", BigInteger, nullable=False),
    Column("judged_run_id", BigInteger, nullable=False),
    Column("forced", Boolean, nullable=False),
    Column("audit", Boolean, nullable=False),
    Column("asked_by", BigInteger, nullable=False),
    Column("comment_id", BigInteger, nullable=False),
    Column("base_model", String(255), nullable=False),
    Column("recipe", JSON, nullable=False),
    Column("recipe_id", String(40), nullable=False, server_default=""),
    Column("label_recipe_id", String(40), nullable=False),
    Column("config_hash", String(80), nullable=False, server_default=""),
    Column("pair_set_id", String(64), nullable=False, server_default=""),
    Column("estimated_minutes", Float, nullable=False, server_default="0"),
    Column("spent_minutes", Float, nullable=False, server_default="0"),
    Column("budget_month", String(7), nullable=False, server_default=""),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("worker", String(120), nullable=False, server_default=""),
    Column("lease_token", String(40), nullable=False, server_default=""),
    Column("lease_until", Utc),  # real time, whatever clock the App uses
    Column("cancel_asked", Boolean, nullable=False, server_default=false()),
    Column("progress", JSON, nullable=False),
    Column("progress_at", Utc),
    Column("checkpoints", JSON, nullable=False),
    Column("result", JSON(none_as_null=True)),
    Column("artifacts", String(255), nullable=False, server_default=""),
    Column("settled", Boolean, nullable=False, server_default=false()),
    Column("made_at", Utc, nullable=False),
    Column("not_before", Utc, nullable=False),
    Column("queued_at", Utc),
    Column("started_at", Utc),
    Column("ended_at", Utc),
    Index(None, "state", "queued_at"),
    Index(None, "installation_id", "repository_id", "run_id"),
    Index(None, "installation_id", "budget_month"),
    _of_a_repository(),
    sqlite_autoincrement=True,
)

budgets = Table(
    "budgets",
    metadata,
    Column("installation_id", BigInteger, primary_key=True, autoincrement=False),
    Column("monthly_minutes", Float, nullable=False),
    Column("concurrency", Integer, nullable=False),
    Column("set_at", Utc, nullable=False),
    ForeignKeyConstraint(["installation_id"], ["installations.installation_id"], ondelete="CASCADE"),
)

# The cost of runs that were deleted with their repository, which still counts for the month. A deleted installation
# leaves its sum under id 0.
removed_minutes = Table(
    "removed_minutes",
    metadata,
    Column("installation_id", BigInteger, primary_key=True, autoincrement=False),
    Column("budget_month", String(7), primary_key=True),
    Column("minutes", Float, nullable=False),
)

gpu_workers = Table(
    "gpu_workers",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("device", String(255), nullable=False),
    Column("flops_per_s", Float),
    Column("seen_at", Utc, nullable=False),
)

replies = Table(
    "replies",
    metadata,
    Column("reply_id", Id, primary_key=True, autoincrement=True),
    Column("installation_id", BigInteger, nullable=False),
    Column("repository_id", BigInteger, nullable=False),
    Column("comment_id", BigInteger, nullable=False),
    Column("issue_number", BigInteger, nullable=False),
    Column("run_id", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    Column("posted_id", BigInteger, nullable=False, server_default="0"),
    Column("posted_digest", String(64), nullable=False, server_default=""),
    Column("posted_at", Utc),
    Column("made_at", Utc, nullable=False),
    Index(None, "installation_id", "repository_id", "comment_id", unique=True),
    Index(None, "installation_id", "run_id"),
    _of_a_repository(),
    sqlite_autoincrement=True,
)

# The outcomes of an installation and its operator's decisions about them. Append-only.
ledger = Table(
    "ledger",
    metadata,
    Column("entry_id", Id, primary_key=True, autoincrement=True),
    Column("installation_id", BigInteger, nullable=False),
    Column("repository_id", BigInteger, nullable=False),
    Column("run_id", BigInteger, nullable=False),  # 0: a decision of the operator
    Column("at", Utc, nullable=False),
    Column("entry", JSON, nullable=False),  # pipeline.calibration.ledger_entries
    Index(None, "installation_id", "entry_id"),
    Index(None, "installation_id", "repository_id"),
    _of_a_repository(),
    sqlite_autoincrement=True,
)

# The thresholds of an installation, with their inputs.
calibrations = Table(
    "calibrations",
    metadata,
    Column("calibration_id", Id, primary_key=True, autoincrement=True),
    Column("installation_id", BigInteger, nullable=False),
    Column("at", Utc, nullable=False),
    Column("label_recipe_id", String(40), nullable=False),
    Column("base_model_family", String(120), nullable=False),
    Column("version", String(40), nullable=False),
    Column("threshold", JSON, nullable=False),
    Column("inputs", JSON, nullable=False),  # ids of ledger rows and shared rows, and the part of the seed that counted
    Column("run_id", BigInteger, nullable=False),  # whose outcome caused it; 0: none
    Column("flips", JSON, nullable=False),  # repositories of this installation whose verdict flipped
    Index(None, "installation_id", "calibration_id"),
    ForeignKeyConstraint(["installation_id"], ["installations.installation_id"], ondelete="CASCADE"),
    sqlite_autoincrement=True,
)

# Outcomes that an installation shares with the others of this server, kept anonymously when it is deleted.
shared_outcomes = Table(
    "shared_outcomes",
    metadata,
    Column("shared_id", Id, primary_key=True, autoincrement=True),
    Column("contributor", String(32), nullable=False),  # random, the same for all rows of an installation
    Column("origin_installation_id", BigInteger),  # NULL once that is deleted
    Column("origin_repository_id", BigInteger),
    Column("label_recipe_id", String(40), nullable=False),
    Column("base_model_family", String(120), nullable=False),
    Column("density", Float, nullable=False),  # three decimals
    Column("delta", Float, nullable=False),  # of ρ; three decimals
    Column("month", String(7), nullable=False),
    Index(None, "origin_installation_id", "origin_repository_id"),
    sqlite_autoincrement=True,
)

# Requests that created content, for GitHub's secondary rate limits: 80 a minute and 500 an hour.
content_writes = Table(
    "content_writes",
    metadata,
    Column("write_id", Id, primary_key=True, autoincrement=True),
    Column("installation_id", BigInteger, nullable=False),
    Column("written_at", Utc, nullable=False),
    Index(None, "installation_id", "written_at"),
    sqlite_autoincrement=True,
)

# Values that the server stores about itself, such as how far deliveries were reconciled.
bookmarks = Table(
    "bookmarks",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("value", JSON, nullable=False),
)
