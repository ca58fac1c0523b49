"""Plans: a home of their own, orders that were typed in later, earlier seats; authorizations beyond severity 1.

What customers authorised before goes no further than severity 1, which is what they said unless they said more. The
home that a plan was ordered under stays its own.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_ADDED: dict[str, list[tuple[str, Any, str]]] = {
    "customer_authorization": [("any_severity", sa.Boolean, "0")],
    "plan": [("recorded_us", sa.BigInteger, "0"), ("past_seats", sa.Text, "'[]'")],
}


def upgrade() -> None:
    for table, columns in _ADDED.items():
        with op.batch_alter_table(table, recreate="always") as altered:
            for name, kind, default in columns:
                altered.add_column(sa.Column(name, kind, nullable=False, server_default=sa.text(default)))
        with op.batch_alter_table(table, recreate="always") as altered:
            for name, _, _ in columns:
                altered.alter_column(name, server_default=None)
