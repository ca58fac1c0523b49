"""What a value in a call may be: bounded, and of one form."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gateway.acts.transfers import ACCOUNT_NAME
from gateway.catalog.customers import CUSTOMER_ID
from gateway.clock import parse_rfc3339
from gateway.justification import TICKET_ID
from gateway.letters import LINE_PATTERN, TEXT_PATTERN

MAX_KEY, MAX_LINE, MAX_TEXT, MAX_NAMES, MAX_PUBLIC_KEY = 128, 200, 2_000, 100, 4_096
MAX_PAGE, PAGE = 200, 50
MAX_SEQUENCE = 2**53 - 1
MAX_COUNT = 2**53 - 1  # what JSON readers keep exact (RFC 8259 §6), and what an entry may hold

_INSTANT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})$"


def _instant_us(text: str) -> int:
    """Microseconds since the epoch.

    Raises:
        ValueError: no such instant, or one before the epoch.
    """
    try:
        instant_us = parse_rfc3339(text)
    except (ValueError, OverflowError):
        raise ValueError("expected an instant such as 2026-03-01T09:00:00Z") from None
    if not 0 < instant_us <= MAX_COUNT:  # an entry holds no larger number
        raise ValueError("expected an instant after 1970 and before 2255")
    return instant_us


def number(text: Any) -> Any:
    """Of a query: digits alone, where pydantic would take ``1.0`` and ``1_0``, too."""
    if isinstance(text, str):
        if not re.fullmatch(r"0|[1-9][0-9]{0,15}", text):
            raise ValueError("expected a whole number")
        return int(text)
    return text


def _truth(text: Any) -> Any:
    if isinstance(text, str):
        if text not in ("true", "false"):
            raise ValueError("expected true or false")
        return text == "true"
    return text


Key = Annotated[str, Field(min_length=1, max_length=MAX_KEY, pattern=LINE_PATTERN)]
"""An id, or somebody's subject."""

Line = Annotated[str, Field(min_length=1, max_length=MAX_LINE, pattern=LINE_PATTERN)]
MaybeLine = Annotated[str, Field(max_length=MAX_LINE, pattern=LINE_PATTERN)]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=TEXT_PATTERN)]
MaybeText = Annotated[str, Field(max_length=MAX_TEXT, pattern=TEXT_PATTERN)]
MaybeKey = Annotated[str, Field(max_length=MAX_KEY, pattern=LINE_PATTERN)]
TicketId = Annotated[str, Field(pattern=rf"^{TICKET_ID}$")]
"""Of a ticket to open."""

CustomerId = Annotated[str, Field(max_length=63, pattern=rf"^{CUSTOMER_ID.pattern}$")]
CustomerOrAll = Annotated[str, Field(max_length=63, pattern=rf"^({CUSTOMER_ID.pattern}|\*)$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
AccountName = Annotated[str, Field(pattern=rf"^{ACCOUNT_NAME}$")]
PublicKey = Annotated[str, Field(min_length=1, max_length=MAX_PUBLIC_KEY, pattern=LINE_PATTERN)]
"""A line of a ``.pub`` file, without its end."""
Network = Annotated[str, Field(min_length=2, max_length=49, pattern=r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$")]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
MaybeCountry = Annotated[str, Field(pattern=r"^([A-Z]{2})?$")]
MaybeSha256 = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
Seats = Annotated[int, Field(ge=1, le=10_000_000)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]

AskedInstant = Annotated[
    str,
    Field(pattern=_INSTANT),
    AfterValidator(_instant_us),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": _INSTANT}),
]
"""RFC 3339 with an offset; an ``int`` of microseconds once it is read."""

PageLimit = Annotated[int, Field(ge=1, le=MAX_PAGE), BeforeValidator(number)]
AskedSeats = Annotated[int, Field(ge=1, le=10_000_000), BeforeValidator(number)]
Sequence = Annotated[int, Field(ge=0, le=MAX_SEQUENCE), BeforeValidator(number)]
AskedTruth = Annotated[bool, BeforeValidator(_truth)]
