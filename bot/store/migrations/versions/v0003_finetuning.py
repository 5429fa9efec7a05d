"""Fine-tuning in the App: runs, budgets, GPU workers, replies, the ledger and the thresholds that follow from it.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _id(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False)


def _number(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=nullable, server_default=default)


def _count(name: str, *, default: str | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False, server_default=default)


def _float(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[float]:
    return sa.Column(name, sa.Float(), nullable=nullable, server_default=default)


def _text(name: str, length: int, *, nullable: bool = False, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=nullable, server_default=default)


def _long_text(name: str, *, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default=default)


def _flag(name: str, *, default: bool = True) -> sa.Column[bool]:
    """`default`: false where nothing is said."""
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false() if default else None)


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _json(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.JSON(), nullable=nullable)


def _of_an_installation(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["installation_id"],
        ["installations.installation_id"],
        name=f"fk_{table}_installation_id_installations",
        ondelete="CASCADE",
    )


def _of_a_repository(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["installation_id", "repository_id"],
        ["repositories.installation_id", "repositories.repository_id"],
        name=f"fk_{table}_installation_id_repository_id_repositories",
        ondelete="CASCADE",
    )


INDEXES = (
    ("runs", "state", "queued_at"),
    ("runs", "installation_id", "repository_id", "run_id"),
    ("runs", "installation_id", "budget_month"),
    ("replies", "installation_id", "run_id"),
    ("ledger", "installation_id", "entry_id"),
    ("ledger", "installation_id", "repository_id"),
    ("calibrations", "installation_id", "calibration_id"),
    ("shared_outcomes", "origin_installation_id", "origin_repository_id"),
)
ONE_REPLY = ("installation_id", "repository_id", "comment_id")


def upgrade() -> None:
    _make_runs()
    _make_what_pays_and_works()
    _make_what_is_learned()
    for table, *columns in INDEXES:
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)
    op.create_index(f"ix_replies_{'_'.join(ONE_REPLY)}", "replies", ONE_REPLY, unique=True)
    op.add_column("check_runs", _number("run_id", default="0"))
    for table in ("installations", "repositories"):
        op.add_column(table, _json("config", nullable=True))


def downgrade() -> None:
    for table in ("installations", "repositories"):
        op.drop_column(table, "config")
    op.drop_column("check_runs", "run_id")
    for table in (
        "shared_outcomes",
        "calibrations",
        "ledger",
        "replies",
        "gpu_workers",
        "removed_minutes",
        "budgets",
        "runs",
    ):
        op.drop_table(table)


def _make_runs() -> None:
    op.create_table(
        "runs",
        _id("run_id"),
        _number("installation_id"),
        _number("repository_id"),
        _text("purpose", 20),
        _text("state", 20),
        _text("ending", 20, default=""),
        _long_text("reason", default=""),
        _text("open_key", 160, nullable=True),
        _text("head_sha", 40),
        _number("screening_id"),
        _number("judged_run_id"),
        _flag("forced", default=False),
        _flag("audit", default=False),
        _number("asked_by"),
        _number("comment_id"),
        _text("base_model", 255),
        _json("recipe"),
        _text("recipe_id", 40, default=""),
        _text("label_recipe_id", 40),
        _text("config_hash", 80, default=""),
        _text("pair_set_id", 64, default=""),
        _float("estimated_minutes", default="0"),
        _float("spent_minutes", default="0"),
        _text("budget_month", 7, default=""),
        _count("attempts", default="0"),
        _text("worker", 120, default=""),
        _text("lease_token", 40, default=""),
        _time("lease_until", nullable=True),
        _flag("cancel_asked"),
        _json("progress"),
        _time("progress_at", nullable=True),
        _json("checkpoints"),
        _json("result", nullable=True),
        _text("artifacts", 255, default=""),
        _flag("settled"),
        _time("made_at"),
        _time("not_before"),
        _time("queued_at", nullable=True),
        _time("started_at", nullable=True),
        _time("ended_at", nullable=True),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
        sa.UniqueConstraint("open_key", name="uq_runs_open_key"),
        _of_a_repository("runs"),
        sqlite_autoincrement=True,
    )


def _make_what_pays_and_works() -> None:
    op.create_table(
        "budgets",
        _number("installation_id"),
        _float("monthly_minutes"),
        _count("concurrency"),
        _time("set_at"),
        sa.PrimaryKeyConstraint("installation_id", name="pk_budgets"),
        _of_an_installation("budgets"),
    )
    op.create_table(
        "removed_minutes",
        _number("installation_id"),
        _text("budget_month", 7),
        _float("minutes"),
        sa.PrimaryKeyConstraint("installation_id", "budget_month", name="pk_removed_minutes"),
    )
    op.create_table(
        "gpu_workers",
        _text("name", 120),
        _text("device", 255),
        _float("flops_per_s", nullable=True),
        _time("seen_at"),
        sa.PrimaryKeyConstraint("name", name="pk_gpu_workers"),
    )
    op.create_table(
        "replies",
        _id("reply_id"),
        _number("installation_id"),
        _number("repository_id"),
        _number("comment_id"),
        _number("issue_number"),
        _number("run_id"),
        _long_text("text"),
        _number("posted_id", default="0"),
        _text("posted_digest", 64, default=""),
        _time("posted_at", nullable=True),
        _time("made_at"),
        sa.PrimaryKeyConstraint("reply_id", name="pk_replies"),
        _of_a_repository("replies"),
        sqlite_autoincrement=True,
    )


def _make_what_is_learned() -> None:
    op.create_table(
        "ledger",
        _id("entry_id"),
        _number("installation_id"),
        _number("repository_id"),
        _number("run_id"),
        _time("at"),
        _json("entry"),
        sa.PrimaryKeyConstraint("entry_id", name="pk_ledger"),
        _of_a_repository("ledger"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "calibrations",
        _id("calibration_id"),
        _number("installation_id"),
        _time("at"),
        _text("label_recipe_id", 40),
        _text("base_model_family", 120),
        _text("version", 40),
        _json("threshold"),
        _json("inputs"),
        _number("run_id"),
        _json("flips"),
        sa.PrimaryKeyConstraint("calibration_id", name="pk_calibrations"),
        _of_an_installation("calibrations"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "shared_outcomes",
        _id("shared_id"),
        _text("contributor", 32),
        _number("origin_installation_id", nullable=True),
        _number("origin_repository_id", nullable=True),
        _text("label_recipe_id", 40),
        _text("base_model_family", 120),
        _float("density"),
        _float("delta"),
        _text("month", 7),
        sa.PrimaryKeyConstraint("shared_id", name="pk_shared_outcomes"),
        sqlite_autoincrement=True,
    )
