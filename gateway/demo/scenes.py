"""What people of the sample world do between the requests of the tour: the same acts as the command line's."""

from __future__ import annotations

from collections.abc import Callable

from gateway.acts import Actor, Office
from gateway.acts.access import approve_access, request_access, revoke_grant
from gateway.acts.customers import enable_plan, end_plan, set_conditions
from gateway.acts.tickets import hand_off_ticket, open_ticket
from gateway.demo.world import DANA, MARIA, PRIYA, RAJ, SAM, Person
from gateway.justification import AccessRequest, TicketKind

Scene = Callable[[Office, str], object]
"""Changes the state; is told the decision of the request before."""

ERIN = Person("erin", "Indianapolis", "10.20.0.10", ("approver",))
ADMIN = Actor("admin", frozenset({"admin"}))


def revoked(office: Office, _decision: str) -> None:
    """Priya's grant ends."""
    revoke_grant(office, _actor(DANA), "G-1", why="the bug was found")


def enabled(office: Office, _decision: str) -> None:
    """The plan that Cascade ordered begins."""
    enable_plan(office, ADMIN, "cascade")


def ended(office: Office, _decision: str) -> None:
    """Cascade's plan ends: what it has in a store abroad may be there."""
    end_plan(office, ADMIN, "cascade")


def asked_and_approved_once(office: Office, _decision: str) -> None:
    """Borealis requires two approvers; Priya asks for its data, and the first of them says yes."""
    set_conditions(office, _actor(MARIA), "borealis", approvers=2, consent=False)
    open_ticket(
        office, _actor(PRIYA), id="BUG-11", kind=TicketKind.BUG, customers=["borealis"], title="Silence (sample)"
    )
    asked = request_access(
        office,
        _actor(PRIYA),
        ticket="BUG-11",
        customer="borealis",
        data_classes=["conversation"],
        actions=["read"],
        reason="where the sound stops is in the transcript (sample)",
        duration_s=3_600,
    )
    approve_access(office, _actor(DANA), asked.id)


def approved_twice(office: Office, _decision: str) -> None:
    """The second approver says yes, too: the grant begins."""
    [asked] = [asked for asked in office.state.all(AccessRequest) if asked.ticket == "BUG-11"]
    approve_access(office, _actor(ERIN), asked.id)


def handed_off(office: Office, decision: str) -> None:
    """Raj was denied, and sends the case to a US analyst."""
    hand_off_ticket(office, _actor(RAJ), "CASE-1", decision=decision)


def queued(office: Office, _decision: str) -> None:
    """A case of a protected customer comes in."""
    open_ticket(
        office,
        _actor(SAM),
        id="CASE-12",
        kind=TicketKind.SUPPORT,
        customers=["acme"],
        title="Echo (sample)",
        severity=3,
    )


def _actor(person: Person) -> Actor:
    return Actor(person.name, frozenset(person.roles), person.customer or "")
