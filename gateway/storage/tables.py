"""The tables of the state database, and how a noun becomes a row and a row a noun.

Each noun has one table whose columns carry the names of its fields; tuples are JSON arrays. ``change`` is the feed:
every write adds one row in the same transaction, so that whoever remembers the last revision it saw can catch up.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, get_origin, get_type_hints

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, MetaData, Table, Text

from gateway.errors import StateUnavailable
from gateway.identity import Revocation
from gateway.justification import AccessRequest, Authorization, Grant, Ticket, Usage

metadata = MetaData()


def _text(name: str, **options: Any) -> Column[Any]:
    return Column(name, Text, nullable=False, **options)


def _instant(name: str) -> Column[Any]:
    return Column(name, BigInteger, nullable=False)


customer = Table("customer", metadata, _text("id", primary_key=True), _text("name"))
plan = Table(
    "plan",
    metadata,
    _text("id", primary_key=True),
    Column("customer", Text, ForeignKey("customer.id"), nullable=False, index=True),
    _text("name"),
    _text("home"),
    Column("seats", Integer, nullable=False),
    *map(_instant, ("ordered_us", "due_us", "enabled_us", "ends_us")),
    Column("new", Boolean, nullable=False),
)
ticket = Table(
    "ticket",
    metadata,
    *map(_text, ("kind", "customers", "title", "holder")),
    _text("id", primary_key=True),
    Column("severity", Integer, nullable=False),
    *map(_instant, ("opened_us", "closed_us", "handed_off_us")),
)
access_request = Table(
    "access_request",
    metadata,
    _text("id", primary_key=True),
    *map(_text, ("subject", "ticket", "customer", "data_classes", "actions", "reason", "state", "decided_by")),
    *map(_instant, ("duration_s", "requested_us", "decided_us", "max_bytes", "max_requests")),
)
grant = Table(
    "access_grant",
    metadata,
    _text("id", primary_key=True),
    *map(_text, ("request", "subject", "ticket", "customer", "data_classes", "actions", "approved_by")),
    *map(_instant, ("starts_us", "ends_us", "revoked_us", "max_bytes", "max_requests")),
)
authorization = Table(
    "customer_authorization",
    metadata,
    _text("id", primary_key=True),
    *map(_text, ("customer", "given_by", "ticket", "data_classes", "actions")),
    *map(_instant, ("starts_us", "ends_us", "withdrawn_us")),
)
usage = Table("grant_usage", metadata, _text("grant", primary_key=True), _instant("requests"), _instant("bytes"))
revocation = Table(
    "revocation",
    metadata,
    _text("id", primary_key=True),
    *map(_text, ("kind", "value", "issuer")),
    *map(_instant, ("revoked_us", "issued_until_us")),
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

NOUNS: Mapping[type[Any], Table] = {
    Ticket: ticket,
    AccessRequest: access_request,
    Grant: grant,
    Authorization: authorization,
    Usage: usage,
    Revocation: revocation,
}
"""The nouns that are one row each. A customer is several: itself and its plans."""


Noun = TypeVar("Noun")


def row_of(noun: Any) -> dict[str, Any]:
    """The row of a noun; tuples become JSON arrays."""
    values = {field.name: getattr(noun, field.name) for field in dataclasses.fields(noun)}
    return {name: _stored(value) for name, value in values.items()}


def noun_of(kind: type[Noun], row: Mapping[str, Any]) -> Noun:
    """The noun that a row holds.

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
        return lambda text: tuple(json.loads(text))
    return hint if isinstance(hint, type) else str


def _stored(value: Any) -> Any:
    if isinstance(value, tuple):
        return json.dumps(value)
    return str(value) if isinstance(value, StrEnum) else value
