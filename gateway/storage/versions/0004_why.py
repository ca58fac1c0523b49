"""Why: approvers, consents, endings, queues and histories; and the answers to calls that may be made twice."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_ADDED: dict[str, list[tuple[str, Any, str]]] = {
    "customer": [("approvers", sa.Integer, "1"), ("consent", sa.Boolean, "0")],
    "plan": [("begun_us", sa.BigInteger, "0")],
    "ticket": [("nature", sa.Text, "''"), ("holder_country", sa.Text, "''"), ("queued_until_us", sa.BigInteger, "0")],
    "access_request": [
        ("approved_by", sa.Text, "'[]'"),
        ("consented_by", sa.Text, "''"),
        ("why", sa.Text, "''"),
        ("answer_by_us", sa.BigInteger, "0"),
        ("approvers", sa.Integer, "1"),
        ("consent", sa.Boolean, "0"),
    ],
    "access_grant": [("ended_us", sa.BigInteger, "0"), ("why", sa.Text, "''")],
    "customer_authorization": [
        ("received", sa.Text, "''"),
        ("document_sha256", sa.Text, "''"),
        ("recorded_by", sa.Text, "''"),
    ],
}


def text(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False, **options)


def upgrade() -> None:
    for table, columns in _ADDED.items():
        with op.batch_alter_table(table, recreate="always") as altered:
            for name, kind, default in columns:
                altered.add_column(sa.Column(name, kind, nullable=False, server_default=sa.text(default)))
        with op.batch_alter_table(table, recreate="always") as altered:
            for name, _, _ in columns:
                altered.alter_column(name, server_default=None)
    op.execute("UPDATE ticket SET nature = 'incident' WHERE kind = 'security'")
    op.create_table(
        "ticket_event",
        text("id", primary_key=True),
        text("ticket", index=True),
        *map(text, ("actor", "act", "detail")),
        sa.Column("at_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "replay",
        text("id", primary_key=True),
        *map(text, ("fingerprint", "answer")),
        sa.Column("at_us", sa.BigInteger, nullable=False),
    )
