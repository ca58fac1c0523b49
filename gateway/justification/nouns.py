"""Why: the reasons for which somebody may see a protected customer's data.

Instants are microseconds since the epoch; 0 stands for "not yet" or "no end".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

EVERY_CUSTOMER = "*"
"""In a ticket's customers: a security incident that concerns all of them."""


class TicketKind(StrEnum):
    """What a ticket is about, which decides what it can justify."""

    SUPPORT = "support"
    SECURITY = "security"
    BUG = "bug"


@dataclass(frozen=True, slots=True)
class Ticket:
    """A case, an incident or a bug at the embedded desk.

    ``severity`` is 1 to 4 for support tickets and 0 for the others; ``holder`` is the subject who works on it. One that
    was handed off (``handed_off_us``) speaks by itself for nobody outside home any more, whoever holds it.
    """

    id: str
    kind: TicketKind
    customers: tuple[str, ...]
    title: str
    opened_us: int
    severity: int = 0
    holder: str = ""
    closed_us: int = 0
    handed_off_us: int = 0

    @property
    def is_open(self) -> bool:
        return self.closed_us == 0

    def covers(self, customer: str) -> bool:
        """Whether the ticket names this customer (``"*"`` asks for all of them)."""
        return customer in self.customers or EVERY_CUSTOMER in self.customers


class RequestState(StrEnum):
    """Where an access request stands."""

    REQUESTED = "requested"
    APPROVED = "approved"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """An engineer asks for access to one customer's data, for one bug."""

    id: str
    subject: str
    ticket: str
    customer: str
    data_classes: tuple[str, ...]
    actions: tuple[str, ...]
    reason: str
    duration_s: int
    requested_us: int
    state: RequestState = RequestState.REQUESTED
    decided_us: int = 0
    decided_by: str = ""
    max_bytes: int = 0
    max_requests: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """What an approver approved: one person, one customer, these classes and actions, one ticket, until then.

    ``max_bytes`` and ``max_requests`` cap what may be read under it; 0 means no cap.
    """

    id: str
    request: str
    subject: str
    ticket: str
    customer: str
    data_classes: tuple[str, ...]
    actions: tuple[str, ...]
    starts_us: int
    ends_us: int
    approved_by: str
    revoked_us: int = 0
    max_bytes: int = 0
    max_requests: int = 0

    def is_active(self, now_us: int) -> bool:
        return not self.revoked_us and self.starts_us <= now_us < self.ends_us

    def covers(self, *, subject: str, customer: str, data_class: str, action: str, ticket: str) -> bool:
        """Exactly this person, customer, data class, action and ticket."""
        return (
            self.subject == subject
            and self.customer == customer
            and self.ticket == ticket
            and data_class in self.data_classes
            and action in self.actions
        )


@dataclass(frozen=True, slots=True)
class Authorization:
    """What a customer itself authorised ("unless otherwise authorized by Customer").

    With a ``ticket`` it covers that ticket; without one it is standing, must have an end, and covers severity 1
    support tickets of that customer only.
    """

    id: str
    customer: str
    given_by: str
    ticket: str
    data_classes: tuple[str, ...]
    actions: tuple[str, ...]
    starts_us: int
    ends_us: int
    withdrawn_us: int = 0

    def is_active(self, now_us: int) -> bool:
        return not self.withdrawn_us and self.starts_us <= now_us and (not self.ends_us or now_us < self.ends_us)


@dataclass(frozen=True, slots=True)
class Usage:
    """What has been read under a grant so far."""

    grant: str
    requests: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Justification:
    """What was found for one attempt.

    Attributes:
        cited: the ticket's id as cited, or "".
        ticket: that ticket, if the desk knows it and it is open.
        grant: the active grant that covers the attempt.
        authorization: the customer's authorization that covers it.
        incident: the ticket cited is an open security ticket that names the customer.
        reason: free text, as given.
    """

    cited: str = ""
    ticket: Ticket | None = None
    grant: Grant | None = None
    authorization: Authorization | None = None
    incident: bool = False
    reason: str = ""
