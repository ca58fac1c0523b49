"""Why: the reasons for which somebody may see a protected customer's data.

Instants are microseconds since the epoch; 0 stands for "not yet" or "no end".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.letters import folded

EVERY_CUSTOMER = "*"
"""In a ticket's customers: a security incident that concerns all of them."""


class TicketKind(StrEnum):
    """What a ticket is about, which decides what it can justify."""

    SUPPORT = "support"
    SECURITY = "security"
    BUG = "bug"


class Nature(StrEnum):
    """What a security ticket is (consent 2: "security-related issues, including Security Incidents")."""

    INCIDENT = "incident"
    INVESTIGATION = "investigation"


QUEUE_AT_HOME = "us-queue"
"""Who holds a ticket that waits for an analyst at home."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A case, an incident or a bug at the embedded desk.

    ``severity`` is 1 to 4 for support tickets and 0 for the others, ``nature`` is for security tickets; ``holder`` is
    the subject who works on it, from ``holder_country``. One that was handed off (``handed_off_us``) speaks by itself
    for nobody outside home any more, whoever holds it; a security ticket only for whoever held it then. One that
    came outside the support window waits until ``queued_until_us`` (``next-business-day``). ``pushed_by`` is the
    tracker that pushed it, or "".
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
    nature: str = ""
    holder_country: str = ""
    queued_until_us: int = 0
    pushed_by: str = ""

    @property
    def is_open(self) -> bool:
        return self.closed_us == 0

    def state(self, now_us: int) -> str:
        """``closed``, ``queued`` (for an analyst at home, or for the window to open), ``assigned`` or ``open``.

        Whoever it is assigned to may have to wait for the window, too: ``queued_until_us`` says for how long.
        """
        if not self.is_open:
            return "closed"
        if self.holder not in ("", QUEUE_AT_HOME):
            return "assigned"
        return "queued" if self.holder or self.queued_until_us > now_us else "open"

    def covers(self, customer: str) -> bool:
        """Whether the ticket names this customer (``"*"`` asks for all of them)."""
        return customer in self.customers or EVERY_CUSTOMER in self.customers


@dataclass(frozen=True, slots=True)
class HandOff:
    """A hand-off that counts whatever is said of the ticket later.

    ``id`` is that of a ticket of another system, which from then on speaks by itself for nobody outside home; or names
    a security ticket of any system and who held it outside home (:meth:`of_holder`), for whom alone it speaks no more.
    """

    id: str
    at_us: int

    @classmethod
    def of_holder(cls, ticket: str, holder: str, at_us: int = 0) -> HandOff:
        """Of a security ticket, however its holder's name is spelled. No id and no name holds a line's end."""
        return cls(f"{ticket}\n{folded(holder)}", at_us)


@dataclass(frozen=True, slots=True)
class TicketEvent:
    """One line of a ticket's history: who did what to it, and when; ``detail`` is for people.

    ``holder`` is who held it from then on, ``via`` by what way the actor came (:class:`gateway.acts.Actor`).
    """

    id: str
    ticket: str
    at_us: int
    actor: str
    act: str
    detail: str = ""
    holder: str = ""
    via: str = ""


class RequestState(StrEnum):
    """Where an access request stands; :data:`gateway.justification.requests.TRANSITIONS` says what may follow."""

    REQUESTED = "requested"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired-unanswered"


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """An engineer asks for access to one customer's data, for one bug.

    It counts once ``approvers`` different people approved it (``approved_by``) and, where ``consent`` is needed, the
    customer said yes (``consented_by``); it is answered until ``answer_by_us``, or not at all (0: whenever). Each
    approver came by a way of their own (``approved_via``, in the order of ``approved_by``; "" is with their own token).
    """

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
    approvers: int = 1
    approved_by: tuple[str, ...] = ()
    consent: bool = False
    consented_by: str = ""
    answer_by_us: int = 0
    why: str = ""
    approved_via: tuple[str, ...] = ()


class GrantState(StrEnum):
    """Where a grant stands at an instant; the same :data:`~gateway.justification.requests.TRANSITIONS` say what may
    follow."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    EXHAUSTED = "exhausted"


@dataclass(frozen=True, slots=True)
class Grant:
    """What an approver approved: one person, one customer, these classes and actions, one ticket, until then.

    ``max_bytes`` and ``max_requests`` cap what may be read under it; 0 means no cap. ``ended_us`` is when it was seen
    to be over, by time or by its caps: whatever a clock says later, it stays over. ``why`` says why it ended early.
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
    ended_us: int = 0
    why: str = ""

    def is_active(self, now_us: int) -> bool:
        return not self.revoked_us and not self.ended_us and self.starts_us <= now_us < self.ends_us

    def is_exhausted(self, usage: Usage) -> bool:
        """Whether one of its caps is used up."""
        return bool(
            (self.max_bytes and usage.bytes >= self.max_bytes)
            or (self.max_requests and usage.requests >= self.max_requests)
        )

    def state(self, now_us: int, usage: Usage) -> GrantState:
        """Where it stands."""
        if self.revoked_us:
            return GrantState.REVOKED
        if self.is_exhausted(usage):
            return GrantState.EXHAUSTED
        return GrantState.ACTIVE if self.is_active(now_us) else GrantState.EXPIRED

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

    With a ``ticket`` it covers that case; without one it is standing, must have an end, and covers that customer's
    cases. It counts for severity 1 only, unless it says itself that it goes further (``any_severity``), and never for
    whoever recorded it (``recorded_by``). ``received`` says how it came ("letter", "signed order", …), and
    ``document_sha256`` is the hash of what came, in small hexadecimal digits, or "".
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
    received: str = ""
    document_sha256: str = ""
    recorded_by: str = ""
    any_severity: bool = False

    def reaches(self, ticket: Ticket) -> bool:
        """Whether it counts for this ticket as that is now: a case of severity 1, unless the customer said that it goes
        further."""
        named = self.ticket in ("", ticket.id)
        return named and ticket.kind is TicketKind.SUPPORT and (self.any_severity or ticket.severity == 1)

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
        problem: why the ticket cited is not known, where another system should have said, or lets them in no more; "".
    """

    cited: str = ""
    ticket: Ticket | None = None
    grant: Grant | None = None
    authorization: Authorization | None = None
    incident: bool = False
    reason: str = ""
    problem: str = ""
