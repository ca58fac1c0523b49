"""Notices: what is told of, what of it has gone to which channel, and which reminders have been given."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def text(name: str, *, primary_key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False, primary_key=primary_key)


def whole(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def upgrade() -> None:
    op.create_table(
        "notice",
        text("id", primary_key=True),
        *map(text, ("type", "subject", "customer", "summary", "data", "node")),
        *map(whole, ("at_us", "planned_us")),
    )
    op.create_index("notice_by_planned", "notice", ["planned_us"])
    op.create_table(
        "notice_delivery",
        sa.Column("notice", sa.Text, sa.ForeignKey("notice.id"), nullable=False, primary_key=True),
        text("channel", primary_key=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        *map(whole, ("since_us", "next_us", "delivered_us", "given_up_us")),
        text("last_problem"),
    )
    op.create_index("notice_delivery_by_next", "notice_delivery", ["next_us"])
    op.create_table("notice_mark", text("id", primary_key=True), whole("at_us"))
