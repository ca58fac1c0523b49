"""Who: who held a ticket after each line of its history, and by which way somebody acted or approved.

Of what was done before, neither is known.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_ADDED = {"ticket_event": {"holder": "''", "via": "''"}, "access_request": {"approved_via": "'[]'"}}


def upgrade() -> None:
    for table, columns in _ADDED.items():
        with op.batch_alter_table(table, recreate="always") as altered:
            for name, default in columns.items():
                altered.add_column(sa.Column(name, sa.Text, nullable=False, server_default=sa.text(default)))
        with op.batch_alter_table(table, recreate="always") as altered:
            for name in columns:
                altered.alter_column(name, server_default=None)
