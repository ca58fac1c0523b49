"""When a ticket was handed off: from then on it speaks for nobody outside home by itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("ticket", recreate="always") as ticket:
        ticket.add_column(sa.Column("handed_off_us", sa.BigInteger, nullable=False, server_default="0"))
    with op.batch_alter_table("ticket", recreate="always") as ticket:
        ticket.alter_column("handed_off_us", server_default=None)
    op.execute("UPDATE ticket SET handed_off_us = opened_us WHERE holder = 'us-queue'")
