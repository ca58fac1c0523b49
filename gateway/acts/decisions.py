"""Send to US Analyst, from the denial itself: what somebody abroad may not see, an analyst at home takes over."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.acts.actor import Actor
from gateway.acts.homeward import send_home
from gateway.acts.office import Change, Office, sees_all
from gateway.acts.tickets import denials_of, handed_off, opened, was_led_to
from gateway.catalog.customers import Customer
from gateway.errors import Contradicted, Forbidden, NotFound, UsageError
from gateway.justification import Ticket, TicketKind

ABROAD = frozenset(("outside-home", "location-unassured"))
SEVERITY = 3


def hand_over_decision(
    office: Office,
    actor: Actor,
    decision: Mapping[str, object],
    *,
    sees: Callable[[Ticket], bool] = sees_all,
    earlier: Callable[[str], Mapping[str, object] | None] = lambda _id: None,
) -> Ticket:
    """Hand what was denied to the queue at home: the case cited, or one that is opened for it. Idempotent.

    A denial leads to one ticket for ever, closed meanwhile or not, and another denial of the same to the same person
    leads to the case that is open for it. Only a support ticket is handed off this way, and only by whoever sees it:
    any other one that was cited stays as it is.

    Args:
        decision: the entry of the denial, as the ledger has it.
        sees: whether the actor may see a ticket; all of them unless given.
        earlier: an earlier denial, as the ledger has it, by its id; None where there is none.

    Returns:
        The ticket in the queue, or with whoever took it from there.

    Raises:
        Forbidden: neither was the actor denied, nor may they see tickets of others.
        UsageError: it was not denied for where somebody is, or concerns no customer.
        TrackerUnavailable: the system that the ticket belongs to does not say how it is; nothing changed.
        HandOffUnfinished: see :func:`~gateway.acts.homeward.send_home`.
    """
    cited = cited_by(office, actor, decision)
    id_, customer = (str(decision.get(name, "")) for name in ("id", "customer"))
    elsewhere = _cited_elsewhere(office, cited, customer, sees) if cited else None
    if elsewhere is not None:
        return send_home(office, actor, *elsewhere, decision=id_)
    with office.change(actor, "ticket.handoff") as change:
        change.get(Customer, customer)
        here = change.find(Ticket, cited)
        if here is not None and sees(here) and _leads_to(change, id_, here, customer):
            return handed_off(change, here, id_)
        known = _known_case(change, decision, sees, earlier)
        return handed_off(change, known or _case_for(change, id_, decision), id_)


def cited_by(office: Office, actor: Actor, decision: Mapping[str, object]) -> str:
    """The ticket that a denial cites, or "", for an actor who may hand it over.

    Raises:
        Forbidden, Contradicted: see :func:`hand_over_decision`.
    """
    id_, subject, customer = (str(decision.get(name, "")) for name in ("id", "subject", "customer"))
    office.permissions.require(actor, "ticket.handoff")
    if actor.name != subject and not office.permissions.allows(actor, "ticket.assign"):
        raise Forbidden(f"{actor.name} was not the one who was denied; somebody who assigns tickets may hand it over")
    rules = decision.get("rules")
    if decision.get("effect") != "deny" or not isinstance(rules, list) or ABROAD.isdisjoint(rules) or not customer:
        raise Contradicted(
            f"{id_} is no denial of one customer's data to somebody abroad; there is nothing to hand over"
        )
    return str(decision.get("ticket", ""))


def _known_case(
    change: Change,
    decision: Mapping[str, object],
    sees: Callable[[Ticket], bool],
    earlier: Callable[[str], Mapping[str, object] | None],
) -> Ticket | None:
    """The case that a denial led to before, or an open one to which another denial of the same path led this person."""
    own, path = str(decision.get("id", "")), decision.get("path")
    found = None
    for case in change.all(Ticket, title=_title(decision)):
        if case.customers != (decision.get("customer"),) or case.kind is not TicketKind.SUPPORT or not sees(case):
            continue
        denials = denials_of(change, case)
        if own in denials:
            return case
        if path and case.is_open and any((denial := earlier(id_)) and denial.get("path") == path for id_ in denials):
            found = case
    return found


def _case_for(change: Change, id_: str, decision: Mapping[str, object]) -> Ticket:
    """The case that was opened for a denial, or one that is opened now. Its id ends as the denial's does, unless
    somebody gave that to another ticket."""
    digits = id_.replace("-", "").upper()
    tails = digits[-12:], digits
    for tail in tails:
        case = change.find(Ticket, f"CASE-{tail}")
        if case is not None and was_led_to(change, case, id_):
            return case
    return opened(change, _case(change.new_id(Ticket, "CASE", *tails), decision, change.now_us))


def _cited_elsewhere(
    office: Office, cited: str, customer: str, sees: Callable[[Ticket], bool]
) -> tuple[Ticket, Callable[[], object]] | None:
    """The case that was cited and how it is sent home, where another system has it open, and is told of hand-offs."""
    try:
        homeward = office.homeward(cited)
        there = homeward.find() if homeward else None
    except (UsageError, NotFound):
        return None
    if homeward is None or there is None or not sees(there):
        return None
    if there.kind is not TicketKind.SUPPORT or not (there.is_open and there.covers(customer)):
        return None
    return there, homeward.send


def _leads_to(change: Change, id_: str, cited: Ticket, customer: str) -> bool:
    """Whether the ticket that a denial cites is the one to hand off: a case of that customer's, and one that was open
    when the denial first led to it."""
    of_customer = cited.kind is TicketKind.SUPPORT and cited.covers(customer)
    return of_customer and (cited.is_open or was_led_to(change, cited, id_))


def _case(key: str, decision: Mapping[str, object], now_us: int) -> Ticket:
    return Ticket(
        id=key,
        kind=TicketKind.SUPPORT,
        customers=(str(decision.get("customer", "")),),
        title=_title(decision),
        opened_us=now_us,
        severity=SEVERITY,
    )


def _title(decision: Mapping[str, object]) -> str:
    """What was denied, to whom. The path may tell of the customer's data, so it stays in the record of the denial."""
    what = f"{decision.get('action', '')} {decision.get('data_class', '')}"
    return f"Handed over: {what} that {decision.get('subject', '')} could not do"
