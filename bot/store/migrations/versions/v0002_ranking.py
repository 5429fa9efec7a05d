"""The ranking of the newest screening. Earlier rows have none and are posted without it.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("screenings", sa.Column("ranking", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("screenings", "ranking")
