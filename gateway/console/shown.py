"""What calls are answered with. Instants are RFC 3339 in UTC; null stands for "not yet", "no end" or "none"."""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from gateway.catalog import Action
from gateway.identity import PassState
from gateway.justification import GrantState, Nature, RequestState, TicketKind

Instant = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Item = TypeVar("Item", bound=BaseModel)


class Shown(BaseModel):
    """An answer's body."""

    model_config = ConfigDict(frozen=True)


class Me(Shown):
    """Who calls, and what they may do."""

    subject: str
    roles: list[str]
    customer: str | None
    may: list[str] = Field(description="The acts that their roles allow.")


class PastSeats(Shown):
    """How many seats there were, and until when."""

    seats: int
    until: Instant


class Plan(Shown):
    """One purchase of a plan."""

    id: str
    name: str
    state: Literal["ordered", "in-effect", "ended"]
    home: list[str] = Field(description="The countries that it lists itself; none: the policy's are home to it.")
    seats: int
    past_seats: list[PastSeats] = Field(description="What it had before, the oldest first.")
    monthly_charge_cents: int
    new: bool
    overdue: bool = Field(description="It began by itself, since nobody enabled it in time.")
    ordered_at: Instant
    recorded_at: Instant | None = Field(description="When the order was typed in; it never began before.")
    due_at: Instant
    enabled_at: Instant | None
    begins_at: Instant
    ends_at: Instant | None = Field(description="When it ended, or will by itself.")


class Customer(Shown):
    """A customer, and every plan that it ever had."""

    id: str
    name: str
    approvers: int
    consent: bool
    plan: Plan | None = Field(description="The one in effect now.")
    plans: list[Plan]


class Quote(Shown):
    """A monthly price."""

    seats: int
    per_seat_cents: int
    minimum_cents: int
    monthly_charge_cents: int
    monthly_charge: str
    minimum_applies: bool
    minimum_seats: int
    seats_where_minimum_ends: int


class Ticket(Shown):
    """A case, an incident or a bug."""

    id: str
    kind: TicketKind
    state: Literal["open", "queued", "assigned", "closed"]
    customers: list[str]
    title: str
    severity: int | None
    nature: Nature | None
    holder: str | None
    holder_country: str | None
    opened_at: Instant
    queued_until: Instant | None
    handed_off_at: Instant | None
    closed_at: Instant | None


class TicketEvent(Shown):
    """One line of a ticket's history."""

    at: Instant
    actor: str
    act: str
    detail: str
    via: str | None = Field(description="By what way the actor came, where not with a token of their own.")


class TicketWithHistory(Ticket):
    """A ticket, and what was done to it."""

    history: list[TicketEvent]


class Reading(Shown):
    """One permitted access under a ticket; what became of it is null while it goes on."""

    sequence: int
    decision: str
    at: Instant
    subject: str
    roles: list[str]
    country: str
    customer: str
    store: str
    data_class: str
    action: str
    method: str
    path: str
    rule: str
    outcome: str | None
    bytes: int | None


class AccessRequest(Shown):
    """What an engineer asks for, and what became of it."""

    id: str
    state: RequestState
    subject: str
    ticket: str
    customer: str
    data_classes: list[str]
    actions: list[Action]
    reason: str
    duration_s: int
    max_bytes: int | None
    max_requests: int | None
    approvers: int = Field(description="How many it needs.")
    approved_by: list[str]
    approved_via: list[str] = Field(description="By what way each of them came; empty text: with their own token.")
    consent: bool = Field(description="Whether it needs the customer's.")
    consented_by: str | None
    missing: str = Field(description="What it still needs, in words.")
    requested_at: Instant
    answer_by: Instant | None
    decided_at: Instant | None
    decided_by: str | None
    why: str
    grant: str | None = Field(description="What came of it.")


class Grant(Shown):
    """What an approver approved, and how much of it is used."""

    id: str
    state: GrantState
    request: str
    subject: str
    ticket: str
    customer: str
    data_classes: list[str]
    actions: list[Action]
    approved_by: str
    starts_at: Instant
    ends_at: Instant
    ended_at: Instant | None = Field(description="When it was revoked, or seen to be over.")
    why: str
    max_bytes: int | None
    max_requests: int | None
    bytes: int
    requests: int


class Authorization(Shown):
    """What a customer itself authorised."""

    id: str
    state: Literal["pending", "active", "ended", "withdrawn"]
    customer: str
    given_by: str
    received: str
    document_sha256: str | None
    recorded_by: str = Field(description="Who cannot use it themselves.")
    ticket: str | None
    any_severity: bool = Field(description="Whether it covers other cases than those of severity 1.")
    data_classes: list[str]
    actions: list[Action]
    starts_at: Instant
    ends_at: Instant | None
    withdrawn_at: Instant | None


class Upload(Shown):
    """A customer's account at the transfer doors."""

    id: str = Field(description="The user name.")
    name: str
    customer: str
    state: Literal["open", "closed"]
    keys: list[str] = Field(description="SSH public keys that sign in with it.")
    made_at: Instant
    closed_at: Instant | None


class UploadWithPassword(Upload):
    """The same, and its password, which is told this once."""

    password: str


class TransferPass(Shown):
    """With what one of the personnel signs in at the transfer doors."""

    id: str = Field(description="The user name.")
    state: PassState
    by: Literal["password", "certificate"]
    subject: str
    customer: str
    ticket: str | None
    reason: str
    made_at: Instant
    ends_at: Instant
    revoked_at: Instant | None
    sessions: int | None = Field(description="For how many; null: any number.")
    used: int = Field(description="How many began.")


class MintedTransferPass(TransferPass):
    """The same, and with what its holder signs in, which is told this once."""

    password: str | None
    certificate: str | None = Field(description="A line for the file KEY-cert.pub beside the private key.")


class Page(Shown, Generic[Item]):
    """A part of a list."""

    items: list[Item]
    next: str | None = Field(description="Where it goes on; null at its end.")


class Customers(Page[Customer]):
    """Customers."""


class Tickets(Page[Ticket]):
    """Tickets."""


class Readings(Page[Reading]):
    """Who read what under a ticket, and who let it be cited at all."""

    opened_by: str | None
    widened_by: list[str] = Field(description="Who let a security ticket name more customers, the first first.")


class AccessRequests(Page[AccessRequest]):
    """Access requests."""


class Grants(Page[Grant]):
    """Grants."""


class Uploads(Page[Upload]):
    """Accounts at the transfer doors."""


class TransferPasses(Page[TransferPass]):
    """Passes."""


class Authorizations(Page[Authorization]):
    """Authorizations."""


class Fault(Shown):
    """What is wrong with one field."""

    field: str
    problem: str


class Problem(Shown):
    """Why a call was not answered (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    rule: str = Field(default="", description="The contract's rule that forbids it, where one does.")
    faults: list[Fault] = Field(default=[], description="One for each field that is wrong.")
