"""The notice: that something happened, for people and programs that are not looking.

Invariants: a notice says *that* and *about whom*, never *what was in it*: no body, and no credential, since whatever
looks like one is masked when the notice is made; its size is bounded; its id is the same however often it is sent.
Instants are microseconds since the epoch; 0 stands for "not yet".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import uuid_utils

from gateway.masking import masked

Value = str | int | list[str]
MAX_TEXT, MAX_ITEMS = 500, 20
TAKEN = frozenset({"summary", "customer"})
"""What a message says beside the data, under these names."""
_KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


class NoticeType(StrEnum):
    """What may be told of; ``docs/notifications.md`` says of each when it is."""

    ACCESS_REQUESTED = "access.requested"
    ACCESS_REMINDER = "access.reminder"
    ACCESS_APPROVED = "access.approved"
    ACCESS_DENIED = "access.denied"
    ACCESS_WITHDRAWN = "access.withdrawn"
    ACCESS_EXPIRED = "access.expired"
    GRANT_BEGAN = "grant.began"
    GRANT_ENDING = "grant.ending"
    GRANT_REVOKED = "grant.revoked"
    GRANT_EXPIRED = "grant.expired"
    GRANT_EXHAUSTED = "grant.exhausted"
    TICKET_HANDED_OFF = "ticket.handed_off"
    TICKET_QUEUED = "ticket.queued"
    TICKET_ASSIGNED = "ticket.assigned"
    TICKET_WAITING = "ticket.waiting"
    PLAN_ORDERED = "plan.ordered"
    PLAN_REMINDER = "plan.reminder"
    PLAN_DUE = "plan.due"
    PLAN_ENABLED = "plan.enabled"
    PLAN_ENDED = "plan.ended"
    AUTHORIZATION_RECORDED = "authorization.recorded"
    AUTHORIZATION_WITHDRAWN = "authorization.withdrawn"
    INCIDENT_OPENED = "incident.opened"
    INCIDENT_WIDENED = "incident.widened"
    INCIDENT_CLOSED = "incident.closed"
    NOTIFICATION_TEST = "notification.test"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that happened; make one with :func:`notice`.

    Attributes:
        id: UUIDv7; who receives a notice twice tells by it.
        type: a :class:`NoticeType`.
        subject: what it is about, by id: a request, a grant, a ticket, a customer.
        customer: whose data it concerns, or ""; of several the ids with commas between, of all ``"*"``.
        at_us: when it happened.
        summary: one sentence for people.
        data: more for programs; small.
        planned_us: when a courier took it up for its channels, or 0.
        node: which gateway did.
    """

    id: str
    type: str
    subject: str
    customer: str
    at_us: int
    summary: str
    data: Mapping[str, Value] = field(default_factory=dict)
    planned_us: int = 0
    node: str = ""

    @property
    def customers(self) -> frozenset[str]:
        """Whose data it concerns, by id."""
        return frozenset(filter(None, self.customer.split(",")))


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where a notice stands with one channel.

    Attributes:
        notice, channel: which, by id and by name.
        attempts: begun so far.
        since_us: when it was first due; giving up counts from here.
        next_us: when it is due next; 0 once it was delivered or given up.
        delivered_us, given_up_us: when that was, or 0.
        last_problem: why the last attempt failed, or "".
    """

    notice: str
    channel: str
    attempts: int
    since_us: int
    next_us: int
    delivered_us: int = 0
    given_up_us: int = 0
    last_problem: str = ""

    @property
    def state(self) -> str:
        """``waiting``, ``delivered`` or ``failed``."""
        if self.delivered_us:
            return "delivered"
        return "failed" if self.given_up_us else "waiting"


def notice(
    type: str,  # noqa: A002 - the noun's own field
    *,
    subject: str,
    customer: str | Sequence[str],
    summary: str,
    at_us: int,
    data: Mapping[str, Value] | None = None,
) -> Notice:
    """A new notice, to be put into the same transaction as what it tells of.

    Text is made safe rather than refused, so that no act fails for what somebody wrote in a title or a reason:
    credentials are masked, control characters become blanks, and what is longer than :data:`MAX_TEXT` is cut. Of
    several customers none is left out, for who is told depends on it.

    Args:
        type: a :class:`NoticeType`, or its text.
        subject: what it is about, by id.
        customer: whose data it concerns, or ""; of several a sequence, of all ``"*"``.
        summary: one sentence for people.
        at_us: when it happened.
        data: at most :data:`MAX_ITEMS` more values for programs; no body, no token.

    Raises:
        ValueError: the type is none of the known ones, or ``data`` holds what a notice cannot. Both are mistakes of
            the program that makes the notice, not of whoever uses it.
    """
    given = dict(data or {})
    if len(given) > MAX_ITEMS:
        raise ValueError(f"got {len(given)} values; a notice holds at most {MAX_ITEMS}")
    return Notice(
        id=str(uuid_utils.uuid7()),
        type=NoticeType(type).value,
        subject=_safe(subject),
        customer=_safe(customer) if isinstance(customer, str) else ",".join(map(_safe, customer)),
        at_us=at_us,
        summary=_safe(summary),
        data={_key(key): _value(key, value) for key, value in given.items()},
    )


def _key(key: str) -> str:
    if not _KEY.fullmatch(key) or key in TAKEN:
        raise ValueError(f"got the name {key!r}; expected small letters, digits and '_', and none of {sorted(TAKEN)}")
    return key


def _value(key: str, value: object) -> Value:
    if isinstance(value, str):
        return _safe(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return value
    if isinstance(value, (list, tuple)) and len(value) <= MAX_ITEMS and all(isinstance(item, str) for item in value):
        return [_safe(item) for item in value]
    raise ValueError(f"got {value.__class__.__name__} for {key!r}; expected text, a whole number or a list of text")


def _safe(text: str) -> str:
    """One line without credentials, not too long."""
    line = _CONTROL.sub(" ", masked(text)).strip()
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"
