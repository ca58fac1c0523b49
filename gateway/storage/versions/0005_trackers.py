"""Trackers: which one pushed a ticket (unknown of those that there are), and what of theirs was handed off here."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    with op.batch_alter_table("ticket", recreate="always") as ticket:
        ticket.add_column(sa.Column("pushed_by", sa.Text, nullable=False, server_default=sa.text("''")))
    with op.batch_alter_table("ticket", recreate="always") as ticket:
        ticket.alter_column("pushed_by", server_default=None)
    op.create_table(
        "hand_off",
        sa.Column("id", sa.Text, nullable=False, primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
    )
