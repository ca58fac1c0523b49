"""Checkpoints: the last one of each ledger, kept outside of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "held_checkpoint",
        sa.Column("origin", sa.Text, nullable=False, primary_key=True),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("told_us", sa.BigInteger, nullable=False),
    )
