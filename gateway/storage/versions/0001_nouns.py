"""The nouns: customers, plans, tickets, access requests, grants, authorizations, usage, revocations and the feed."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def text(name: str, *, primary_key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False, primary_key=primary_key)


def whole(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def upgrade() -> None:
    op.create_table("customer", text("id", primary_key=True), text("name"))
    op.create_table(
        "plan",
        text("id", primary_key=True),
        sa.Column("customer", sa.Text, sa.ForeignKey("customer.id"), nullable=False, index=True),
        *map(text, ("name", "home")),
        sa.Column("seats", sa.Integer, nullable=False),
        *map(whole, ("ordered_us", "due_us", "enabled_us", "ends_us")),
        sa.Column("new", sa.Boolean, nullable=False),
    )
    op.create_table(
        "ticket",
        text("id", primary_key=True),
        *map(text, ("kind", "customers", "title", "holder")),
        sa.Column("severity", sa.Integer, nullable=False),
        *map(whole, ("opened_us", "closed_us")),
    )
    op.create_table(
        "access_request",
        text("id", primary_key=True),
        *map(text, ("subject", "ticket", "customer", "data_classes", "actions", "reason", "state", "decided_by")),
        *map(whole, ("duration_s", "requested_us", "decided_us", "max_bytes", "max_requests")),
    )
    op.create_table(
        "access_grant",
        text("id", primary_key=True),
        *map(text, ("request", "subject", "ticket", "customer", "data_classes", "actions", "approved_by")),
        *map(whole, ("starts_us", "ends_us", "revoked_us", "max_bytes", "max_requests")),
    )
    op.create_table(
        "customer_authorization",
        text("id", primary_key=True),
        *map(text, ("customer", "given_by", "ticket", "data_classes", "actions")),
        *map(whole, ("starts_us", "ends_us", "withdrawn_us")),
    )
    op.create_table("grant_usage", text("grant", primary_key=True), *map(whole, ("requests", "bytes")))
    op.create_table(
        "revocation",
        text("id", primary_key=True),
        *map(text, ("kind", "value", "issuer")),
        *map(whole, ("revoked_us", "issued_until_us")),
    )
    op.create_table(
        "change",
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=True),
        *map(text, ("noun", "key")),
        whole("at_us"),
        sqlite_autoincrement=True,
    )
    op.create_index("change_by_noun", "change", ["noun", "key"])
