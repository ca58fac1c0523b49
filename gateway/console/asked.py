"""What calls ask for: bodies and queries. Strict, closed to fields they do not know, and bounded."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.acts.passes import MAX_NETWORKS, MAX_SESSIONS, SHORTEST_S
from gateway.catalog import Action
from gateway.console import values
from gateway.identity import PassState
from gateway.justification import GrantState, Nature, RequestState, TicketKind


class Asked(BaseModel):
    """A body or a query."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


def _without_default(schema: dict[str, Any]) -> None:
    """Left out means left as it is, which no default says."""
    schema.pop("default", None)


_Customers = Annotated[tuple[values.CustomerOrAll, ...], Field(min_length=1, max_length=values.MAX_NAMES)]
_DataClasses = Annotated[tuple[values.Name, ...], Field(min_length=1, max_length=values.MAX_NAMES)]
_Countries = Annotated[tuple[values.Country, ...], Field(max_length=values.MAX_NAMES)]
_Actions = Annotated[tuple[Action, ...], Field(min_length=1, max_length=len(Action))]


class Nothing(Asked):
    """An empty object."""


class Reason(Asked):
    """Why; for the record."""

    why: values.Text


class Approval(Asked):
    """A yes."""

    why: values.MaybeText = Field(default="", description="For the record, if there is more to say.")


class NewCustomer(Asked):
    """A customer to add, with the plan it ordered, if any."""

    id: values.CustomerId
    name: values.Line
    plan: Literal["us-only"] | None = None
    seats: values.Seats = 1
    new: bool = Field(default=False, description="Being onboarded: the plan is in effect at once (enable-new).")
    home: _Countries = Field(default=(), description="The countries that are home to the plan; none: the policy's.")


class Conditions(Asked):
    """What access to a customer's data needs; what is left out stays as it is."""

    approvers: int = Field(default=1, ge=1, le=2, json_schema_extra=_without_default)
    consent: bool = Field(default=False, json_schema_extra=_without_default)


class PlanOrder(Asked):
    """A plan to order for a customer that there is already."""

    seats: values.Seats
    plan: Literal["us-only"] = "us-only"
    home: _Countries = Field(default=(), description="The countries that are home to the plan; none: the policy's.")
    ordered_at: values.AskedInstant | None = Field(
        default=None, description="When the customer ordered it, if before now: 31 days at most."
    )


class PlanSeats(Asked):
    """How many seats the plan has from now on."""

    seats: values.Seats


class PlanEnd(Asked):
    """When the plan ends."""

    at: values.AskedInstant | None = Field(default=None, description="Then, by itself; now unless given.")


class NewTicket(Asked):
    """A ticket to open."""

    id: values.TicketId
    kind: TicketKind
    customers: _Customers = Field(description='Those that it names; "*" alone for a security ticket about all.')
    title: values.Line
    severity: int = Field(default=0, ge=0, le=4, description="1 to 4 of a support ticket, 0 of any other.")
    nature: Nature | None = Field(default=None, description="Of a security ticket; an incident unless given.")
    holder: values.MaybeKey = ""
    holder_country: values.MaybeCountry = ""


class Assignment(Asked):
    """Who works on a ticket, and from where."""

    holder: values.Key
    country: values.MaybeCountry = ""


class Severity(Asked):
    """How severe a case is from now on, and why."""

    severity: int = Field(ge=1, le=4, description="1 (critical) to 4.")
    why: values.Text


class Widening(Asked):
    """Customers that a security ticket concerns, too."""

    customers: _Customers


class NewAccessRequest(Asked):
    """Access to ask for, for oneself."""

    ticket: values.Key
    customer: values.CustomerId
    data_classes: _DataClasses
    actions: _Actions
    reason: values.Text
    duration_s: int = Field(ge=60, le=7 * 86_400)
    max_bytes: values.Count = Field(default=0, description="At most so many bytes; 0: any number.")
    max_requests: values.Count = Field(default=0, description="At most so many requests; 0: any number.")


class Consent(Asked):
    """The customer's yes."""

    by: values.MaybeLine = Field(default="", description="Who in the customer, where its own user does not call.")
    why: values.MaybeText = Field(default="", description="For the record, if there is more to say.")


