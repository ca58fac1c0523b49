"""The tables of the state database, and how a noun becomes a row and a row a noun.

Each noun has one table whose columns carry the names of its fields; tuples are JSON arrays, mappings JSON objects.
``change`` is the feed: every write adds one row in the same transaction, so that whoever remembers the last revision it
saw can catch up.
"""

from __future__ import annotations

import dataclasses
import json
from collections import abc
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, MetaData, Table, Text

from gateway.errors import StateUnavailable
from gateway.identity import Revocation, TransferPass, UploadAccount
from gateway.justification import AccessRequest, Authorization, Grant, HandOff, Ticket, TicketEvent, Usage
from gateway.ledger.hold import Hold
from gateway.notification import Notice
from gateway.storage.replay import Replay

metadata = MetaData()


def _text(name: str, **options: Any) -> Column[Any]:
    return Column(name, Text, nullable=False, **options)


def _instant(name: str) -> Column[Any]:
    return Column(name, BigInteger, nullable=False)


customer = Table(
    "customer",
    metadata,
    _text("id", primary_key=True),
    _text("name"),
    Column("approvers", Integer, nullable=False),
    Column("consent", Boolean, nullable=False),
)
plan = Table(
    "plan",
    metadata,
    _text("id", primary_key=True),
    Column("customer", Text, ForeignKey("customer.id"), nullable=False, index=True),
    _text("name"),
    _text("home"),
    Column("seats", Integer, nullable=False),
    _text("past_seats"),
    *map(_instant, ("ordered_us", "due_us", "enabled_us", "ends_us", "begun_us", "recorded_us")),
    Column("new", Boolean, nullable=False),
)
ticket = Table(
    "ticket",
    metadata,
    *map(_text, ("kind", "customers", "title", "holder", "nature", "holder_country", "pushed_by")),
    _text("id", primary_key=True),
    Column("severity", Integer, nullable=False),
    *map(_instant, ("opened_us", "closed_us", "handed_off_us", "queued_until_us")),
)
ticket_event = Table(
    "ticket_event",
    metadata,
    _text("id", primary_key=True),
    _text("ticket", index=True),
    *map(_text, ("actor", "act", "detail", "holder", "via")),
    _instant("at_us"),
)
hand_off = Table("hand_off", metadata, _text("id", primary_key=True), _instant("at_us"))
access_request = Table(
    "access_request",
    metadata,
    _text("id", primary_key=True),
    *map(_text, ("subject", "ticket", "customer", "data_classes", "actions", "reason", "state", "decided_by")),
    *map(_text, ("approved_by", "consented_by", "why", "approved_via")),
    *map(_instant, ("duration_s", "requested_us", "decided_us", "max_bytes", "max_requests", "answer_by_us")),
    Column("approvers", Integer, nullable=False),
    Column("consent", Boolean, nullable=False),
)
grant = Table(
    "access_grant",
    metadata,
    _text("id", primary_key=True),
    *map(_text, ("request", "subject", "ticket", "customer", "data_classes", "actions", "approved_by", "why")),
    *map(_instant, ("starts_us", "ends_us", "revoked_us", "max_bytes", "max_requests", "ended_us")),
)
authorization = Table(
    "customer_authorization",
    metadata,
    _text("id", primary_key=True),
    *map(_text, ("customer", "given_by", "ticket", "data_classes", "actions")),
    *map(_text, ("received", "document_sha256", "recorded_by")),
    *map(_instant, ("starts_us", "ends_us", "withdrawn_us")),
    Column("any_severity", Boolean, nullable=False),
)
usage = Table("grant_usage", metadata, _text("grant", primary_key=True), _instant("requests"), _instant("bytes"))
revocation = Table(
    "revocation",
    metadata,
    _text("id", primary_key=True),
    *map(_text, ("kind", "value", "issuer")),
    *map(_instant, ("revoked_us", "issued_until_us")),
)
replay = Table(
    "replay", metadata, _text("id", primary_key=True), *map(_text, ("fingerprint", "answer")), _instant("at_us")
)
notice = Table(
    "notice",
    metadata,
    _text("id", primary_key=True),
    *map(_text, ("type", "subject", "customer", "summary", "data", "node")),
    *map(_instant, ("at_us", "planned_us")),
    Index("notice_by_planned", "planned_us"),
)
delivery = Table(
    "notice_delivery",
    metadata,
    Column("notice", Text, ForeignKey("notice.id"), nullable=False, primary_key=True),
    _text("channel", primary_key=True),
    Column("attempts", Integer, nullable=False),
    *map(_instant, ("since_us", "next_us", "delivered_us", "given_up_us")),
    _text("last_problem"),
    Index("notice_delivery_by_next", "next_us"),
)
mark = Table("notice_mark", metadata, _text("id", primary_key=True), _instant("at_us"))
held_checkpoint = Table(
    "held_checkpoint", metadata, _text("origin", primary_key=True), _text("note"), _instant("told_us")
)
feed_cursor = Table(
    "feed_cursor",
    metadata,
    _text("name", primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    _instant("moved_us"),
    _instant("failing_since_us"),
    _text("problem"),
)
legal_hold = Table(
    "legal_hold",
    metadata,
    _text("name", primary_key=True),
    *map(_text, ("customer", "reason", "placed_by", "ended_by")),
    *map(_instant, ("since_us", "until_us", "placed_us", "ended_us")),
)
upload_account = Table(
    "upload_account",
    metadata,
    _text("id", primary_key=True),
    *map(_text, ("customer", "password", "keys")),
    *map(_instant, ("made_us", "closed_us")),
)
transfer_pass = Table(
    "transfer_pass",
    metadata,
    _text("id", primary_key=True),
    *map(_text, ("subject", "issuer", "roles", "country", "token_id", "customer", "ticket", "reason", "secret")),
    *map(_instant, ("issued_at_s", "made_us", "ends_us", "sessions", "used", "revoked_us")),
)
change = Table(
    "change",
    metadata,
    Column("revision", Integer, primary_key=True, autoincrement=True),
    _text("noun"),
    _text("key"),
    _instant("at_us"),
    Index("change_by_noun", "noun", "key"),
    sqlite_autoincrement=True,
)

CUSTOMER_FIELDS = ("id", "name", "approvers", "consent")
"""What a customer's own row holds; its plans are rows of their own."""

NOUNS: Mapping[type[Any], Table] = {
    Ticket: ticket,
    TicketEvent: ticket_event,
    HandOff: hand_off,
    Replay: replay,
    AccessRequest: access_request,
    Grant: grant,
    Authorization: authorization,
    Usage: usage,
    Revocation: revocation,
    Notice: notice,
    Hold: legal_hold,
    UploadAccount: upload_account,
    TransferPass: transfer_pass,
}
"""The nouns that are one row each. A customer is several: itself and its plans. What of a notice has gone where is
:mod:`~gateway.storage.outbox`'s."""


Noun = TypeVar("Noun")


def row_of(noun: Any) -> dict[str, Any]:
    """The row of a noun; tuples become JSON arrays, mappings JSON objects."""
    values = {field.name: getattr(noun, field.name) for field in dataclasses.fields(noun)}
    return {name: _stored(value) for name, value in values.items()}


def noun_of(kind: type[Noun], row: Mapping[Any, Any]) -> Noun:
    """The noun that a row holds, by the names of its columns.

    Raises:
        StateUnavailable: the row holds what the noun cannot, such as a state of a later version.
    """
    readers: Mapping[str, Callable[[Any], Any]] = _readers(kind)  # type: ignore[arg-type]  # a class is hashable
    try:
        return kind(**{name: read(row[name]) for name, read in readers.items()})
    except (TypeError, ValueError) as error:
        raise StateUnavailable(f"the state database holds what this version cannot read: {error}") from error


@cache
def _readers(kind: type[Any]) -> Mapping[str, Callable[[Any], Any]]:
    return {name: _reader(hint) for name, hint in get_type_hints(kind).items()}


def _reader(hint: Any) -> Callable[[Any], Any]:
    if get_origin(hint) is tuple:
        pairs = get_origin(get_args(hint)[0]) is tuple
        return lambda text: tuple(map(tuple, json.loads(text)) if pairs else json.loads(text))
    if get_origin(hint) is abc.Mapping:
        return lambda text: dict(json.loads(text))
    return hint if isinstance(hint, type) else str


def _stored(value: Any) -> Any:
    if isinstance(value, (tuple, Mapping)):
        return json.dumps(value)
    return str(value) if isinstance(value, StrEnum) else value
