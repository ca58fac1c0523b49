"""One of every noun that the state holds, with every field set."""

from __future__ import annotations

from typing import Any

from gateway.catalog import Customer, CustomerPlan
from gateway.identity import Revocation
from gateway.identity.revocation import Revoked
from gateway.justification import AccessRequest, Authorization, Grant, RequestState, Ticket, TicketKind, Usage

FAR_US = 253_402_300_799_999_999  # the last microsecond of the year 9999
PLAN = CustomerPlan("P-1", "us-only", ("US", "PR"), 400, 100, 200, enabled_us=150, ends_us=FAR_US, new=True)
ACME = Customer("acme", "Acme 'Health' \u00e9\U0001f3e5", (PLAN,))
TICKET = Ticket(
    "CASE-5",
    TicketKind.SUPPORT,
    ("acme", "globex"),
    "No sound",
    1,
    severity=3,
    holder="sam",
    closed_us=9,
    handed_off_us=8,
)
ASKED = AccessRequest(
    "R-1",
    "priya",
    "BUG-9",
    "acme",
    ("case", "conversation"),
    ("read",),
    'a "reason" of\ntwo lines',
    3_600,
    100,
    RequestState.APPROVED,
    200,
    "dana",
    5_000,
    7,
)
GRANT = Grant("G-1", "R-1", "priya", "BUG-9", "acme", ("case",), ("read", "export"), 1, FAR_US, "dana", 3, 5_000, 7)
AUTHORIZATION = Authorization("A-1", "acme", "Ada of Acme", "CASE-5", (), ("read",), 1, 2, 3)
USAGE = Usage("G-1", 7, 2**62)
REVOCATION = Revocation("token:t-1:", Revoked.TOKEN, "t-1", "https://login.example.com/", 5, 6)

NOUNS: tuple[Any, ...] = (ACME, TICKET, ASKED, GRANT, AUTHORIZATION, USAGE, REVOCATION)


def key_of(noun: Any) -> str:
    return noun.grant if isinstance(noun, Usage) else str(noun.id)
