"""One of every noun that the state holds, with every field set."""

from __future__ import annotations

from typing import Any

from gateway.catalog import Customer, CustomerPlan
from gateway.identity import Revocation, TransferPass, UploadAccount
from gateway.identity.revocation import Revoked
from gateway.justification import (
    AccessRequest,
    Authorization,
    Grant,
    HandOff,
    RequestState,
    Ticket,
    TicketEvent,
    TicketKind,
    Usage,
)
from gateway.ledger.hold import Hold
from gateway.notification import Notice
from gateway.storage import Replay

FAR_US = 253_402_300_799_999_999  # the last microsecond of the year 9999
PLAN = CustomerPlan(
    "P-1", "us-only", ("US", "PR"), 400, 100, 200, enabled_us=150, ends_us=FAR_US, new=True, begun_us=200,
    recorded_us=120, past_seats=((1, 130), (350, 140)),
)  # fmt: skip
ACME = Customer("acme", "Acme 'Health' \u00e9\U0001f3e5", (PLAN,), approvers=2, consent=True)
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
    nature="incident",
    holder_country="US",
    queued_until_us=7,
    pushed_by="pager",
)
EVENT = TicketEvent("019a", "CASE-5", 9, "sam", "ticket.close", "ended G-1", "sam", "cli:root@node-1")
HAND_OFF = HandOff("SEC-7", 9)
REPLAY = Replay("a1", "b2", '{"id":"R-1"}', 9)
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
    approvers=2,
    approved_by=("dana", "dave"),
    consent=True,
    consented_by="Ada of Acme",
    answer_by_us=300,
    why="no",
    approved_via=("", "cli:root@node-1"),
)
GRANT = Grant(
    "G-1", "R-1", "priya", "BUG-9", "acme", ("case",), ("read", "export"), 1, FAR_US, "dana", 3, 5_000, 7, 9, "over"
)
AUTHORIZATION = Authorization(
    "A-1", "acme", "Ada of Acme", "CASE-5", (), ("read",), 1, 2, 3, "letter", "0" * 64, "dana", any_severity=True
)
USAGE = Usage("G-1", 7, 2**62)
REVOCATION = Revocation("token:t-1:", Revoked.TOKEN, "t-1", "https://login.example.com/", 5, 6)
NOTICE = Notice(
    "019a0000-0000-7000-8000-000000000001",
    "access.requested",
    "R-1",
    "acme",
    100,
    'priya asks for "access"',
    {"ticket": "BUG-9", "duration_s": 2**62, "actions": ["read", "export"]},
    planned_us=200,
    node="gateway-1",
)
HOLD = Hold("case-17", "acme", 1, 2, "Acme v. Globex", "dana", 3, "sam", 4)
UPLOAD = UploadAccount("acme/nightly", "acme", "$argon2id$…", ("ssh-ed25519 AAAA",), 1, 2)
PASS = TransferPass(
    *("pass-1", "priya", "https://login.example.com/", ("engineer",), "IN", "t-1", 1),
    *("acme", "BUG-9", "to see it", "0" * 64, 2, 3, 4, 5, 6),
)

NOUNS: tuple[Any, ...] = (
    ACME,
    TICKET,
    EVENT,
    HAND_OFF,
    REPLAY,
    ASKED,
    GRANT,
    AUTHORIZATION,
    USAGE,
    REVOCATION,
    NOTICE,
    HOLD,
    UPLOAD,
    PASS,
)


def key_of(noun: Any) -> str:
    if isinstance(noun, Hold):
        return noun.name
    return noun.grant if isinstance(noun, Usage) else str(noun.id)
