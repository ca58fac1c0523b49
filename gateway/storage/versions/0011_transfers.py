"""Who signs in at the transfer doors: customers' upload accounts, and passes of personnel."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _instants(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def upgrade() -> None:
    op.create_table(
        "upload_account",
        sa.Column("id", sa.Text, nullable=False, primary_key=True),
        *_texts("customer", "password", "keys"),
        *_instants("made_us", "closed_us"),
    )
    op.create_table(
        "transfer_pass",
        sa.Column("id", sa.Text, nullable=False, primary_key=True),
        *_texts("subject", "issuer", "roles", "country", "token_id", "customer", "ticket", "reason", "secret"),
        *_instants("issued_at_s", "made_us", "ends_us", "sessions", "used", "revoked_us"),
    )
