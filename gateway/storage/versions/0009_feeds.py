"""Feeds: how far each has come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "feed_cursor",
        sa.Column("name", sa.Text, nullable=False, primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("moved_us", sa.BigInteger, nullable=False),
        sa.Column("failing_since_us", sa.BigInteger, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
    )
