"""Legal holds on entries of the ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "legal_hold",
        sa.Column("name", sa.Text, nullable=False, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("customer", "reason", "placed_by", "ended_by")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("since_us", "until_us", "placed_us", "ended_us")),
    )