class NewUpload(Asked):
    """An account at the transfer doors to add."""

    name: values.AccountName = Field(description="Among the customer's own; the user name is CUSTOMER/NAME.")


class PublicKey(Asked):
    """An SSH public key."""

    public_key: values.PublicKey


class NewTransferPass(Asked):
    """A pass to mint, for oneself."""

    customer: values.CustomerId = Field(description="Whose tree it opens.")
    ticket: values.MaybeKey = Field(default="", description="Cited at each act under it.")
    reason: values.MaybeLine = Field(default="", description="Likewise.")
    duration_s: int = Field(
        default=SHORTEST_S, ge=SHORTEST_S, le=86_400, json_schema_extra=_without_default,
        description="As long as may be unless given; it ends with the token in any case.",
    )  # fmt: skip
    sessions: int = Field(
        default=1, ge=1, le=MAX_SESSIONS, json_schema_extra=_without_default,
        description="For how many: one by password, any number by certificate unless given.",
    )  # fmt: skip
    public_key: values.PublicKey | None = Field(default=None, description="For an SSH certificate; else a password.")
    source_addresses: Annotated[tuple[values.Network, ...], Field(max_length=MAX_NETWORKS)] = Field(
        default=(), description="Networks that the certificate is bound to."
    )


class Ending(Asked):
    """Why something ends."""

    why: values.MaybeText = Field(default="", description="For the record, if there is more to say.")


class NewAuthorization(Asked):
    """What a customer authorised."""

    customer: values.CustomerId
    given_by: values.Line = Field(description="Who in the customer.")
    received: values.Line = Field(description="How it came, such as letter or signed order.")
    data_classes: _DataClasses
    actions: _Actions = (Action.READ,)
    ticket: values.MaybeKey = Field(default="", description="The case it covers; without one it is standing.")
    starts_at: values.AskedInstant | None = None
    ends_at: values.AskedInstant | None = None
    document_sha256: values.MaybeSha256 = ""
    any_severity: bool = Field(default=False, description="It goes further than severity 1, as the customer says.")


class Withdrawal(Asked):
    """Who in the customer asked for it, where its own user does not call."""

    by: values.MaybeLine = ""


class PageQuery(Asked):
    """Which part of a list."""

    limit: values.PageLimit = Field(default=values.PAGE, description="At most so many.")
    after: values.Key | None = Field(default=None, description="Begin behind this one; `next` says which.")


class CustomersQuery(PageQuery):
    """Which customers, in the order of their ids."""

    overdue: values.AskedTruth | None = Field(
        default=None, description="Those whose plan began by itself since nobody enabled it in time, or all others."
    )


class TicketsQuery(PageQuery):
    """Which tickets, the newest first."""

    kind: TicketKind | None = None
    customer: values.CustomerOrAll | None = None
    state: Literal["open", "queued", "assigned", "closed"] | None = None
    holder: values.Key | None = None


class RequestsQuery(PageQuery):
    """Which access requests, the newest first."""

    state: RequestState | None = None
    customer: values.CustomerId | None = None
    subject: values.Key | None = None


class GrantsQuery(PageQuery):
    """Which grants, the newest first."""

    state: GrantState | None = None
    customer: values.CustomerId | None = None
    subject: values.Key | None = None
    ticket: values.Key | None = None


class AuthorizationsQuery(PageQuery):
    """Which authorizations, those that begin last first."""

    customer: values.CustomerId | None = None
    ticket: values.Key | None = None
    state: Literal["pending", "active", "ended", "withdrawn"] | None = None


class PassesQuery(PageQuery):
    """Which passes, the newest first."""

    state: PassState | None = None
    customer: values.CustomerId | None = None
    subject: values.Key | None = None
    ticket: values.Key | None = None


class ReportQuery(Asked):
    """Which part of a report, the newest first."""

    limit: values.PageLimit = Field(default=values.PAGE, description="At most so many.")
    after: values.Sequence | None = Field(
        default=None, description="Begin behind the one with this sequence; `next` says which."
    )


class QuoteQuery(Asked):
    """How many seats."""

    seats: values.AskedSeats
