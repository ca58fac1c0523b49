"""What speaks for an attempt, and what no longer does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from gateway.catalog import Action, Resource, Scope
from gateway.justification import (
    EVERY_CUSTOMER,
    Authorization,
    Desk,
    Grant,
    Justification,
    Ticket,
    TicketKind,
    Usage,
)
from gateway.justification.handoff import QUEUE_AT_HOME, hand_off

NOW, STARTS, ENDS = 1_000, 500, 2_000
RESOURCE = Resource("crm", "conversation", "acme", Action.READ, Scope.ONE)
BUG = Ticket("BUG-9", TicketKind.BUG, ("acme",), "Crash in export", 1)
INCIDENT = Ticket("INC-7", TicketKind.SECURITY, ("acme",), "Odd sign-ins", 1)
CASE = Ticket("CASE-5", TicketKind.SUPPORT, ("acme",), "No sound", 1, severity=1)
TICKETS = {ticket.kind: ticket for ticket in (BUG, INCIDENT, CASE)}
GRANT = Grant("G-1", "R-1", "priya", BUG.id, "acme", ("case", "conversation"), ("read", "export"), STARTS, ENDS, "dana")
STANDING = Authorization("A-1", "acme", "Ada of Acme", "", ("case", "conversation"), ("read",), STARTS, ENDS)
OF_TICKET = replace(STANDING, ticket=CASE.id)


def desk(*nouns: Any, fresh: bool = True) -> Desk:
    filled = Desk(lambda: fresh)
    for noun in nouns:
        filled.put(noun)
    return filled


def justify(held: Desk, cited: str, *, resource: Resource = RESOURCE, reason: str = "") -> Justification:
    return held.justify(subject="priya", resource=resource, cited=cited, reason=reason, now_us=NOW)


def speaks(found: Justification) -> tuple[bool, bool, bool]:
    """Whether an incident, a grant, an authorization speaks for the attempt."""
    return found.incident, found.grant is not None, found.authorization is not None


@pytest.mark.parametrize(
    ("kind", "is_open", "named", "scope", "fresh"),
    [
        *product(
            TicketKind,
            (True, False),
            (("acme",), ("globex",), ("globex", "acme"), (EVERY_CUSTOMER,), ()),
            Scope,
            (True, False),
        )
    ],
)
def test_ticket_speaks_only_while_open_known_and_for_this_customer(
    kind: TicketKind, is_open: bool, named: tuple[str, ...], scope: Scope, fresh: bool
) -> None:
    """Each kind speaks for its own consent, and none when closed, stale, or about somebody else."""
    ticket = replace(TICKETS[kind], id="T-1", customers=named, closed_us=0 if is_open else NOW)
    held = desk(ticket, replace(GRANT, ticket="T-1"), replace(STANDING, ticket="T-1"), fresh=fresh)

    found = justify(held, "T-1", resource=RESOURCE._replace(scope=scope))

    counts = is_open and fresh
    concerned = (
        counts
        and {
            Scope.ONE: "acme" in named or EVERY_CUSTOMER in named,
            Scope.MANY: EVERY_CUSTOMER in named,
            Scope.UNKNOWN: False,
            Scope.UNROUTED: False,
        }[scope]
    )
    one = concerned and scope is Scope.ONE
    assert found.ticket == (ticket if counts else None)
    assert speaks(found) == (
        concerned and kind is TicketKind.SECURITY,
        one and kind is TicketKind.BUG,
        one and kind is TicketKind.SUPPORT,
    )


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ({}, True),
        ({"subject": "sam"}, False),
        ({"subject": "Priya"}, False),
        ({"customer": "globex"}, False),
        ({"customer": EVERY_CUSTOMER}, False),
        ({"ticket": "BUG-1"}, False),
        ({"ticket": ""}, False),
        ({"data_classes": ("case",)}, False),
        ({"data_classes": ()}, False),
        ({"data_classes": ("conversations",)}, False),
        ({"actions": ("write", "delete", "export")}, False),
        ({"actions": ()}, False),
        ({"starts_us": NOW}, True),
        ({"starts_us": NOW + 1}, False),
        ({"ends_us": NOW + 1}, True),
        ({"ends_us": NOW}, False),
        ({"ends_us": 0}, False),
        ({"revoked_us": NOW}, False),
        ({"revoked_us": NOW + 1}, False),  # a clock set back does not bring it back
    ],
)
def test_grant_covers_exactly_what_was_approved(changed: dict[str, Any], counts: bool) -> None:
    """This person, customer, class, action and ticket, from the start until just before the end."""
    found = justify(desk(BUG, replace(GRANT, **changed)), BUG.id)
    assert speaks(found) == (False, counts, False)


@pytest.mark.parametrize("action", [Action.WRITE, Action.DELETE])
def test_grant_to_read_and_export_allows_nothing_else(action: Action) -> None:
    """The action asked for has to stand in the grant."""
    held = desk(BUG, GRANT)
    assert justify(held, BUG.id, resource=RESOURCE._replace(action=Action.EXPORT)).grant == GRANT
    assert justify(held, BUG.id, resource=RESOURCE._replace(action=action)).grant is None


@pytest.mark.parametrize(
    ("caps", "used", "counts"),
    [
        ({}, Usage("G-1", 10**9, 10**15), True),
        ({"max_bytes": 100}, Usage("G-1", 5, 99), True),
        ({"max_bytes": 100}, Usage("G-1", 5, 100), False),
        ({"max_bytes": 100}, Usage("G-1", 5, 101), False),
        ({"max_requests": 5}, Usage("G-1", 4, 10**15), True),
        ({"max_requests": 5}, Usage("G-1", 5, 0), False),
        ({"max_bytes": 100, "max_requests": 5}, Usage("G-1", 5, 0), False),
        ({"max_bytes": 100, "max_requests": 5}, Usage("G-1", 0, 100), False),
        ({"max_bytes": 100, "max_requests": 5}, Usage("G-2", 5, 100), True),  # somebody else's
    ],
)
def test_grant_ends_with_its_caps(caps: dict[str, int], used: Usage, counts: bool) -> None:
    """A cap once reached is reached, in bytes or in requests; without one there is no end to either."""
    found = justify(desk(BUG, replace(GRANT, **caps), used), BUG.id)  # type: ignore[arg-type]  # whole numbers only
    assert (found.grant is not None) is counts


def test_exhausted_grant_leaves_the_next_one() -> None:
    """Of two that cover an attempt, the one that still has room speaks."""
    second = replace(GRANT, id="G-2")
    held = desk(BUG, replace(GRANT, max_requests=1), second, Usage("G-1", 1))
    assert justify(held, BUG.id).grant == second


def test_grant_speaks_only_for_the_ticket_cited() -> None:
    """Solely for the specific issue: another open bug of the same customer does not do."""
    other = replace(BUG, id="BUG-10")
    held = desk(BUG, other, GRANT)
    assert justify(held, other.id).grant is None


def test_whoever_holds_a_single_grant_that_fits_need_not_cite_its_ticket() -> None:
    """There is no doubt which issue it is for; the ticket is told as if it had been cited."""
    held = desk(BUG, GRANT, replace(GRANT, id="G-2", data_classes=("configuration",)))
    assert justify(held, "", reason="trace") == Justification(BUG.id, BUG, GRANT, reason="trace")


@pytest.mark.parametrize(
    "others",
    [
        (replace(GRANT, id="G-2"),),
        (replace(BUG, id="BUG-10"), replace(GRANT, id="G-2", ticket="BUG-10")),
        (replace(BUG, closed_us=1),),
        (replace(GRANT, ended_us=1),),
        (replace(GRANT, max_requests=1), Usage("G-1", 1)),
        (replace(GRANT, customer="globex"),),
    ],
    ids=["two for the ticket", "two for two tickets", "closed", "over", "exhausted", "another customer"],
)
def test_without_a_single_grant_that_fits_a_ticket_has_to_be_cited(others: Sequence[Any]) -> None:
    """Two that fit are a doubt, and one that no longer holds is none."""
    assert justify(desk(BUG, GRANT, *others), "") == Justification()


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ({}, True),
        ({"customer": "globex"}, False),
        ({"customer": EVERY_CUSTOMER}, False),
        ({"data_classes": ("case",)}, False),
        ({"actions": ("write",)}, False),
        ({"starts_us": NOW}, True),
        ({"starts_us": NOW + 1}, False),
        ({"ends_us": NOW}, False),
        ({"ends_us": NOW + 1}, True),
        ({"withdrawn_us": NOW}, False),
        ({"withdrawn_us": NOW + 1}, False),
    ],
)
@pytest.mark.parametrize("authorization", [STANDING, OF_TICKET], ids=["standing", "of a ticket"])
def test_authorization_covers_what_the_customer_named(
    authorization: Authorization, changed: dict[str, Any], counts: bool
) -> None:
    """Its own customer, classes and actions, until it ends or is withdrawn."""
    given = replace(authorization, **changed)
    assert justify(desk(CASE, given), CASE.id).authorization == (given if counts else None)


@pytest.mark.parametrize(("ends_us", "counts"), [(ENDS, True), (0, True)])
def test_authorization_of_a_ticket_may_be_without_an_end(ends_us: int, counts: bool) -> None:
    """It ends with its ticket."""
    given = replace(OF_TICKET, ends_us=ends_us)
    assert (justify(desk(CASE, given), CASE.id).authorization is not None) is counts
    assert justify(desk(replace(CASE, closed_us=NOW), given), CASE.id).authorization is None


@pytest.mark.parametrize(
    ("kind", "severity", "counts"),
    [
        (TicketKind.SUPPORT, 1, True),
        (TicketKind.SUPPORT, 2, False),
        (TicketKind.SUPPORT, 3, False),
        (TicketKind.SUPPORT, 4, False),
        (TicketKind.SUPPORT, 0, False),
        (TicketKind.BUG, 1, False),
        (TicketKind.SECURITY, 1, False),
    ],
)
@pytest.mark.parametrize("authorization", [STANDING, OF_TICKET], ids=["standing", "of a ticket"])
def test_authorization_is_for_severity_one_support_unless_it_goes_further(
    authorization: Authorization, kind: TicketKind, severity: int, counts: bool
) -> None:
    """As the ticket is now; one that goes further does for cases alone, and one of another ticket never."""
    ticket, further = replace(CASE, kind=kind, severity=severity), replace(authorization, any_severity=True)
    assert (justify(desk(ticket, authorization), ticket.id).authorization is not None) is counts
    assert (justify(desk(ticket, further), ticket.id).authorization is not None) is (kind is TicketKind.SUPPORT)
    assert justify(desk(ticket, replace(further, ticket="CASE-6")), ticket.id).authorization is None


@pytest.mark.parametrize(("recorded_by", "counts"), [("maria", True), ("", True), ("priya", False), (" PRIYA", False)])
def test_authorization_is_not_for_whoever_recorded_it(recorded_by: str, counts: bool) -> None:
    """However their name is spelled; another one of the same customer still speaks."""
    given, other = replace(OF_TICKET, recorded_by=recorded_by), replace(OF_TICKET, id="A-2", recorded_by="dana")
    assert (justify(desk(CASE, given), CASE.id).authorization is not None) is counts
    assert justify(desk(CASE, given, other), CASE.id).authorization == (given if counts else other)


def test_authorization_that_does_not_cover_leaves_the_next_one() -> None:
    """Of two of one customer, the one that covers the attempt speaks."""
    second = replace(STANDING, id="A-2")
    assert justify(desk(CASE, replace(STANDING, actions=("write",)), second), CASE.id).authorization == second


@pytest.mark.parametrize("cited", ["BUG-404", "bug-9", "BUG-9 ", "*"])
def test_unknown_ticket_is_told_as_cited_and_speaks_for_nothing(cited: str) -> None:
    """What was cited and why is kept for the record, whatever it was."""
    found = justify(desk(BUG, GRANT, STANDING), cited, reason="stack trace")
    assert found == Justification(cited=cited, reason="stack trace")


@pytest.mark.parametrize("holder", [QUEUE_AT_HOME, "sam", "priya", ""])
@pytest.mark.parametrize(
    ("ticket", "with_it", "before", "after"),
    [
        (INCIDENT, (), (True, False, False), (True, False, False)),
        (CASE, (OF_TICKET,), (False, False, True), (False, False, False)),
        (CASE, (STANDING,), (False, False, True), (False, False, False)),
        (BUG, (GRANT,), (False, True, False), (False, True, False)),
    ],
    ids=["incident", "authorization of it", "standing authorization", "a grant approved since"],
)
def test_a_ticket_that_was_handed_off_speaks_for_nobody_by_itself(
    ticket: Ticket,
    with_it: tuple[Any, ...],
    before: tuple[bool, bool, bool],
    after: tuple[bool, bool, bool],
    holder: str,
) -> None:
    """Whoever holds it then; what an approver grants for it afterwards is new (rule ``send-to-us-analyst``).

    An incident is a reason of their own for each who looks into it (rule ``security-incident``).
    """
    assert speaks(justify(desk(ticket, *with_it), ticket.id)) == before
    moved, _ = hand_off(ticket, [], now_us=NOW)
    assert speaks(justify(desk(replace(moved, holder=holder), *with_it), ticket.id)) == after


def test_noun_put_again_replaces_its_earlier_state() -> None:
    """Closing a ticket, revoking a grant and withdrawing an authorization take effect at once."""
    held = desk(BUG, CASE, GRANT, STANDING)
    held.put(replace(GRANT, revoked_us=NOW))
    held.put(replace(STANDING, withdrawn_us=NOW))
    assert justify(held, BUG.id).grant is None
    assert justify(held, CASE.id).authorization is None
    held.put(replace(BUG, closed_us=NOW))
    assert justify(held, BUG.id).ticket is None
    assert list(held.grants()) == [replace(GRANT, revoked_us=NOW)]


def test_usage_adds_up_and_never_goes_down() -> None:
    """What was counted here and is not yet written outlasts what the database still says."""
    held = desk()
    assert held.usage("G-1") == Usage("G-1")
    held.count("G-1", requests=1, bytes_=10)
    assert held.count("G-1", bytes_=5) == Usage("G-1", 1, 15)
    held.put(Usage("G-1", 3, 7))
    assert held.usage("G-1") == Usage("G-1", 3, 15)


def test_ticket_is_found_open_or_closed() -> None:
    """Who asks for a ticket by its id sees its state."""
    closed = replace(BUG, closed_us=NOW)
    held = desk(closed)
    assert held.ticket(BUG.id) == closed
    assert held.ticket("BUG-404") is None
