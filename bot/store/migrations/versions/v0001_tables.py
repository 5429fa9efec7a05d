"""The tables of the App's first release.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _id(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=nullable)


def _text(name: str, length: int, *, nullable: bool = False, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=nullable, server_default=default)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _json(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.JSON(), nullable=nullable)


def _of_a_repository(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["installation_id", "repository_id"],
        ["repositories.installation_id", "repositories.repository_id"],
        name=f"fk_{table}_installation_id_repository_id_repositories",
        ondelete="CASCADE",
    )


INDEXES = (
    ("deliveries", "state", "received_at"),
    ("deliveries", "installation_id", "repository_id"),
    ("jobs", "state", "not_before"),
    ("jobs", "state", "installation_id", "kind", "not_before"),
    ("jobs", "installation_id", "repository_id"),
    ("screenings", "installation_id", "repository_id", "screening_id"),
    ("check_runs", "installation_id", "repository_id", "row_id"),
    ("content_writes", "installation_id", "written_at"),
)


def upgrade() -> None:
    _make_what_is_served()
    _make_what_is_done()
    _make_what_is_said()
    for table, *columns in INDEXES:
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)


def downgrade() -> None:
    for table in (
        "bookmarks",
        "content_writes",
        "check_runs",
        "screenings",
        "jobs",
        "deliveries",
        "repositories",
        "installations",
    ):
        op.drop_table(table)


def _make_what_is_served() -> None:
    op.create_table(
        "installations",
        _number("installation_id"),
        _number("account_id"),
        _text("account_login", 255),
        _text("account_type", 40),
        _text("state", 20),
        _json("permissions"),
        _time("synced_at"),
        _time("served_at", nullable=True),
        sa.PrimaryKeyConstraint("installation_id", name="pk_installations"),
    )
    op.create_table(
        "repositories",
        _number("installation_id"),
        _number("repository_id"),
        _text("full_name", 255),
        _text("default_branch", 1024),
        sa.Column("private", sa.Boolean(), nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        _text("pushed_head", 40, default=""),
        _time("push_burst_since", nullable=True),
        _time("pushed_at", nullable=True),
        _flag("history_changed"),
        _flag("suites_off"),
        _time("measured_at", nullable=True),
        _time("posted_at", nullable=True),
        sa.Column("last_error", sa.Text(), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("installation_id", "repository_id", name="pk_repositories"),
        sa.ForeignKeyConstraint(
            ["installation_id"],
            ["installations.installation_id"],
            name="fk_repositories_installation_id_installations",
            ondelete="CASCADE",
        ),
    )


def _make_what_is_done() -> None:
    op.create_table(
        "deliveries",
        _id("delivery_id"),
        _text("guid", 64),
        _number("installation_id"),
        _number("repository_id"),
        _text("event", 64),
        _text("action", 64),
        _json("facts"),
        _time("received_at"),
        _text("state", 20),
        _number("job_id", nullable=True),
        sa.PrimaryKeyConstraint("delivery_id", name="pk_deliveries"),
        sa.UniqueConstraint("guid", name="uq_deliveries_guid"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "jobs",
        _id("job_id"),
        _number("installation_id"),
        _number("repository_id"),
        _text("kind", 40),
        _text("open_key", 160, nullable=True),
        _json("arguments"),
        _text("state", 20),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _time("made_at"),
        _time("not_before"),
        _time("again_at", nullable=True),
        _json("again_arguments", nullable=True),
        _text("lease_token", 40, default=""),
        _time("lease_until", nullable=True),
        _time("started_at", nullable=True),
        _time("finished_at", nullable=True),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
        _flag("forgotten"),
        sa.PrimaryKeyConstraint("job_id", name="pk_jobs"),
        sa.UniqueConstraint("open_key", name="uq_jobs_open_key"),
        sqlite_autoincrement=True,
    )


def _make_what_is_said() -> None:
    op.create_table(
        "screenings",
        _id("screening_id"),
        _number("installation_id"),
        _number("repository_id"),
        _text("head_sha", 40),
        _time("measured_at"),
        _json("measurement"),
        _json("judgement"),
        sa.Column("failure", sa.Text(), nullable=False),
        _text("label_recipe_id", 40),
        _text("config_hash", 80),
        sa.PrimaryKeyConstraint("screening_id", name="pk_screenings"),
        _of_a_repository("screenings"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "check_runs",
        _id("row_id"),
        _number("installation_id"),
        _number("repository_id"),
        _text("name", 40),
        _text("head_sha", 40),
        _number("screening_id"),
        _number("check_run_id"),
        _text("conclusion", 20),
        _time("made_at"),
        _time("posted_at", nullable=True),
        sa.PrimaryKeyConstraint("row_id", name="pk_check_runs"),
        _of_a_repository("check_runs"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "content_writes",
        _id("write_id"),
        _number("installation_id"),
        _time("written_at"),
        sa.PrimaryKeyConstraint("write_id", name="pk_content_writes"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "bookmarks",
        _text("name", 80),
        _json("value"),
        sa.PrimaryKeyConstraint("name", name="pk_bookmarks"),
    )
