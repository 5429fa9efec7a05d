"""What an outage or a change leaves to do: since when a job fails, and what an installation is still owed.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("failing_since", AT, nullable=True))
    op.add_column("installations", sa.Column("listed_at", AT, nullable=True))
    op.add_column("installations", sa.Column("owed", sa.String(20), nullable=False, server_default=""))
    op.add_column("installations", sa.Column("last_error", sa.Text(), nullable=False, server_default=""))
    op.add_column("installations", sa.Column("refused_at", AT, nullable=True))
    op.add_column("installations", sa.Column("gone_since", AT, nullable=True))


def downgrade() -> None:
    for name in ("gone_since", "refused_at", "last_error", "owed", "listed_at"):
        op.drop_column("installations", name)
    op.drop_column("jobs", "failing_since")
